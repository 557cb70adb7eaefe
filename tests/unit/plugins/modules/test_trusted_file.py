# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Keys and packages that root trusts: nothing that differs from what was asked for reaches the disk."""

from __future__ import annotations

import functools
import hashlib
import http.server
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.llmfleet.serving.plugins.modules import trusted_file
from module_runner import run_module
from openpgp_key import ARMORED, FINGERPRINT, packet

OTHER = "0" * 40


@pytest.fixture
def server(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """A server that is asked for what is below a folder."""
    folder = tmp_path / "served"
    folder.mkdir()
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{running.server_port}", folder
        running.shutdown()


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    def call(url: str, dest: Path, check: bool = False, **options: Any) -> dict[str, Any]:
        given = {"url": url, "dest": str(dest), "host": "gpu1", "variable": "own_variable", **options}
        return run_module(trusted_file.main, {**given, "_ansible_check_mode": check}, monkeypatch, capsys)

    return call


def test_a_key_with_a_known_fingerprint(run: Any, server: tuple[str, Path], tmp_path: Path) -> None:
    url, folder = server
    (folder / "gpg").write_text(ARMORED)
    dest = tmp_path / "key.asc"
    known = [OTHER, f"{FINGERPRINT[:20].lower()} {FINGERPRINT[20:]}"]
    would = run(f"{url}/gpg", dest, check=True, fingerprints=known)
    assert (would["changed"], dest.exists()) == (True, False)
    done = run(f"{url}/gpg", dest, fingerprints=known)
    assert (done["changed"], done["found"]) == (True, [FINGERPRINT])
    assert dest.read_text() == ARMORED
    assert dest.stat().st_mode & 0o777 == 0o644
    # Nobody is asked for what is there.
    (folder / "gpg").unlink()
    again = run(f"{url}/gpg", dest, fingerprints=known)
    assert (again["changed"], again["found"]) == (False, [FINGERPRINT])
    dest.chmod(0o600)
    assert run(f"{url}/gpg", dest, fingerprints=known)["changed"]
    assert dest.stat().st_mode & 0o777 == 0o644


def test_a_key_that_nobody_asked_for_is_refused(run: Any, server: tuple[str, Path], tmp_path: Path) -> None:
    url, folder = server
    (folder / "gpg").write_text(ARMORED)
    dest = tmp_path / "key.asc"
    refused = run(f"{url}/gpg", dest, fingerprints=[OTHER])
    assert refused["failed"]
    assert refused["msg"] == (
        f'gpu1: own_variable is ["{OTHER}"]: {url}/gpg has {FINGERPRINT}, so it was not written; '
        "ask its publisher; only if that is the right one, set own_variable to it."
    )
    assert not dest.exists()
    # A second key beside the right one would be trusted as well.
    from_gpg = trusted_file.openpgp._binary(ARMORED.encode())
    (folder / "gpg").write_bytes(from_gpg + packet(b"\x04other"))
    assert "so it was not written" in run(f"{url}/gpg", dest, fingerprints=[FINGERPRINT])["msg"]
    assert not dest.exists()


def test_a_key_of_before_that_is_no_longer_asked_for_is_replaced(
    run: Any, server: tuple[str, Path], tmp_path: Path
) -> None:
    url, folder = server
    dest = tmp_path / "key.asc"
    dest.write_bytes(packet(b"\x04old"))
    (folder / "gpg").write_text(ARMORED)
    assert run(f"{url}/gpg", dest, fingerprints=[FINGERPRINT])["changed"]
    assert dest.read_text() == ARMORED


def test_a_package_with_a_known_checksum(run: Any, server: tuple[str, Path], tmp_path: Path) -> None:
    url, folder = server
    (folder / "a.deb").write_bytes(b"package")
    dest = tmp_path / "a.deb"
    for kind in ("sha256", "sha512"):
        checksum = f"{kind}:{hashlib.new(kind, b'package').hexdigest()}"
        assert run(f"{url}/a.deb", dest, checksum=checksum)["found"] == [checksum]
    assert dest.read_bytes() == b"package"
    (folder / "a.deb").write_bytes(b"other")
    refused = run(f"{url}/a.deb", tmp_path / "b.deb", checksum=checksum)
    assert f"has sha512:{hashlib.sha512(b'other').hexdigest()}, so it was not written" in refused["msg"]
    assert not (tmp_path / "b.deb").exists()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({}, 'own_variable is "": nothing says which file file:///nowhere is, and root would trust any; set it to'),
        ({"checksum": "abc"}, 'own_variable is "abc": it is no checksum; write sha256: and'),
        ({"checksum": "md5:" + "0" * 32}, "it is no checksum"),
        ({"fingerprints": [OTHER, "0EBFCD88"]}, 'own_variable is "0EBFCD88": it is no fingerprint; write all'),
        ({"fingerprints": [OTHER]}, "file:///nowhere cannot be fetched: "),
    ],
    ids=str,
)
def test_what_says_nothing_is_refused(run: Any, tmp_path: Path, options: dict[str, Any], words: str) -> None:
    refused = run("file:///nowhere", tmp_path / "key.asc", **options)
    assert refused["failed"]
    assert refused["msg"].startswith("gpu1: ")
    assert words in refused["msg"]


def test_what_is_no_key_is_told(
    run: Any, server: tuple[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url, folder = server
    (folder / "gpg").write_text("<html>Please log in</html>")
    told = run(f"{url}/gpg", tmp_path / "key.asc", fingerprints=[FINGERPRINT])["msg"]
    assert told == f"gpu1: {url}/gpg is no key: it has no public key of OpenPGP. Correct its URL."
    absent = run(url.replace("//", "//me:canary@") + "/other", tmp_path / "key.asc", fingerprints=[FINGERPRINT])["msg"]
    assert "404" in absent
    assert "canary" not in absent
    monkeypatch.setattr(trusted_file, "MOST", 8)
    assert "has more than 8 bytes" in run(f"{url}/gpg", tmp_path / "key.asc", fingerprints=[FINGERPRINT])["msg"]


def test_a_folder_that_is_missing_is_told(run: Any, server: tuple[str, Path], tmp_path: Path) -> None:
    url, folder = server
    (folder / "gpg").write_text(ARMORED)
    told = run(f"{url}/gpg", tmp_path / "missing" / "key.asc", fingerprints=[FINGERPRINT])
    assert told["failed"]
    assert told["msg"].endswith("Create it first.")
