# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The TLS of the doors, as sslyze sees it from outside."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import Any, Dict, Tuple

import pytest
import scanner_findings

SSLYZE = Path(__file__).resolve().parents[2] / ".venv" / "sslyze" / "bin" / "sslyze"
Scan = Tuple[Dict[str, Any], Dict[str, str]]


@pytest.fixture(scope="module", params=["api", "chat"])
def scan(request: Any, nginx: Any, tmp_path_factory: Any) -> Scan:
    """Scan a door: all results, and by id what differs from Mozilla's intermediate configuration."""
    assert SSLYZE.exists(), f"{SSLYZE} is not there: make .venv/sslyze/.complete"
    door, results = getattr(nginx, request.param), tmp_path_factory.mktemp("sslyze") / "results.json"
    options = ["--mozilla_config", "intermediate", "--certinfo_ca_file", str(door.ca), "--json_out", str(results)]
    command = [str(SSLYZE), *options, f"{door.host}:{door.port}{{127.0.0.1}}"]
    run = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    judged = run.stdout.partition("COMPLIANCE AGAINST TLS CONFIGURATION")[2]
    assert f"{door.host}:{door.port}: " in judged, run.stdout + run.stderr
    found = dict(re.findall(r"^ +\* (\w+): (.+)$", judged, re.M))
    assert bool(found) == ("Not compliant" in judged) == (run.returncode != 0), judged
    return json.loads(results.read_text())["server_scan_results"][0]["scan_result"], found


def test_what_sslyze_finds_is_explained(scan: Scan) -> None:
    assert set(scan[1]) == scanner_findings.explained("sslyze"), scan[1]


def test_old_protocols_are_refused_and_every_cipher_has_forward_secrecy(scan: Scan) -> None:
    accepted = {
        version: [
            one["cipher_suite"]["name"]
            for one in scan[0][f"{version}_cipher_suites"]["result"]["accepted_cipher_suites"]
        ]
        for version in ("ssl_2_0", "ssl_3_0", "tls_1_0", "tls_1_1", "tls_1_2", "tls_1_3")
    }
    assert [version for version, suites in accepted.items() if suites] == ["tls_1_2", "tls_1_3"]
    assert all(re.search("GCM|CHACHA20", name) for suites in accepted.values() for name in suites)
    assert all(name.startswith("TLS_ECDHE_") for name in accepted["tls_1_2"])


def test_the_chain_is_trusted_with_the_collection_own_ca_by_a_strict_verifier(scan: Scan) -> None:
    (chain,) = scan[0]["certificate_info"]["result"]["certificate_deployments"]
    trusted = {one["trust_store"]["path"]: one["was_validation_successful"] for one in chain["path_validation_results"]}
    assert [ok for path, ok in trusted.items() if path.endswith("ca.pem")] == [True], chain["path_validation_results"]


def test_no_known_attack_on_tls_works(scan: Scan) -> None:
    said = {
        name: scan[0][name]["result"] for name in ("tls_compression", "openssl_ccs_injection", "heartbleed", "robot")
    }
    assert said["tls_compression"] == {"supports_compression": False}
    assert said["openssl_ccs_injection"] == {"is_vulnerable_to_ccs_injection": False}
    assert said["heartbleed"] == {"is_vulnerable_to_heartbleed": False}
    assert said["robot"]["robot_result"] == "NOT_VULNERABLE_RSA_NOT_SUPPORTED"
