# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Size of a checkpoint, read only from the headers and the index of its safetensors files.

Format: https://huggingface.co/docs/safetensors - eight bytes with the header's length (little-endian, unsigned), the
header (JSON), the tensors' bytes. Whatever does not keep to it raises :class:`SafetensorsError`, whose text is one
clause and a remedy; nothing of a file's claims is believed before it was checked.

Pure functions over bytes; no Ansible, no files, no network.
"""

from __future__ import annotations

import json
import re
from typing import Any, Iterable, Mapping, NamedTuple, NoReturn

# The format's own limit for one header (MAX_HEADER_SIZE of the reference implementation); the largest checkpoints take
# about a fifth of it for all their headers together.
HEADER_LIMIT = 100_000_000
# Number of bytes before the header, and the first bytes of the pointer that git leaves in place of a large file.
PREFIX = 8
LFS_POINTER = b"version "
# Sizes and dimensions are signed 64 bit in every program that reads them.
LARGEST = 2**63 - 1
# Longest JSON integer that can be one; a longer one costs quadratic time to read.
DIGITS = 19
# A config's deepest branches, those of compressed-tensors, are six levels down.
DEEPEST = 64
# Bits of an element (Dtype of the reference implementation). Those of other names are taken from the offsets alone.
BITS = {
    **dict.fromkeys(("F4",), 4),
    **dict.fromkeys(("F6_E2M3", "F6_E3M2"), 6),
    **dict.fromkeys(("BOOL", "U8", "I8", "F8_E5M2", "F8_E4M3", "F8_E8M0", "F8_E5M2FNUZ", "F8_E4M3FNUZ"), 8),
    **dict.fromkeys(("I16", "U16", "F16", "BF16"), 16),
    **dict.fromkeys(("I32", "U32", "F32"), 32),
    **dict.fromkeys(("I64", "U64", "F64", "C64"), 64),
}
FLOATS = {"BF16": "bfloat16", "F16": "float16", "F32": "float32"}
# A shard is a file of the same folder.
SHARD = re.compile(r"\w[\w.=+-]*")
# Names of decoder layers, multi-token prediction and the output head, in a model for text or nested in another.
OUTER = r"(?:model\.|language_model\.)*"
LAYER = re.compile(rf"{OUTER}layers\.(\d{{1,9}})\.")
MTP = re.compile(rf"{OUTER}mtp[._]")
HEAD = re.compile(rf"{OUTER}lm_head\.")
EMBEDDING = re.compile(r"(?:.*\.)?(?:embed_tokens|wte|word_embeddings|tok_embeddings|embed_in)\.weight")


class SafetensorsError(ValueError):
    """A checkpoint's header or index cannot be used; the text is one clause with a remedy."""


class Allowance:
    """Limit for all headers of one checkpoint together: no more than the format allows for one."""

    def __init__(self) -> None:
        self.left = HEADER_LIMIT

    def take(self, length: int) -> int:
        """Return the length of a header that may be read.

        :raises SafetensorsError: it is too much.
        """
        self.left -= length
        if self.left < 0:
            limit = HEADER_LIMIT // 1_000_000
            _fail("the headers of its safetensors files", f"take more than {limit} MB", "choose another checkpoint")
        return length


class Tensor(NamedTuple):
    """One tensor of a checkpoint."""

    elements: int
    """Numbers it holds, as they are stored: a packed one counts once for all that is packed in it."""
    size: int
    """Bytes."""
    dtype: str = ""
    """As the format names it."""


class Index(NamedTuple):
    """The content of the index of a checkpoint in shards."""

    shards: tuple[str, ...]
    """Names of its files, sorted."""
    total_size: int | None
    """Bytes of all tensors, if it says so."""


class Weights(NamedTuple):
    """The part of a checkpoint that is loaded to serve it."""

    size: int
    """Bytes."""
    parameters: int
    """Numbers, as they are stored."""
    dtype: str | None = None
    """The type to which all others can be cast without loss; null where none is a float of 16 or 32 bits."""


