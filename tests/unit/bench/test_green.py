# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""When a scenario may be skipped: any input that changes runs it again, and only a whole green run is recorded."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[3]
BENCH = ROOT / "tests" / "bench"
FILES = {
    ".gitignore": "*.log\n",
    "galaxy.yml": "version: 1\n",
    "roles/vllm/tasks/main.yml": "---\n",
    "roles/vllm/files/start.sh": "#!/bin/sh\n",
    "molecule/default/molecule.yml": "---\n",
    "molecule/gpu/molecule.yml": "---\n",
    "molecule/shared/create.yml": "---\n",
    "tests/bench/scenario.py": "\n",
    "tests/unit/plugins/module_utils/data/nvidia_smi/card.xml": "<card/>\n",
    "tests/unit/plugins/test_plan.py": "\n",
    "docs/index.md": "# Docs\n",
    "changelogs/fragments/1.yml": "---\n",
    "README.md": "# Read me\n",
}


def git(root: Path, *arguments: str) -> None:
    identity = ["-c", "user.name=test", "-c", "user.email=test@example.org"]
    subprocess.run(["git", *identity, *arguments], cwd=root, check=True, capture_output=True)


@pytest.fixture
def green(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(BENCH))
    import green as module

    return module


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    for name, text in FILES.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    (tmp_path / "roles/vllm/files/current").symlink_to("start.sh")
    git(tmp_path, "init", "--quiet")
    git(tmp_path, "add", "--all")
    git(tmp_path, "commit", "--quiet", "--message", "First")
    return tmp_path


def record(green: ModuleType, root: Path, scenario: str = "default", **changes: str) -> Path:
    paths = green.inputs(root, scenario)
    values = {
        "digest": green.digest(root, scenario, paths),
        "files": len(paths),
        "seen": "2026-01-02T03:04:05+00:00",
        "ansible_core": "2.19.0",
        "container_engine": "docker 20",
        **changes,
    }
    file: Path = green.write_record(root, scenario, green.Record(**values))
    return file


def edit(root: Path) -> None:
    (root / "roles/vllm/tasks/main.yml").write_text("--- # another\n")


def add(root: Path) -> None:
    (root / "roles/vllm/tasks/more.yml").write_text("---\n")


def add_folder(root: Path) -> None:
    (root / "new").mkdir()
    (root / "new" / "file").write_text("\n")


def delete(root: Path) -> None:
    (root / "roles/vllm/tasks/main.yml").unlink()


def rename(root: Path) -> None:
    (root / "roles/vllm/tasks/main.yml").rename(root / "roles/vllm/tasks/first.yml")


def make_program(root: Path) -> None:
    (root / "roles/vllm/files/start.sh").chmod(0o755)


def relink(root: Path) -> None:
    link = root / "roles/vllm/files/current"
    link.unlink()
    link.symlink_to("other.sh")


def replace_link(root: Path) -> None:
    link = root / "roles/vllm/files/current"
    link.unlink()
    link.write_text("start.sh")


def edit_replayed_data(root: Path) -> None:
    (root / "tests/unit/plugins/module_utils/data/nvidia_smi/card.xml").write_text("<card>another</card>\n")


def edit_bench(root: Path) -> None:
    (root / "tests/bench/scenario.py").write_text("pass\n")


def edit_own_scenario(root: Path) -> None:
    (root / "molecule/default/molecule.yml").write_text("--- # another\n")


def edit_shared_by_scenarios(root: Path) -> None:
    (root / "molecule/shared/create.yml").write_text("--- # another\n")


def commit_an_edit(root: Path) -> None:
    edit(root)
    git(root, "commit", "--quiet", "--all", "--message", "Second")


CHANGES = [
    edit,
    add,
    add_folder,
    delete,
    rename,
    make_program,
    relink,
    replace_link,
    edit_replayed_data,
    edit_bench,
    edit_own_scenario,
    edit_shared_by_scenarios,
    commit_an_edit,
]


