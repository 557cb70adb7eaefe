# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Locations of a model's files, and the files from which its size is read.

A source is ``path:/directory`` on the host, ``hf://organisation/name`` in a model hub and in the cache that the hub's
own tools keep (``models--organisation--name/{refs,snapshots}``), or ``demo:``, which only the role models can place.

Pure functions; what reads files or asks a hub is handed in. No Ansible, no files, no network.
"""

from __future__ import annotations

import posixpath
import re
from typing import Any, Mapping, Protocol, Sequence

from ansible_collections.llmfleet.serving.plugins.module_utils.checkpoint import safetensors
from ansible_collections.llmfleet.serving.plugins.module_utils.checkpoint.sources import SourceError

CONFIG = "config.json"
# A config takes kilobytes; an index about 100 bytes for each tensor.
CONFIG_LIMIT = 10_000_000
INDEX_LIMIT = 100_000_000
SAFETENSORS, BIN = ".safetensors", ".bin"
SAFETENSORS_INDEX, BIN_INDEX = "model.safetensors.index.json", "pytorch_model.bin.index.json"
MAKERS_INDEX = "consolidated.safetensors.index.json"
# More shards than the largest checkpoints have by far (DeepSeek-V3: 163).
MOST_SHARDS = 2000
# What a folder holds beside the weights (weight_utils.filter_files_not_needed_for_inference of vLLM), and the same
# weights once more in the layout of their maker, which vLLM does not read where there are others.
NO_WEIGHTS = ("training_args.bin", "optimizer.bin", "scheduler.bin", "scaler.bin")
SECOND_COPY = "consolidated"

COMMIT = re.compile(r"[0-9a-f]{40}")
REVISION = re.compile(r"\w[\w.+-]*(?:/\w[\w.+-]*)*")
PART = re.compile(r"(.*)-(\d{1,9})-of-(\d{1,9})\.\w+")
SNAPSHOT = re.compile(r".*/models--[^/]+/snapshots/([0-9a-f]{40})")


class Files(Protocol):
    """The files of one model, in a folder or in a hub."""

    def read(self, name: str, limit: int) -> bytes | None:
        """Return a whole file, nothing if there is none; a file over the limit is an error."""

    def weights(self, suffix: str) -> Sequence[str]:
        """Return the names of the files with weights of this kind, where no index names them."""

    def headers(self, names: Sequence[str]) -> list[dict[str, safetensors.Tensor]] | None:
        """Return the tensors of these safetensors files, nothing if one of them is missing."""

    def sizes(self, names: Sequence[str]) -> list[int] | None:
        """Return the bytes of these files, nothing if one of them is missing or its size unknown."""


def within(data: bytes, limit: int, name: str) -> bytes:
    """Return the content if it is complete; it was read to one byte beyond the limit."""
    if len(data) > limit:
        raise SourceError(f"{name} has more than {limit // 1_000_000} MB; choose another model")
    return data


def check_revision(revision: str) -> str:
    """Return a branch, tag, reference or commit that can be part of a path.

    :raises SourceError: it cannot.
    """
    if not REVISION.fullmatch(revision) or ".." in revision:
        raise SourceError(f"the revision {revision[:100]!r} is not valid; give a branch, a tag or a commit")
    return revision


def cache_root(environment: Mapping[str, str], home: str) -> str:
    """Return where the hub's own tools keep their cache (``huggingface_hub.constants.HF_HUB_CACHE``).

    :param environment: variables of the process.
    :param home: directory of its user.
    """
    caches = environment.get("XDG_CACHE_HOME") or posixpath.join(home, ".cache")
    hub_home = environment.get("HF_HOME") or posixpath.join(caches, "huggingface")
    return environment.get("HF_HUB_CACHE") or posixpath.join(hub_home, "hub")


def reference(folder: str, revision: str) -> str:
    """Return the file of a cached repository that names the commit of a branch or tag."""
    return posixpath.join(folder, "refs", revision)


def snapshot(folder: str, revision: str, noted: str | None) -> tuple[str, str] | None:
    """Return the commit of a revision and the directory of its files, as far as the cache knows it.

    :param folder: the directory of a repository in a hub's cache.
    :param revision: branch, tag or commit.
    :param noted: the text of :func:`reference`, if there is such a file.
    """
    commit = (noted or revision).strip()
    return (commit, posixpath.join(folder, "snapshots", commit)) if COMMIT.fullmatch(commit) else None


def commit_of(directory: str) -> str | None:
    """Return the commit whose snapshot a directory is, if it is one of a hub's cache."""
    found = SNAPSHOT.fullmatch(directory.rstrip("/"))
    return found.group(1) if found else None


def _index(files: Files, name: str, suffix: str) -> safetensors.Index | None:
    data = files.read(name, INDEX_LIMIT)
    index = None if data is None else safetensors.parse_index(data, name, suffix)
    if index and len(index.shards) > MOST_SHARDS:
        raise safetensors.SafetensorsError(
            f"{name} names {len(index.shards)} files, at most {MOST_SHARDS} are read; choose another checkpoint"
        )
    return index


def _needed(names: Sequence[str]) -> list[str]:
    """Return which of a folder's files are the weights; none where their own names tell that some are missing."""
    names = [name for name in names if name not in NO_WEIGHTS]
    names = [name for name in names if not name.startswith(SECOND_COPY)] or names
    parts = [part for part in map(PART.fullmatch, names) if part]
    sets = {(part.group(1), int(part.group(3))) for part in parts}
    return names if len(parts) == sum(count for _stem, count in sets) else []


def read_weights(files: Files, facts: Mapping[str, Any]) -> dict[str, Any]:
    """Return ``weight_bytes``, ``weight_bytes_source`` and ``parameters`` of a model, null where its files do not say.

    Where its config names no ``dtype``, the headers do, as for vLLM.

    The headers of all safetensors files say it best. Where one is missing the index says at least the sum of all
    tensors, spare ones included; where there are ``*.bin`` files alone, their index or else their sizes do.

    :param facts: what ``config.describe`` says of the model.
    :raises SourceError: a file cannot be read.
    :raises safetensors.SafetensorsError: a header or index is malformed.
    """
    index = _index(files, SAFETENSORS_INDEX, SAFETENSORS) or _index(files, MAKERS_INDEX, SAFETENSORS)
    names = index.shards if index else _needed(files.weights(SAFETENSORS))
    headers = files.headers(names) if names else None
    if headers:
        weights = safetensors.weigh(safetensors.merge(headers), facts)
        named = {} if facts.get("dtype") or weights.dtype is None else {"dtype": weights.dtype}
        return {**_said(weights.size, "headers", weights.parameters), **named}
    if index:
        return _said(index.total_size, "index")
    index = _index(files, BIN_INDEX, BIN)
    if index and index.total_size:
        return _said(index.total_size, "index")
    names = index.shards if index else _needed(files.weights(BIN))
    sizes = files.sizes(names) if names else None
    return _said(sum(sizes) if sizes else None, "size")


def _said(size: int | None, by: str, parameters: int | None = None) -> dict[str, Any]:
    return {"weight_bytes": size, "weight_bytes_source": by if size else None, "parameters": parameters}