def _fail(what: str, problem: str, remedy: str = "fetch the file again") -> NoReturn:
    raise SafetensorsError(f"{what} {problem}; {remedy}")


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    document = dict(pairs)
    if len(document) != len(pairs):
        raise ValueError("a name stands twice")
    return document


def _integer(digits: str) -> int:
    if len(digits) > DIGITS + 1:
        raise ValueError(f"a number has {len(digits)} digits")
    return int(digits)


def parse_object(data: bytes, what: str) -> dict[str, Any]:
    """Return a JSON object that a stranger wrote.

    :param data: UTF-8, of a size that the caller has limited.
    :param what: the file, for messages.
    :raises SafetensorsError: no JSON, no object, a name twice, an integer beyond 64 bits, or nested over 64 levels.
    """
    try:
        document = json.loads(data.decode("utf-8"), object_pairs_hook=_no_duplicates, parse_int=_integer)
    except RecursionError:
        _fail(what, f"is nested deeper than {DEEPEST} levels")
    except ValueError as error:
        _fail(what, f"is no valid JSON ({error})")
    if not isinstance(document, dict):
        _fail(what, "is no JSON object")
    level: list[Any] = [document]
    for _depth in range(DEEPEST):
        level = [
            value
            for item in level
            for value in (item.values() if isinstance(item, dict) else item)
            if isinstance(value, (dict, list))
        ]
        if not level:
            return document
    _fail(what, f"is nested deeper than {DEEPEST} levels")


def header_length(prefix: bytes, what: str, file_size: int | None = None) -> int:
    """Return how many bytes the header takes that follows the first eight of a file.

    :param prefix: the first eight bytes, fewer if the file has no more.
    :param what: the file, for messages.
    :param file_size: bytes of the file, if known.
    :raises SafetensorsError: truncated, over the format's limit, or longer than its file.
    """
    if prefix == LFS_POINTER:
        _fail(what, "is a Git LFS pointer, not the file itself", "run git lfs pull in its folder")
    if len(prefix) < PREFIX:
        _fail(what, f"has {len(prefix)} bytes, too few for a safetensors header")
    length = int.from_bytes(prefix[:PREFIX], "little")
    if not 2 <= length <= HEADER_LIMIT:
        _fail(what, f"claims a header of {length} bytes, the format has 2 to {HEADER_LIMIT}")
    if file_size is not None and PREFIX + length > file_size:
        _fail(what, f"claims a header of {length} bytes and has only {file_size} in all")
    return length


def _number(value: Any) -> int:
    """Return a JSON number that counts something."""
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= LARGEST:
        raise ValueError
    return value


def _tensor(entry: Any, what: str) -> tuple[int, int, Tensor]:
    """Return begin and end of a tensor, and the tensor."""
    try:
        dtype, shape, (begin, end) = entry["dtype"], entry["shape"], entry["data_offsets"]
        begin, end = _number(begin), _number(end)
        if not isinstance(dtype, str) or not isinstance(shape, list) or begin > end:
            raise ValueError
        elements = 1
        for dimension in shape:
            elements = _number(elements * _number(dimension))
    except (KeyError, TypeError, ValueError):
        _fail(what, "needs a dtype, a shape and two data_offsets in order, all of whole numbers from 0 on")
    if dtype in BITS and elements * BITS[dtype] != (end - begin) * 8:
        _fail(what, f"takes {end - begin} bytes, which does not fit its shape in {dtype}")
    return begin, end, Tensor(elements, end - begin, dtype)