def nothing(_root: Path) -> None:
    pass


def edit_documents(root: Path) -> None:
    (root / "docs/index.md").write_text("# Other docs\n")
    (root / "README.md").unlink()
    (root / "changelogs/fragments/2.yml").write_text("---\n")


def edit_other_scenario(root: Path) -> None:
    (root / "molecule/gpu/molecule.yml").write_text("--- # another\n")


def edit_unit_test(root: Path) -> None:
    (root / "tests/unit/plugins/test_plan.py").write_text("pass\n")


def add_ignored(root: Path) -> None:
    (root / "roles/vllm/run.log").write_text("\n")


def commit(root: Path) -> None:
    (root / "docs/index.md").write_text("# Other docs\n")
    git(root, "commit", "--quiet", "--all", "--message", "Second")


def touch(root: Path) -> None:
    os.utime(root / "roles/vllm/tasks/main.yml", (0, 0))
    # What a clone's umask decides, and git does not know.
    (root / "roles/vllm/tasks/main.yml").chmod(0o600)


@pytest.mark.parametrize("change", CHANGES)
def test_a_changed_input_runs_the_scenario(green: ModuleType, checkout: Path, change: Callable[[Path], None]) -> None:
    record(green, checkout)
    assert green.seen_green(checkout, "default") is not None
    change(checkout)
    assert green.seen_green(checkout, "default") is None


@pytest.mark.parametrize(
    "change", [nothing, edit_documents, edit_other_scenario, edit_unit_test, add_ignored, commit, touch]
)
def test_what_is_no_input_does_not(green: ModuleType, checkout: Path, change: Callable[[Path], None]) -> None:
    record(green, checkout)
    change(checkout)
    assert green.seen_green(checkout, "default") is not None


def test_an_input_that_is_changed_back_is_the_same(green: ModuleType, checkout: Path) -> None:
    record(green, checkout)
    edit(checkout)
    (checkout / "roles/vllm/tasks/main.yml").write_text(FILES["roles/vllm/tasks/main.yml"])
    assert green.seen_green(checkout, "default") is not None


def test_each_scenario_has_a_record_of_its_own(green: ModuleType, checkout: Path) -> None:
    file = record(green, checkout)
    assert green.seen_green(checkout, "gpu") is None
    file.rename(file.with_name("gpu.json"))
    assert green.seen_green(checkout, "gpu") is None


@pytest.mark.parametrize(
    "text",
    [
        "",
        "green",
        "[]",
        "{}",
        json.dumps({"digest": "0" * 64}),
        json.dumps({"digest": "", "files": 0, "seen": "", "ansible_core": "", "container_engine": ""}),
        json.dumps({"digest": "0" * 64, "files": 9, "seen": "", "ansible_core": "", "container_engine": ""}),
    ],
)
def test_a_record_that_does_not_fit_skips_nothing(green: ModuleType, checkout: Path, text: str) -> None:
    record(green, checkout).write_text(text)
    assert green.seen_green(checkout, "default") is None


