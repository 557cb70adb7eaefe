# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Generations of a service: what each was started with, which are kept, and what one needs to start again.

Pure functions over dictionaries. A generation is ``{generation, state, when, package, revision, ready_seconds,
digest, instance, model, snapshot, image, service, paths, files}``: ``state`` is good once it came up ready and failed
until then,
``when`` is the last time that it was started (UTC, ISO 8601), ``digest`` is that of its files and its program,
``service`` are the parameters with which ``service_state`` starts it, ``paths`` are the files that decide on the
digest, and ``files`` are those of them that were there, ``{path, name, owner, group, mode}``.
"""

from __future__ import annotations

from typing import Any, Iterable, Mapping

GOOD, FAILED = "good", "failed"
# Good generations that are kept besides the present one.
KEPT = 3
# Directory of environments below their root.
ENVIRONMENTS = "/venvs/"


def package_of(command: str, image: str) -> str:
    """Return what a service's program comes from: the image, the directory of the environment, or the program itself.

    :param command: path of the program.
    """
    if image:
        return image
    before, found, after = command.partition(ENVIRONMENTS)
    return f"{before}{found}{after.partition('/')[0]}" if found else command


def revision_of(given: str, snapshot: str) -> str:
    """Return the commit of a snapshot of the hub's cache, else the revision that was asked for."""
    parts = snapshot.rstrip("/").split("/")
    return parts[-1] if len(parts) > 1 and parts[-2] == "snapshots" else given


def with_digest(found: Iterable[dict[str, Any]], digest: str) -> dict[str, Any] | None:
    """Return the newest generation that was started with the same files and program."""
    same = [one for one in found if one["digest"] == digest]
    return max(same, key=lambda one: int(one["generation"]), default=None)


def next_number(found: Iterable[Mapping[str, Any]]) -> int:
    """Return the number of a new generation; numbers begin with 1 and are not used again while later ones are kept."""
    return max((int(one["generation"]) for one in found), default=0) + 1


def superfluous(found: Iterable[Mapping[str, Any]], present: int | None, on_disk: int | None = None) -> list[int]:
    """Return the numbers of the generations that are not kept any more.

    :param present: the one that runs, or ran last.
    :param on_disk: the one whose files are in force, which may be one that failed.
    """
    kept = {present, on_disk}
    good = [one for one in found if one["state"] == GOOD and one["generation"] not in kept]
    good.sort(key=lambda one: (str(one["when"]), int(one["generation"])))
    kept |= {one["generation"] for one in good[-KEPT:]}
    return sorted(int(one["generation"]) for one in found if one["generation"] not in kept)


def told(generation: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """Return what the ledger says of a generation."""
    if generation is None:
        return None
    return {name: generation.get(name) for name in ("generation", "revision", "package")}


def previous(found: Iterable[Mapping[str, Any]], present: int | None) -> int | None:
    """Return the last good generation before the present one; none that a restore has left."""
    good = [one for one in found if one["state"] == GOOD and one["generation"] != present and not one.get("left")]
    good.sort(key=lambda one: (str(one["when"]), int(one["generation"])))
    return int(good[-1]["generation"]) if good else None


def needed_paths(generation: Mapping[str, Any]) -> dict[str, str]:
    """Return the paths that must be there before a restore, with what each is."""
    paths = {}
    if not generation["image"] and ENVIRONMENTS in generation["package"]:
        paths[generation["package"]] = "its environment"
    paths[generation["service"]["command"]] = "its program"
    if generation["snapshot"].startswith("/"):
        paths[generation["snapshot"]] = "its model"
    for path in generation["service"]["secret_files"]:
        paths[path] = "the file with its secrets"
    for one in generation["files"]:
        paths[one["path"].rpartition("/")[0]] = "the directory of its files"
    return paths


def target(found: list[dict[str, Any]], present: Mapping[str, Any] | None, is_on_disk: bool) -> int | None:
    """Return the generation that a restore leads to unless one is named; None if there is none.

    :param is_on_disk: whether the files of the present one are in force. They are not if a later one did not come up;
        then the present one is the last that was good.
    """
    if present and present["state"] == GOOD and not is_on_disk:
        return int(present["generation"])
    return previous(found, present["generation"] if present else None)


def refusal(service: str, generation: Mapping[str, Any], missing: list[str], others: list[int]) -> str:
    """Return why a service cannot go back to a generation.

    :param missing: what is gone, in words.
    :param others: numbers of other good generations.
    """
    choice = f"choose another generation ({', '.join(map(str, others))})" if others else "no other is kept"
    return (
        f"{service} cannot go back to generation {generation['generation']}, and nothing was changed: "
        f"{' and '.join(missing)} {'are' if len(missing) > 1 else 'is'} gone from this host. Run site.yml with the "
        f"inventory of that time, which installs it again; {choice}."
    )
