# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Digests of images come from their registries, in the protocol that registries speak, and stand behind the tags."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import image_digests
import pytest
import registry_stub
import yaml

ROOT = Path(__file__).resolve().parents[2]
ONE, TWO = f"sha256:{'1' * 64}", f"sha256:{'2' * 64}"
FILE = """\
---
# A comment that stays.
llm_image_catalog:
  # renovate-image: depName={name}/team/web
  web: {{image: "{name}/team/web:1.2"}}
  longer: {{image: "{name}/team/web:1.2.3@{one}"}}
llm_images:
  plain: {name}/team/web:1.2
  computed: "{{{{ other }}}}"
  secret: !vault "x"
"""


@pytest.fixture
def registry() -> Iterator[registry_stub.Registry]:
    with registry_stub.running() as found:
        found.digests = {"team/web:1.2": TWO, "team/web:1.2.3": ONE}
        yield found


@pytest.fixture
def file(registry: registry_stub.Registry, tmp_path: Path) -> Path:
    path = tmp_path / "images.yml"
    path.write_text(FILE.format(name=registry.name, one=ONE))
    return path


def test_missing_digests_are_written_and_nothing_else(
    registry: registry_stub.Registry, file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = file.read_text()
    assert image_digests.main([str(file)]) == 0
    pinned = f"{registry.name}/team/web:1.2@{TWO}"
    assert file.read_text() == before.replace('web:1.2"', f'web:1.2@{TWO}"').replace("web:1.2\n", f"web:1.2@{TWO}\n")
    assert capsys.readouterr().out == f"image-digests: {pinned.replace('@', ' is ')}\n"
    assert registry.asked[:3] == [
        "HEAD /v2/team/web/manifests/1.2",
        "GET /token repository:team/web:pull",
        "HEAD /v2/team/web/manifests/1.2",
    ]
    assert image_digests.main([str(file)]) == 0
    assert capsys.readouterr().out == f"image-digests: {file} has the digests of the registries\n"


def test_a_tag_that_was_pushed_again_is_taken_only_on_request(
    registry: registry_stub.Registry, file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    registry.digests["team/web:1.2.3"] = TWO
    assert image_digests.main([str(file)]) == 1
    assert f"team/web:1.2.3 is {TWO} now, and {ONE} is written; use --moved to take it." in capsys.readouterr().err
    assert f"web:1.2.3@{ONE}" in file.read_text()
    assert image_digests.main([str(file), "--moved"]) == 0
    assert f"web:1.2.3@{TWO}" in file.read_text()


def test_a_registry_that_asks_for_nothing_and_an_image_of_one_architecture(
    registry: registry_stub.Registry, file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    registry.challenge, registry.kind = "", image_digests.MANIFESTS[0]
    assert image_digests.main([str(file)]) == 0
    assert "of one architecture only" in capsys.readouterr().out
    assert not [line for line in registry.asked if "token" in line]


@pytest.mark.parametrize(
    ("digests", "challenge", "words"),
    [
        ({}, None, "web:1.2: the registry answered 404: it has no such tag."),
        ({"team/web:1.2": "md5:1"}, None, "web:1.2: the registry named no digest; look it up with another client."),
        (None, 'Basic realm="private"', "web:1.2: the registry wants a log-in; look the digest up with a client that"),
        (None, 'Bearer realm="{url}/other"', "web:1.2: the server of its tokens answered 404; look the digest up"),
        (None, 'Bearer realm="file:///etc/hostname"', "web:1.2: the registry wants a log-in"),
        (None, 'Bearer realm="http://192.0.2.1/token"', "web:1.2: its token comes from a server without TLS"),
    ],
)
def test_what_a_registry_does_not_tell_is_said_and_left(
    registry: registry_stub.Registry,
    file: Path,
    capsys: pytest.CaptureFixture[str],
    digests: dict[str, str] | None,
    challenge: str | None,
    words: str,
) -> None:
    registry.digests = registry.digests if digests is None else digests
    registry.challenge = challenge or registry.challenge
    before = file.read_text()
    assert image_digests.main([str(file)]) == 1
    assert words in capsys.readouterr().err
    assert file.read_text() == before


def test_what_can_be_written_is_written_beside_what_cannot(
    registry: registry_stub.Registry, file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    del registry.digests["team/web:1.2.3"]
    assert image_digests.main([str(file)]) == 1
    assert f"web:1.2@{TWO}" in file.read_text()
    assert "web:1.2.3: the registry answered 404" in capsys.readouterr().err


def test_a_registry_that_nobody_answers_for(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "images.yml").write_text("llm_images: {web: 127.0.0.1:1/web:1, bad: web, untagged: a.b/web}\n")
    assert image_digests.main([str(tmp_path / "images.yml")]) == 1
    said = capsys.readouterr().err
    assert "127.0.0.1:1/web:1: the registry gave no answer" in said
    assert "image-digests: web is no image with a registry and a tag" in said
    assert "image-digests: a.b/web is no image with a registry and a tag" in said


def test_a_file_without_images(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "other.yml").write_text("# llm_images: {}\n")
    assert image_digests.main([str(tmp_path / "other.yml")]) == 1
    assert "other.yml has no image in llm_image_catalog or llm_images" in capsys.readouterr().err


def test_the_shipped_images_are_images_that_can_be_asked_for() -> None:
    text = (ROOT / "group_vars/all/llm_images.yml").read_text()
    found = [image_digests.parse(one) for one in image_digests.references(text)]
    assert len(found) == len(yaml.safe_load(text)["llm_image_catalog"])
    assert {one.registry for one in found} == {"docker.io", "ghcr.io", "quay.io"}
