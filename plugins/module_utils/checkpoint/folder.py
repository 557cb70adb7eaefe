# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The files of a model in a directory of the host."""

from __future__ import annotations

import posixpath
from typing import Any, Sequence

from ansible_collections.llmfleet.serving.plugins.module_utils.checkpoint import safetensors
from ansible_collections.llmfleet.serving.plugins.module_utils.checkpoint.files import within
from ansible_collections.llmfleet.serving.plugins.module_utils.checkpoint.safetensors import Tensor
from ansible_collections.llmfleet.serving.plugins.module_utils.checkpoint.sources import SourceError
from ansible_collections.llmfleet.serving.plugins.module_utils.host import files


class Folder:
    """The files of a model in a directory of the host."""

    def __init__(self, directory: str) -> None:
        self.directory = directory

    def _open(self, name: str) -> tuple[Any, int] | None:
        """Open a regular file and return it with its size; a device or a pipe could hang."""
        path = posixpath.join(self.directory, name)
        try:
            return files.open_regular(path)
        except files.IrregularError as error:
            raise SourceError(f"{path} is no regular file", "put the model's own file there") from error
        except OSError as error:
            raise SourceError(f"{path} cannot be read ({error.strerror})", "correct its permissions") from error

    def _read(self, name: str, size: int) -> tuple[bytes, int] | None:
        found = self._open(name)
        if found is None:
            return None
        with found[0] as file:
            return file.read(size), found[1]

    def read(self, name: str, limit: int) -> bytes | None:
        """Return a whole file."""
        found = self._read(name, limit + 1)
        return within(found[0], limit, name) if found else None

    def weights(self, suffix: str) -> list[str]:
        """Return the files with this ending."""
        try:
            return [name for name in files.names(self.directory) if name.endswith(suffix)]
        except OSError as error:
            raise SourceError(
                f"{self.directory} cannot be read ({error.strerror})", "correct its permissions"
            ) from error

    def headers(self, names: Sequence[str]) -> list[dict[str, Tensor]] | None:
        """Return the tensors of each file."""
        headers, allowed = [], safetensors.Allowance()
        for name in names:
            found = self._open(name)
            if found is None:
                return None
            file, size = found
            with file:
                length = allowed.take(safetensors.header_length(file.read(safetensors.PREFIX), name, size))
                headers.append(safetensors.parse_header(file.read(length), name, size))
        return headers

    def sizes(self, names: Sequence[str]) -> list[int] | None:
        """Return the bytes of each file."""
        found = [self._read(name, 0) for name in names]
        return None if None in found else [entry[1] for entry in found if entry]
