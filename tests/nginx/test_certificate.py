# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The script that makes a certificate once, or checks the one that was given."""

from __future__ import annotations

import subprocess
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.x509 import verification

NAMES = ("llm.test", "localhost", "127.0.0.1", "::1")


def openssl(*command: str) -> str:
    return subprocess.run(["openssl", *command], capture_output=True, text=True, check=True).stdout


@pytest.fixture
def ca(tmp_path: Path) -> Path:
    return tmp_path / "tls/ca.pem"


def leaf(ca: Path) -> str:
    return str(ca.with_name("server.pem"))


def test_it_is_made_once(certificate_script: Any, ca: Path) -> None:
    would = certificate_script("check", ca, *NAMES)
    assert (would.returncode, would.stdout, ca.parent.exists()) == (10, "", False)
    made = certificate_script("make", ca, *NAMES)
    assert made.returncode == 10
    for mode in ("make", "check"):
        again = certificate_script(mode, ca, *NAMES)
        assert (again.returncode, again.stdout) == (0, made.stdout)
    assert sorted(path.name for path in ca.parent.iterdir()) == ["ca.key", "ca.pem", "server.names", "server.pem"]


def test_keys_are_for_root_and_the_authority_is_for_everyone(certificate_script: Any, ca: Path) -> None:
    certificate_script("make", ca, *NAMES)
    modes = {path.name: oct(path.stat().st_mode & 0o777) for path in (ca.parent, *ca.parent.iterdir())}
    assert modes == {
        "tls": "0o755",
        "ca.pem": "0o644",
        "ca.key": "0o600",
        "server.names": "0o600",
        "server.pem": "0o600",
    }
    assert "PRIVATE KEY" not in ca.read_text()


def test_strict_clients_trust_it_for_each_name(certificate_script: Any, ca: Path) -> None:
    certificate_script("make", ca, *NAMES)
    for name in NAMES:
        kind = "-verify_ip" if name[-1] == "1" else "-verify_hostname"
        assert "OK" in openssl(
            "verify", "-x509_strict", "-purpose", "sslserver", "-CAfile", str(ca), kind, name, leaf(ca)
        )
    assert "NOT match" in openssl("x509", "-in", leaf(ca), "-noout", "-checkhost", "other.test")


def test_the_strictest_verifier_trusts_it(certificate_script: Any, ca: Path) -> None:
    """It holds certificates to the CA/Browser Forum's rules, as sslyze does."""
    pem = certificate_script("make", ca, *NAMES).stdout
    store = verification.Store([x509.load_pem_x509_certificate(ca.read_bytes())])
    certificate = x509.load_pem_x509_certificate(pem.encode())
    for name in NAMES:
        subject = x509.IPAddress(ip_address(name)) if name[-1] == "1" else x509.DNSName(name)
        chain = verification.PolicyBuilder().store(store).build_server_verifier(subject).verify(certificate, [])
        assert len(chain) == 2


def test_one_of_an_earlier_version_is_made_anew(certificate_script: Any, ca: Path) -> None:
    first = certificate_script("make", ca, *NAMES, days=825)
    ca.with_name("server.names").write_text(" ".join(NAMES) + "\n")
    assert certificate_script("check", ca, *NAMES).returncode == 10
    second = certificate_script("make", ca, *NAMES)
    assert second.stdout != first.stdout
    assert certificate_script("make", ca, *NAMES).returncode == 0


def test_it_lasts_397_days(certificate_script: Any, ca: Path) -> None:
    certificate_script("make", ca, *NAMES)
    for days, outcome in ((396, "will not"), (398, "will expire")):
        run = subprocess.run(
            ["openssl", "x509", "-in", leaf(ca), "-noout", "-checkend", str(days * 86400)],
            capture_output=True,
            text=True,
            check=False,
        )
        assert outcome in run.stdout


def test_it_is_renewed_before_it_ends_by_the_same_authority(certificate_script: Any, ca: Path) -> None:
    first = certificate_script("make", ca, *NAMES, days=29)
    authority = ca.read_text()
    second = certificate_script("make", ca, *NAMES)
    assert second.returncode == 10
    assert second.stdout != first.stdout
    assert ca.read_text() == authority


def test_other_names_make_another_by_the_same_authority(certificate_script: Any, ca: Path) -> None:
    certificate_script("make", ca, *NAMES)
    authority = ca.read_text()
    assert certificate_script("check", ca, *NAMES, "new.test").returncode == 10
    certificate_script("make", ca, *NAMES, "new.test")
    assert "does match" in openssl("x509", "-in", leaf(ca), "-noout", "-checkhost", "new.test")
    assert ca.read_text() == authority


def test_an_authority_that_ends_is_made_anew_with_its_certificate(certificate_script: Any, ca: Path) -> None:
    first = certificate_script("make", ca, *NAMES)
    second = certificate_script("make", ca, *NAMES, days=9000, renew=3651)
    assert second.stdout != first.stdout
    openssl("verify", "-CAfile", str(ca), leaf(ca))


def test_a_good_pair_passes(certificate_script: Any, ca: Path) -> None:
    pem = certificate_script("make", ca, *NAMES).stdout
    given = certificate_script("given", ca, "llm.test", "127.0.0.1", "::1", pem=pem)
    assert (given.returncode, given.stdout, given.stderr) == (0, pem, "")


def test_every_bad_pair_is_told_apart(certificate_script: Any, ca: Path, tmp_path: Path) -> None:
    pem = certificate_script("make", ca, *NAMES).stdout
    start = pem.index("-----BEGIN PRIVATE")
    chain, key = pem[:start], pem[start:]
    other_ca = tmp_path / "other/ca.pem"
    other = certificate_script("make", other_ca, *NAMES).stdout
    old = certificate_script("make", tmp_path / "old/ca.pem", *NAMES, days=0).stdout
    bad = {
        "holds no certificate": "/etc/ssl/chain.pem\n" + key,
        "holds no key": chain,
        "does not belong": chain + other[other.index("-----BEGIN PRIVATE") :],
        "ended on": old,
    }
    for reason, text in bad.items():
        result = certificate_script("given", ca, "llm.test", pem=text)
        assert (result.returncode, result.stdout) == (1, "")
        assert reason in result.stderr
    result = certificate_script("given", ca, "elsewhere.test", pem=pem)
    assert result.returncode == 1
    assert "not good for the server_name elsewhere.test" in result.stderr
