# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Have the installed vLLM read the command lines of its instances, before anything that serves is touched.

usage: check_flags.py < REQUEST    (JSON, see roles/vllm/vars/main.yml; run with the Python of the engine)

Its own parser judges the flags, its own model configuration what the model makes of them (context, dtype,
quantisation). No weights are loaded and no device is used. Importing vLLM takes long: a stamp says what was checked.
"""

from __future__ import annotations

import difflib
import json
import os
import pwd
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, NoReturn

# Where vLLM would write; the instances' own places are not this program's.
SHORTEST_SECRET = 6
HOMES = ("HOME", "TMPDIR", "XDG_CACHE_HOME", "TORCHINDUCTOR_CACHE_DIR", "TRITON_CACHE_DIR")


class FlagError(Exception):
    """A command line that vLLM's parser refuses."""


class UnknownFlagError(Exception):
    """A flag that vLLM does not have; the text is for people."""


def given(argv: list[str]) -> dict[str, str]:
    """Return the flags of a command line with their values; lists are joined by spaces."""
    flags: dict[str, str] = {}
    name = ""
    for part in argv:
        if part.startswith("--"):
            name, value = [*part.split("=", 1), ""][:2]
            flags[name] = value
        elif name:
            flags[name] = f"{flags[name]} {part}".strip()
    return flags


def unknown(flags: dict[str, str], known: list[str]) -> str:
    """Return what is wrong with the first flag that is not known, or nothing.

    The parser would take any unambiguous beginning of a flag for the flag; the next version may know two of them.
    """
    for flag, value in flags.items():
        plain = flag.split(".")[0].replace("_", "-").rstrip("+")
        if plain not in known:
            near = difflib.get_close_matches(plain, known, n=1, cutoff=0.5)
            hint = f"did you mean {near[0][2:]}" if near else "leave it out"
            return f'.args.{flag[2:]} is "{value or "true"}": this vLLM has no such flag; {hint}.'
    return ""


def judge(argv: list[str], parser: Any) -> None:
    """Raise an error, vLLM's own or FlagError, if it would not start with this command line."""
    from vllm.engine.arg_utils import AsyncEngineArgs
    from vllm.entrypoints.launchers.cli_args import validate_parsed_serve_args
    from vllm.entrypoints.launchers.launcher import validate_api_server_args

    if problem := unknown(given(argv), list(parser._option_string_actions)):
        raise UnknownFlagError(problem)
    args = parser.parse_args(argv)
    validate_parsed_serve_args(args)
    validate_api_server_args(args)
    AsyncEngineArgs.from_cli_args(args).create_model_config()


def reason(error: Exception, argv: list[str]) -> str:
    """Return what an error tells a person, in one sentence: the flag that it names, its value, the remedy."""
    if isinstance(error, UnknownFlagError):
        return str(error)
    text = str(error.args[0] if error.args else type(error).__name__)
    if hasattr(error, "errors"):  # pydantic's, which vLLM's configuration raises
        found = [[*map(str, item["loc"]), item["msg"].removeprefix("Value error, ")] for item in error.errors()]
        text = "; ".join(": ".join(parts) for parts in found)
    text = re.sub(r"\[type=[^]]*\]|For further information visit \S+", "", text)
    named = [f'.args.{flag[2:]} is "{value}"' for flag, value in given(argv).items() if f"argument {flag}" in text]
    text = " ".join(text.split()).rstrip(".")
    return f"{''.join(named[:1])}: this vLLM refuses it: {text}; change args, context or source."


def without(secrets: dict[str, Any], text: str) -> str:
    """Return a text without the values of secrets; a shorter one occurs everywhere."""
    for value in sorted(map(str, secrets.values()), key=len, reverse=True):
        text = text.replace(value, "***") if len(value) >= SHORTEST_SECRET else text
    return text


def check(request: dict[str, Any]) -> list[str]:
    """Return a line for every instance that would not start."""
    from vllm import __version__
    from vllm.entrypoints.launchers.cli_args import make_arg_parser
    from vllm.utils.argparse_utils import FlexibleArgumentParser

    class Parser(FlexibleArgumentParser):
        def error(self, message: str) -> NoReturn:
            raise FlagError(message)

    homes = {name: os.environ[name] for name in HOMES}
    parser, problems = make_arg_parser(Parser()), []
    for command, environment, given_by_user in request["commands"]:
        argv = command[command.index("-m") + 2 :]
        variables = {**environment, **given_by_user}
        os.environ.update({name: str(value) for name, value in variables.items() if value is not None} | homes)
        try:
            judge(argv, parser)
        except Exception as error:  # noqa: BLE001 - whatever vLLM refuses by, it would refuse to start by
            model = given(argv)["--served-model-name"].split()[0]
            text = without(given_by_user, reason(error, argv))
            problems.append(f"{request['host']}: llm_models[{model}]{text} (vLLM {__version__})")
    return list(dict.fromkeys(problems))


def as_nobody(request: str) -> subprocess.CompletedProcess[str]:
    """Check in a child that is nobody: a model may bring code of its own, which is not to run as root."""
    with tempfile.TemporaryDirectory() as scratch:
        nobody = pwd.getpwnam("nobody")
        child: dict[str, Any] = {}
        if os.geteuid() == 0:
            os.chown(scratch, nobody.pw_uid, nobody.pw_gid)
            child = {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}
        homes = dict.fromkeys(HOMES, scratch)
        child |= {"env": {**os.environ, **homes}, "cwd": scratch, "input": request}
        command = [sys.executable, __file__, "--child"]
        return subprocess.run(command, capture_output=True, text=True, check=False, **child)


def leave_stamp(stamp: Path) -> None:
    """Remember what was checked last, and that alone."""
    stamp.parent.mkdir(parents=True, exist_ok=True)
    for old in stamp.parent.iterdir():
        old.unlink()
    stamp.touch()


def main() -> None:
    """Check, and leave a stamp if all is well."""
    request = json.load(sys.stdin)
    if sys.argv[1:] == ["--child"]:
        # vLLM logs as it pleases, on both; the answer is the last line.
        print("\n" + json.dumps(check(request)))
        return
    run = as_nobody(json.dumps(request))
    if run.returncode:
        last = (run.stderr.strip() or f"it ended with {run.returncode}").splitlines()[-1]
        raise SystemExit(
            f"{request['host']}: the installed vLLM does not start: {last}. Remove its environment and run again."
        )
    if problems := json.loads(run.stdout.splitlines()[-1]):
        raise SystemExit("\n".join(problems))
    if request["stamp"]:
        leave_stamp(Path(request["stamp"]))


if __name__ == "__main__":
    main()