def test_outside_a_checkout_nothing_is_skipped(
    green: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    (tmp_path / "galaxy.yml").write_text("version: 1\n")
    assert green.inputs(tmp_path, "default") == []
    record(green, tmp_path)
    assert green.seen_green(tmp_path, "default") is None


def test_what_a_scenario_borrows_is_its_input(green: ModuleType) -> None:
    """A scenario whose files name those of another one is run when they change."""
    for folder in {file.parent for file in (ROOT / "molecule").glob("*/molecule.yml")}:
        text = "".join(path.read_text(errors="replace") for path in folder.rglob("*") if path.is_file())
        for other in (ROOT / "molecule").iterdir():
            if other != folder and (f"molecule/{other.name}" in text or f"../{other.name}/" in text):
                assert green.is_input(f"molecule/{other.name}/molecule.yml", folder.name), folder.name
    for borrowed in re.findall(r"molecule/\S+", (BENCH / "first_command.sh").read_text()):
        assert green.is_input(borrowed, "first-command"), borrowed


def named_paths(text: str) -> list[str]:
    """Name what a text names below tests/, also where Python joins the parts of a path."""
    return [name.rstrip("./") for name in re.findall(r"\btests/[\w./-]+", re.sub(r'"\s*/\s*"', "/", text))]


@pytest.mark.parametrize("proof", ["default", "gpu", "container", "fleet", "first-command"])
def test_what_the_files_of_a_proof_name_below_tests_is_its_input(green: ModuleType, proof: str) -> None:
    inputs, seen = green.inputs(ROOT, proof), set()
    # One program names what does not count, the other is read by one proof alone.
    others = {"tests/bench/green.py"} | (
        {"tests/bench/first_command.sh"} - {f"tests/bench/{proof}.sh".replace("-", "_")}
    )
    for own in inputs:
        if own in others or not own.startswith(("molecule/", ".config/", "tests/")):
            continue
        for named in named_paths((ROOT / own).read_text(errors="replace")):
            below = {path for path in inputs if path == named or path.startswith(f"{named}/")}
            # Records are what a run writes.
            if (ROOT / named).exists() and named != "tests/bench/green":
                assert below, f"{own} names {named}, which does not count for {proof}"
            seen |= below
    assert "tests/leaks/scan_secrets.py" in seen


def test_what_one_proof_alone_reads_counts_whole_for_it_and_nothing_for_others(green: ModuleType) -> None:
    others = {"default", "gpu", "fleet", "first-command"}
    for own, proof in green.OWN.items():
        path = ROOT / own
        files = [path] if path.is_file() else [file for file in path.rglob("*") if file.is_file()]
        names = [file.relative_to(ROOT).as_posix() for file in files]
        assert names, own
        assert all(green.is_input(name, proof) for name in names)
        assert not any(green.is_input(name, other) for name in names for other in others - {proof})
    assert green.is_input("tests/fleet/test_fleet.py", "fleet")


@pytest.mark.parametrize(
    "path",
    [
        "tests/gate/conftest.py",
        "tests/vllm/table.py",
        "tests/unit/conftest.py",
        "tests/support/replay.py",
        "tests/run.py",
    ],
)
def test_no_inputs_by_default(green: ModuleType, path: str) -> None:
    assert not any(green.is_input(path, proof) for proof in ("default", "gpu", "fleet", "first-command"))


@pytest.mark.parametrize(
    "path",
    [
        "site.yml",
        "galaxy.yml",
        "mk/test.mk",
        "plugins/modules/anything.py",
        "roles/vllm/files/vllm.txt",
        "group_vars/all.yml",
        "inventories/local/group_vars/all.yml",
        "requirements/test.txt",
        "tests/bench/green.py",
        "tests/leaks/scan_secrets.py",
        "tests/unit/plugins/module_utils/data/nvidia_smi/card.xml",
        "tests/something_new/file.py",
        "molecule/default/tests/test_services.py",
        "molecule/shared/files/left_behind.sh",
        ".config/molecule/config.yml",
        "something/nobody/knows",
    ],
)
def test_inputs_by_default(green: ModuleType, path: str) -> None:
    assert green.is_input(path, "default")


# What the programs of the bench call, as far as the runner of scenarios is concerned: exit codes and one version.
STAND_IN = """#!/bin/sh
echo "$(basename "$0") $*" >>"{calls}"
[ "${{BENCH_SERIAL:-}}" = "" ] || echo "$*" >>"{root}/at-once.log"
case "$*" in
  "version --format"*) echo 20.10 ;;
  "{fails}"*) exit 1 ;;
  "{edits}"*) echo edited >>"{root}/galaxy.yml" ;;
  "{waits}"*) touch "{root}/waiting.log"; sleep 60 ;;
esac
"""


# There are no secrets to look for.
SCAN = """class Scan:
    def __init__(self, secrets):
        pass

    def found_in(self, data):
        return []
"""


@pytest.fixture
def scenario(checkout: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., subprocess.Popen[str]]:
    """Start the real runner in a checkout whose Molecule and Docker are stand-ins."""
    programs = tmp_path_factory.mktemp("programs")
    (checkout / ".gitignore").write_text("*.log\n/build/\n__pycache__/\n")
    (checkout / "molecule/default/inventory").mkdir()
    (checkout / "molecule/default/inventory/hosts.yml").write_text("bench: {hosts: {aio: {}}}\n")
    for name in ("scenario.py", "green.py"):
        (checkout / "tests/bench" / name).write_text((BENCH / name).read_text())
    (checkout / "tests/leaks").mkdir()
    (checkout / "tests/leaks/scan_secrets.py").write_text(SCAN)

    def start(*arguments: str, fails: str = "-", edits: str = "-", waits: str = "-") -> subprocess.Popen[str]:
        names = {"calls": checkout / "calls.log", "root": checkout, "fails": fails, "edits": edits, "waits": waits}
        text = STAND_IN.format(**names)
        for path in (
            programs / "molecule",
            programs / "docker",
            checkout / "tests/bench/docker.sh",
            checkout / "tests/bench/images.sh",
        ):
            if not path.exists() or path.parent == programs:
                path.write_text(text)
                path.chmod(0o755)
        # The runner puts the folder of its Python before the PATH, and molecule is there in truth.
        code = f"import runpy, sys; sys.executable = {str(programs / 'python')!r}; sys.path.insert(0, 'tests/bench'); "
        code += "runpy.run_path('tests/bench/scenario.py', run_name='__main__')"
        return subprocess.Popen(
            [sys.executable, "-c", code, "default", *arguments],
            cwd=checkout,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    return start


def ended(process: subprocess.Popen[str]) -> tuple[int, str]:
    output = process.communicate(timeout=60)[0]
    return process.returncode, output


def test_a_whole_green_run_is_recorded_and_skipped_once_nothing_changed(
    green: ModuleType, checkout: Path, scenario: Callable[..., subprocess.Popen[str]]
) -> None:
    code, output = ended(scenario("--unless-green"))
    assert code == 0, output
    seen = green.read_record(checkout, "default")
    assert seen is not None
    assert seen.container_engine == "docker 20.10"
    calls = (checkout / "calls.log").read_text()
    assert "molecule converge" in calls
    # Where something may restart, one host comes after another.
    at_once = (checkout / "at-once.log").read_text().splitlines()
    assert [call.partition(" --scenario-name default")[0] for call in at_once] == [
        "check",
        "idempotence",
        "idempotence",
    ]

    code, output = ended(scenario("--unless-green"))
    assert code == 0
    assert f"default: skipped, because none of its {seen.files} input files has changed" in output
    assert seen.seen in output
    assert seen.digest[:12] in output
    assert len(output.splitlines()) == 1
    assert (checkout / "calls.log").read_text() == calls, "nothing was called"

    # What comes before the scenario has nothing to say.
    assert ended(scenario("--unless-green", "--to", "images")) == (0, "")
    assert (checkout / "calls.log").read_text() == calls

    # Asked for by name, it runs.
    assert ended(scenario())[0] == 0
    assert (checkout / "calls.log").read_text() != calls
    # And a change runs it.
    (checkout / "galaxy.yml").write_text("version: 2\n")
    code, output = ended(scenario("--unless-green"))
    assert code == 0
    assert "skipped" not in output


@pytest.mark.parametrize(
    ("arguments", "behaviour", "code"),
    [
        ([], {"fails": "verify"}, 1),
        ([], {"fails": "side-effect"}, 1),
        # A file that was changed under the run.
        ([], {"edits": "converge"}, 0),
        (["--to", "verify"], {}, 0),
        (["--from", "prepare"], {}, 0),
        (["--to", "images"], {}, 0),
        (["--keep"], {}, 0),
    ],
)
def test_any_other_run_leaves_no_record(
    green: ModuleType,
    checkout: Path,
    scenario: Callable[..., subprocess.Popen[str]],
    arguments: list[str],
    behaviour: dict[str, str],
    code: int,
) -> None:
    returned, output = ended(scenario(*arguments, **behaviour))
    assert returned == code, output
    assert green.read_record(checkout, "default") is None
    assert ("cleanup" in output) == ("--keep" not in arguments and "images" not in arguments)


def test_any_other_proof_of_the_bench_is_recorded_in_the_same_way(green: ModuleType, checkout: Path) -> None:
    (checkout / "tests/bench/green.py").write_text((BENCH / "green.py").read_text())
    (checkout / ".gitignore").write_text("*.log\n__pycache__/\n")

    def run(*command: str) -> tuple[int, str]:
        done = subprocess.run(
            [sys.executable, "tests/bench/green.py", "--unless-green", "first", *command],
            cwd=checkout,
            capture_output=True,
            text=True,
            check=False,
        )
        return done.returncode, done.stdout

    assert run("sh", "-c", "exit 3") == (3, "")
    assert green.read_record(checkout, "first") is None
    assert "not recorded" in run("sh", "-c", "echo >new.yml")[1]
    assert green.read_record(checkout, "first") is None
    assert "recorded in tests/bench/green/first.json" in run("sh", "-c", "echo called >>calls.log")[1]
    code, output = run("sh", "-c", "echo called >>calls.log")
    assert code == 0
    assert "first: skipped" in output
    assert (checkout / "calls.log").read_text() == "called\n"
    # No scenario of Molecule is an input of something else.
    edit_own_scenario(checkout)
    assert "first: skipped" in run("false")[1]
    edit(checkout)
    assert run("false")[0] == 1


def test_an_interrupted_run_removes_its_hosts_and_leaves_no_record(
    green: ModuleType, checkout: Path, scenario: Callable[..., subprocess.Popen[str]]
) -> None:
    process = scenario(waits="converge")
    waiting = checkout / "waiting.log"
    for _ in range(600):
        if waiting.exists():
            break
        time.sleep(0.05)
    process.terminate()
    code, output = ended(process)
    assert code == 130, output
    assert "interrupted" in output
    assert (checkout / "calls.log").read_text().splitlines()[-1] == "molecule destroy --scenario-name default"
    assert green.read_record(checkout, "default") is None
    assert not list((checkout / "tests/bench/green").glob("*"))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_command_has_the_time_to_clean_up(tmp_path: Path, number: signal.Signals) -> None:
    """A proof that is interrupted removes its hosts, which takes longer than Python waits for a child by itself."""
    command = f"trap 'sleep 1; echo removed; exit 130' {number.name[3:]}; echo started; while :; do sleep 0.1; done"
    program = [sys.executable, str(BENCH / "green.py"), "none", "bash", "-c", command]
    process = subprocess.Popen(
        program,
        stdout=subprocess.PIPE,
        text=True,
        # A shell in the background ignores interrupts, which all its children would inherit.
        preexec_fn=lambda: signal.signal(number, signal.SIG_DFL),
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "started\n"
    process.send_signal(number)
    assert process.communicate(timeout=30)[0] == "removed\n"
    assert process.returncode == 130


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_that_comes_before_the_command_runs_is_not_lost(
    green: ModuleType, monkeypatch: pytest.MonkeyPatch, number: signal.Signals
) -> None:
    """On a busy machine a command prints, and is interrupted, before its starter has gone on."""
    start = subprocess.Popen

    def interrupted(*arguments: Any, **options: Any) -> subprocess.Popen[str]:
        os.kill(os.getpid(), number)
        process = start(*arguments, **options)
        os.kill(os.getpid(), number)
        return process

    before = {each: signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    monkeypatch.setattr(green.subprocess, "Popen", interrupted)
    try:
        assert green.run_to_its_end(["sleep", "30"]) == -number
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)