def parse_header(data: bytes, what: str, file_size: int | None = None) -> dict[str, Tensor]:
    """Return the tensors of one file.

    :param data: the header, without the eight bytes before it.
    :param what: the file, for messages.
    :param file_size: bytes of the file, if known; the tensors have to fill it.
    :raises SafetensorsError: no such header; tensors that overlap, leave holes or do not fill the file.
    """
    if not data.startswith(b"{"):
        _fail(f"the header of {what}", "does not begin with {")
    header = parse_object(data, f"the header of {what}")
    notes = header.pop("__metadata__", None)
    notes = {} if notes is None else notes
    if not isinstance(notes, dict) or not all(isinstance(note, str) for note in notes.values()):
        _fail(f"__metadata__ of {what}", "is no map of texts")
    tensors: dict[str, Tensor] = {}
    spans: list[tuple[int, int, str]] = []
    for name, entry in header.items():
        begin, end, tensors[name] = _tensor(entry, f"tensor {name[:100]!r} of {what}")
        spans.append((begin, end, name))
    reached = 0
    for begin, end, name in sorted(spans):
        if begin != reached:
            kind = "overlaps the one before it" if begin < reached else "leaves a hole before it"
            _fail(f"tensor {name[:100]!r} of {what}", kind)
        reached = end
    if file_size is not None and PREFIX + len(data) + reached != file_size:
        expected = PREFIX + len(data) + reached
        _fail(what, f"should have {expected} bytes by its header and has {file_size}")
    return tensors


def parse_index(data: bytes, what: str, suffix: str = ".safetensors") -> Index:
    """Return what an index (``model.safetensors.index.json``, ``pytorch_model.bin.index.json``) says.

    :param data: the file, of a size that the caller has limited.
    :param what: its name, for messages.
    :param suffix: what the name of every shard ends with.
    :raises SafetensorsError: no index, a shard outside of the folder, or an impossible size.
    """
    document = parse_object(data, what)
    where, notes = document.get("weight_map"), document.get("metadata")
    if not isinstance(where, dict) or not where:
        _fail(what, "has no weight_map that says which tensor is in which file")
    shards: set[str] = set()
    for shard in where.values():
        if not isinstance(shard, str) or not shard.endswith(suffix) or not SHARD.fullmatch(shard):
            _fail(f"weight_map of {what}", f"names {str(shard)[:100]!r}, which is no {suffix} file of the same folder")
        shards.add(shard)
    total = notes.get("total_size") if isinstance(notes, dict) else None
    if isinstance(total, float) and total.is_integer():
        # Some writers sum bytes as fractions of bits.
        total = int(total)
    if total is not None:
        try:
            total = _number(total)
        except ValueError:
            _fail(f"metadata.total_size of {what}", f"is {str(total)[:100]!r}, not a number of bytes")
    # An empty sum is one that its writer did not make.
    return Index(tuple(sorted(shards)), total or None)


def weigh(tensors: Mapping[str, Tensor], facts: Mapping[str, Any]) -> Weights:
    """Return what is loaded of a checkpoint to serve it.

    vLLM leaves out the layers for multi-token prediction (``get_spec_layer_idx_from_weight_name`` and ``mtp.*``), and
    an output head that is the embedding once more (``tie_word_embeddings``).

    :param tensors: those of every shard, by name.
    :param facts: what ``config.describe`` says of the model.
    :raises SafetensorsError: a checkpoint without a tensor.
    """
    layers = facts.get("num_hidden_layers")
    tied = facts.get("tie_word_embeddings") and any(map(EMBEDDING.fullmatch, tensors))
    loaded = [tensor for name, tensor in tensors.items() if not _spare(name, layers, bool(tied))]
    if not loaded:
        raise SafetensorsError("its safetensors files contain no tensor of the model; download them again")
    size, numbers = sum(tensor.size for tensor in loaded), sum(tensor.elements for tensor in loaded)
    return Weights(size, numbers, _widest({tensor.dtype for tensor in tensors.values()}))


def _widest(dtypes: set[str]) -> str | None:
    floats = [FLOATS[dtype] for dtype in sorted(dtypes) if dtype in FLOATS]
    return "float32" if len(floats) > 1 else floats[0] if floats else None


def _spare(name: str, layers: int | None, tied: bool) -> bool:
    layer = LAYER.match(name)
    if layer and layers is not None and int(layer.group(1)) >= layers:
        return True
    return bool(MTP.match(name)) or (tied and bool(HEAD.match(name)))


def merge(headers: Iterable[Mapping[str, Tensor]]) -> dict[str, Tensor]:
    """Return the tensors of several files; one that stands in two is loaded into the same place, so it counts once."""
    tensors: dict[str, Tensor] = {}
    for header in headers:
        tensors.update(header)
    return tensors
