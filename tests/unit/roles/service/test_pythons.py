# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The real uv brings a Python where the host's own does not fit, from a mirror or an archive, with no network.

What it brings is a stand-in for a release of python-build-standalone: real ones cannot be downloaded everywhere
(tests/support/python_standin.py).
"""

from __future__ import annotations

import json
import os
import re
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.llmfleet.serving.plugins.module_utils.host import python_choice
from ansible_collections.llmfleet.serving.tests.support import python_standin

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[3]
UV = Path(sys.executable).with_name("uv")
WIRING = "roles/fleet_defaults/defaults"
# A Python of the future, which no lock is for.
FUTURE = "3.99.1"

needs_root = pytest.mark.skipif(os.getuid() != 0, reason="files on hosts belong to root")


def wiring(name: str) -> Any:
    """A default of fleet_defaults, in whichever of its files it stands."""
    for path in sorted((ROOT / WIRING).rglob("*.yml")):
        values = yaml.safe_load(path.read_text())
        if name in values:
            return values[name]
    raise KeyError(name)


@pytest.fixture(scope="module")
def release() -> str:
    return python_standin.interpreter_facts()["version"]


@pytest.fixture(scope="module")
def mirror(tmp_path_factory: pytest.TempPathFactory, release: str) -> dict[str, str]:
    """The environment in which uv finds the stand-in."""
    return python_standin.make(tmp_path_factory.mktemp("standin"), release)


def build(
    folder: Path, release: str, environment: dict[str, str], *arguments: str, **variables: Any
) -> subprocess.CompletedProcess[str]:
    """Build an environment under a folder, on a host whose Python is of the future, with a uv that has no network."""
    tools = folder / "opt/tools/bin"
    if not tools.is_dir():
        tools.mkdir(parents=True)
        (folder / "opt/venvs").mkdir()
        (tools / "uv").symlink_to(UV)
        (folder / "lock.txt").write_text("# Nothing is needed.\n")
        (folder / "python3").write_text(f"#!/bin/sh\necho {FUTURE}\n")
        (folder / "python3").chmod(0o755)
        (folder / "home").mkdir()
    given = {
        "ansible_python_interpreter": python_standin.INTERPRETER,
        "probe_requirements": str(folder / "lock.txt"),
        "service_root": str(folder / "opt"),
        "service_state_root": str(folder / "state"),
        "service_containers": False,
        "service_container_engine": "docker",
        "service_proxy_environment": {},
        "service_pip_environment": {"UV_OFFLINE": "1", "HOME": str(folder / "home"), **environment},
        "service_python": str(folder / "python3"),
        "service_pythons": {"probe": [python_choice.minor(release)]},
        "service_python_release": release,
        "service_python_choice": {
            "path": str(folder / "python3"),
            "release": release,
            "root": str(folder / "opt/python"),
            "downloads": True,
        },
        **variables,
    }
    (folder / "variables.json").write_text(json.dumps(given))
    command = [str(UV.with_name("ansible-playbook")), "-i", "here,", str(HERE / "pythons.yml")]
    return subprocess.run(
        [*command, "-e", f"@{folder}/variables.json", *arguments],
        cwd=ROOT,
        env={**os.environ, "ANSIBLE_NOCOLOR": "1"},
        # Service users read what root installs, whatever mask root works with.
        umask=0o077,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=900,
    )


def of_others(folder: Path) -> list[Path]:
    """What is below a folder that not everybody can read, or that everybody can write, but for locks."""
    found = []
    for path in [folder, *folder.rglob("*")]:
        mode = path.lstat().st_mode
        wanted = stat.S_IROTH | (stat.S_IXOTH if stat.S_ISDIR(mode) else 0)
        if path.name != ".lock" and not stat.S_ISLNK(mode) and (mode & wanted != wanted or mode & stat.S_IWOTH):
            found.append(path)
    return found


@needs_root
def test_uv_brings_it_from_a_mirror(tmp_path: Path, release: str, mirror: dict[str, str]) -> None:
    listing = {"UV_PYTHON_DOWNLOADS_JSON_URL": mirror["UV_PYTHON_DOWNLOADS_JSON_URL"]}
    url = mirror["UV_PYTHON_INSTALL_MIRROR"]
    tmp_path.chmod(0o755)
    run = build(tmp_path, release, listing, service_python_mirror=url)
    assert run.returncode == 0, run.stdout
    said = " ".join(run.stdout.split())
    minor = python_choice.minor(release)
    assert f"here: probe needs Python {minor}, {tmp_path}/python3 is {FUTURE}: uv brings {release} into" in said
    python = Path(re.findall(r"python=(/[^\s'\"]+)", run.stdout)[0])
    assert python.resolve().is_relative_to(tmp_path / "opt/python")
    shown = subprocess.run([str(python), "-c", "import sys; print(sys.base_prefix)"], stdout=subprocess.PIPE, text=True)
    assert shown.stdout.startswith(str(tmp_path / "opt/python/cpython-"))
    assert of_others(tmp_path / "opt/python") == []
    # Who can open a lock can hold it, and then root waits.
    locks = {str(path.relative_to(tmp_path / "opt")): path.stat().st_mode & 0o777 for path in tmp_path.rglob(".lock")}
    assert {name.split("/")[0] for name in locks} == {"cache", "python", "venvs"}
    assert set(locks.values()) == {0o600}, locks
    # Removal takes the service root away, and nothing may be elsewhere.
    assert list((tmp_path / "home").rglob("*")) == []

    again = build(tmp_path, release, listing, service_python_mirror=url)
    assert re.search(r"changed=0 .*failed=0", again.stdout), again.stdout


@needs_root
def test_uv_brings_it_from_an_archive_on_the_control_node(tmp_path: Path, release: str, mirror: dict[str, str]) -> None:
    listing = {"UV_PYTHON_DOWNLOADS_JSON_URL": mirror["UV_PYTHON_DOWNLOADS_JSON_URL"]}
    empty = build(tmp_path, release, listing, service_python_archives=str(tmp_path / "home"))
    assert empty.returncode != 0
    said = " ".join(empty.stdout.split())
    assert f"service_python_archives is {tmp_path}/home, and 0 files there are named cpython-{release}+*-" in said
    archives = mirror["UV_PYTHON_INSTALL_MIRROR"].replace("file://", "") + f"/{python_standin.BUILD}"
    foretold = build(tmp_path, release, listing, "--check", service_python_archives=archives)
    assert foretold.returncode == 0, foretold.stdout
    assert not (tmp_path / "opt/python").exists()
    run = build(tmp_path, release, listing, service_python_archives=archives)
    assert run.returncode == 0, run.stdout
    assert list((tmp_path / "opt/python").glob(f"cpython-{release}-*/bin/python3"))


@needs_root
def test_an_archive_that_is_not_the_release_is_refused(tmp_path: Path, mirror: dict[str, str]) -> None:
    """Without a list of its own uv takes real releases alone, whatever a mirror has under their name."""
    release = wiring("service_python_release")
    folder = tmp_path / f"mirror/{python_standin.BUILD}"
    folder.mkdir(parents=True)
    (archive,) = Path(mirror["UV_PYTHON_INSTALL_MIRROR"].replace("file://", "")).glob("*/*.gz")
    (folder / re.sub(r"-[\d.]+\+", f"-{release}+", archive.name)).symlink_to(archive)
    run = build(tmp_path, release, {}, service_python_mirror=f"file://{tmp_path}/mirror")
    assert run.returncode != 0
    said = " ".join(run.stdout.replace("\\n", " ").split())
    assert f"here: uv could not bring Python {release}; give a mirror that this host reaches" in said
    assert "hash mismatch" in said.lower(), said
    assert not list((tmp_path / "opt").glob("venvs/*/.complete"))


def test_a_lock_without_hashes_is_refused_on_the_control_node(tmp_path: Path, release: str) -> None:
    lock = tmp_path / "bare.txt"
    lock.write_text("six==1.17.0\n")
    run = build(tmp_path, release, {}, probe_requirements=str(lock))
    assert run.returncode != 0
    said = " ".join(run.stdout.replace('\\"', '"').split())
    assert f'here: service_package.requirements is "{lock}": 1 of 1 lines of this lock have no hash (six)' in said
    assert list((tmp_path / "opt/venvs").iterdir()) == []


def test_the_page_says_what_the_table_says() -> None:
    """Each row of docs/pythons.md: the versions of the lock, and what becomes of the Python of each distribution."""
    rows = [
        [cell.strip() for cell in line.strip("|\n").split("|")]
        for line in (ROOT / "docs/pythons.md").read_text().splitlines()
        if line.count("|") == 7 and re.search(r"3\.\d", line)
    ]
    distributions = re.findall(r"\((3\.\d+)\)", " ".join(rows[0]))
    assert len(distributions) == 4
    table = wiring("service_pythons")
    said = {}
    for name, versions, *cells in rows[1:]:
        numbers = [int(minor) for minor in re.findall(r"3\.(\d+)", versions)]
        known = range(numbers[0], numbers[-1] + 1) if " to " in versions else numbers
        said[name.split(" (")[0]] = [f"3.{minor}" for minor in known]
        for python, cell in zip(distributions, cells, strict=True):
            assert (cell == "host's") == (python in said[name.split(" (")[0]]), f"{name}, Python {python}"
    (cpu, gpu) = re.findall(r"\[.*?\]", table["vllm"])
    assert said["vLLM, CPUs"] == yaml.safe_load(cpu)
    assert said["vLLM, GPUs"] == yaml.safe_load(gpu)
    assert said["LiteLLM"] == table["litellm"]
    assert said["Open WebUI"] == table["open-webui"]
    accepted = re.findall(r"^  (3\.\d+(?: \| 3\.\d+)*)\) ;;", (ROOT / "scripts/venv.sh").read_text(), re.MULTILINE)
    assert said["the control node's own environment"] == accepted[0].split(" | ")


def test_there_is_one_table() -> None:
    """Versions of Python that something runs on are listed in the wiring, and in no role or playbook beside it."""
    listed = [
        path.relative_to(ROOT)
        for path in [*ROOT.glob("roles/**/*.yml"), *ROOT.glob("playbooks/**/*.yml")]
        if re.search(r"""['"]3\.1\d['"]""", path.read_text())
    ]
    assert [path for path in listed if not str(path).startswith(WIRING)] == []
    assert len(listed) == 1


def test_the_release_is_one_that_fits_every_application_and_that_uv_knows() -> None:
    release = str(wiring("service_python_release"))
    for name, versions in wiring("service_pythons").items():
        assert python_choice.minor(release) in versions, name
    listed = subprocess.run(
        [str(UV), "python", "list", "--no-config", "--all-versions", "--all-arches", "--only-downloads", release],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    for architecture in ("x86_64", "aarch64"):
        assert f"cpython-{release}-linux-{architecture}-gnu" in listed.stdout
    pinned = [(ROOT / name).read_text() for name in ("requirements/uv.in", "roles/service/files/tools.in")]
    (version,) = {found for text in pinned for found in re.findall(r"^uv==(\S+)", text, re.MULTILINE)}
    shown = subprocess.run([str(UV), "--version"], stdout=subprocess.PIPE, text=True, check=True)
    assert shown.stdout.split()[1] == version
