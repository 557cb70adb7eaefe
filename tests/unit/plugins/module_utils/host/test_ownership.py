# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Directories that are handed over: all of the owner's own, nothing of others, and the directory itself last."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from ansible_collections.llmfleet.serving.plugins.module_utils.host import ownership
from ansible_collections.llmfleet.serving.plugins.module_utils.host.ownership import Owner

OLD, NEW, OTHER = Owner(54321, 54322), Owner(54331, 54332), Owner(54341, 54342)
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """A directory of an earlier user, in which others have something as well."""
    folder = tmp_path / "state"
    (folder / "cache" / "triton").mkdir(parents=True)
    (tmp_path / "outside").write_text("not in it")
    (folder / "cache" / "kernel").write_text("compiled")
    (folder / "cache" / "link").symlink_to(tmp_path / "outside")
    (folder / "cache" / "way-out").symlink_to(tmp_path)
    (folder / "shared").write_text("group of its own")
    (folder / "theirs").write_text("of another user")
    (folder / ".prepared-1").write_text("of root")
    for path in (folder, *folder.rglob("*")):
        os.chown(path, *OLD, follow_symlinks=False)
    os.chown(folder / "shared", OLD.user, OTHER.group)
    os.chown(folder / "theirs", *OTHER)
    os.chown(folder / ".prepared-1", 0, 0)
    return folder


def owners(folder: Path) -> dict[str, Owner | None]:
    found = {str(path.relative_to(folder)): ownership.of_path(str(path)) for path in folder.rglob("*")}
    return {".": ownership.of_path(str(folder)), **found}


@needs_root
def test_what_the_earlier_user_had_changes_hands_and_nothing_else(state: Path) -> None:
    ownership.hand_over(str(state), NEW)
    mine = dict.fromkeys([".", "cache", "cache/triton", "cache/kernel", "cache/link", "cache/way-out"], NEW)
    kept = {"shared": Owner(NEW.user, OTHER.group), "theirs": OTHER, ".prepared-1": Owner(0, 0)}
    assert owners(state) == {**mine, **kept}
    assert ownership.of_path(str(state.parent / "outside")) == Owner(0, os.getegid())
    assert (state / "cache" / "kernel").read_text() == "compiled"


@needs_root
def test_an_interrupted_call_is_completed(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real, calls = os.chown, []

    def some(*given: object, **more: object) -> None:
        calls.append(given)
        if len(calls) == 3:
            raise PermissionError(1, "Operation not permitted", given[0])
        real(*given, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(os, "chown", some)
    with pytest.raises(PermissionError):
        ownership.hand_over(str(state), NEW)
    assert ownership.of_path(str(state)) == OLD
    ownership.hand_over(str(state), NEW)
    assert OLD not in owners(state).values()


@needs_root
def test_of_a_directory_of_root_only_itself_is_given_away(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("")
    ownership.hand_over(str(tmp_path), NEW)
    assert owners(tmp_path) == {".": NEW, "a": Owner(0, os.getegid())}


def test_what_belongs_to_whom(tmp_path: Path) -> None:
    assert ownership.of_account("root") == Owner(0, 0)
    assert ownership.of_account("llm-nobody-yet") is None
    assert ownership.of_path(str(tmp_path / "nothing")) is None
    assert not ownership.is_foreign(str(tmp_path / "nothing"), "llm-nobody-yet")
    assert ownership.is_foreign(str(tmp_path), "llm-nobody-yet")
    ownership.hand_over(str(tmp_path / "nothing"), NEW)
    assert not (tmp_path / "nothing").exists()
