# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The action behind llmfleet.serving.fleet_secrets; plugins/modules/fleet_secrets.py documents it."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import stat
import tempfile
from collections.abc import Iterator
from typing import Any

from ansible.errors import AnsibleActionFail, AnsibleError
from ansible.parsing.vault import is_encrypted
from ansible.plugins.action import ActionBase
from ansible_collections.llmfleet.serving.plugins.plugin_utils.fleet.secrets import (
    SecretsError,
    Stored,
    decide,
    parse_stored,
    parse_wishes,
)

ARGUMENTS: dict[str, dict[str, Any]] = {
    "path": {"type": "str", "required": True},
    "names": {"type": "dict", "required": True},
    "fleet_ids": {"type": "list", "elements": "str", "default": []},
    "rotate": {"type": "list", "elements": "str", "default": []},
    "adopt": {"type": "bool", "default": False},
    "prune": {"type": "str", "default": ""},
    "keep": {"type": "list", "elements": "str", "default": []},
}
HEADER = """\
# The secrets of one fleet, made by llmfleet.serving.secrets. Keep a copy: another control node needs this file.
# `ansible-vault encrypt` protects it; from then on new names are added with `ansible-vault edit`.
"""


class ActionModule(ActionBase):
    """The action runs only on the control node, never on a host."""

    _requires_connection = False
    _supports_check_mode = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Return, keep or generate the secrets."""
        result: dict[str, Any] = super().run(tmp, task_vars)
        _validation, args = self.validate_argument_spec(ARGUMENTS)
        path = os.path.realpath(self._loader.path_dwim(args["path"]))
        try:
            with lock(os.path.dirname(path)):
                options = {name: args[name] for name in ("fleet_ids", "rotate", "adopt", "prune", "keep")}
                stored = self._read(path)
                outcome = decide(parse_wishes(args["names"]), stored, **options)
                if outcome.write and not self._task.check_mode:
                    write(path, outcome.identity, outcome.stored)
        except SecretsError as error:
            raise AnsibleActionFail(str(error)) from None
        result.update(
            changed=outcome.write,
            id=outcome.identity,
            secrets=outcome.values,
            created=outcome.created,
            pruned=[] if stored.encrypted else outcome.unused,
            unused=outcome.unused if stored.encrypted else [],
            # The result sets no_log here, because no_log on the task would also hide the remedy of a failure, which
            # holds no secret.
            _ansible_no_log=True,
        )
        return result

    def _read(self, path: str) -> Stored:
        try:
            with open(path, "rb") as file:
                content = file.read()
                mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
        except FileNotFoundError:
            return Stored(path)
        except OSError as error:
            raise SecretsError(
                f"{path} cannot be read: {error.strerror}. It must be a file that the user who runs Ansible can read."
            ) from None
        encrypted = is_encrypted(content)
        if not encrypted and mode & 0o077:
            raise SecretsError(
                f"{path} contains secrets and is readable by other users (mode {mode:04o}). Run chmod 600 {path}"
            )
        try:
            document = self._loader.load_from_file(path, cache="none")
            # A single `!vault` value would lose its encryption if the file were written.
            return parse_stored(path, document, encrypted or b"!vault" in content)
        except AnsibleError:
            # The original message may quote lines of the file.
            remedy = (
                "it cannot be decrypted: give its password with --ask-vault-pass or --vault-password-file"
                if encrypted or b"!vault" in content
                else "it is not YAML: correct it, or restore a copy"
            )
            raise SecretsError(f"{path} cannot be used, {remedy}.") from None


@contextlib.contextmanager
def lock(folder: str) -> Iterator[None]:
    """Lock the directory of the file, so that only one run at a time uses it and no lock file is left behind."""
    try:
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    except OSError as error:
        raise SecretsError(
            f"{folder} cannot be used as the directory of the secrets: {error.strerror}. Create it, or change path."
        ) from None
    try:
        # NFS cannot lock directories; the file is still replaced as a whole there.
        with contextlib.suppress(OSError):
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def write(path: str, identity: str, values: dict[str, str]) -> None:
    """Replace the file as a whole; it is readable only by its owner from the first byte."""
    # JSON strings are valid YAML, and the JSON encoder accepts Ansible's own string types.
    lines = [f"id: {json.dumps(identity)}", "secrets:" if values else "secrets: {}"]
    lines += [f"  {name}: {json.dumps(value)}" for name, value in sorted(values.items())]
    text = HEADER + "\n".join(lines) + "\n"
    temporary = ""
    try:
        handle, temporary = tempfile.mkstemp(dir=os.path.dirname(path), prefix=".llm_secrets.")
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as error:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        remedy = "Make room on its disk or correct its permissions, then run this again."
        raise SecretsError(f"{path} cannot be written: {error.strerror}. {remedy}") from None
