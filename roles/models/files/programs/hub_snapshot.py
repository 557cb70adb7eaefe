# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Download one snapshot from a model hub into a cache directory; run with the Python of the engine.

usage: hub_snapshot.py REPOSITORY REVISION CACHE IGNORE...

Where and as whom comes from the environment, as the hub's own tools have it (HF_ENDPOINT, HF_TOKEN, proxies). Prints
the path of the snapshot; on failure one line on standard error, cause first, then the remedy.
"""

from __future__ import annotations

import fnmatch
import json
import os
import shutil
import sys
from pathlib import Path
from typing import Any, NoReturn

# What a download must leave free on the file system.
RESERVE = 2**30


def fail(cause: str, remedy: str) -> NoReturn:
    """End with one line: cause, then remedy."""
    raise SystemExit(f"{cause}; {remedy}")


def wanted(files: dict[str, int], ignore: list[str]) -> dict[str, int]:
    """Return the files to fetch, with their sizes: weights once, as safetensors where there are any."""
    if any(name.endswith(".safetensors") for name in files):
        ignore = [*ignore, "*.bin"]
    return {name: size for name, size in files.items() if not any(fnmatch.fnmatch(name, pattern) for pattern in ignore)}


def check_space(sizes: dict[str, int], cache: str) -> None:
    """Fail before the first byte if the whole does not fit."""
    needed, free = sum(sizes.values()) + RESERVE, shutil.disk_usage(cache).free
    if needed > free:
        fail(
            f"it needs {needed / 2**30:.1f} GiB under {cache}, {free / 2**30:.1f} GiB are free",
            "free some, or set llm_models_root to a larger file system",
        )


def note(repository: str, commit: str, cache: str, files: list[str]) -> None:
    """Write down what belongs to a snapshot, so that one cut short is not taken for whole."""
    folder = Path(cache, f"models--{repository.replace('/', '--')}", ".llmfleet")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{commit}.json").write_text(json.dumps(sorted(files)))


def download(repository: str, revision: str, cache: str, ignore: list[str]) -> str:
    """Fetch what is missing and return the path of the snapshot."""
    from huggingface_hub import HfApi, errors, snapshot_download

    endpoint = os.environ.get("HF_ENDPOINT", "https://huggingface.co")
    try:
        info: Any = HfApi().model_info(repository, revision=revision, files_metadata=True, timeout=20)
        sizes = wanted({entry.rfilename: entry.size or 0 for entry in info.siblings}, ignore)
        check_space(sizes, cache)
        note(repository, str(info.sha), cache, list(sizes))
        return str(snapshot_download(repository, revision=revision, cache_dir=cache, allow_patterns=list(sizes)))
    except errors.GatedRepoError:
        fail(f"{endpoint} does not let this account see it", "accept its licence on the hub and set llm_hf_token")
    except errors.RevisionNotFoundError:
        fail(f"{endpoint} knows the repository but not this revision", "set revision to a branch, tag or commit of it")
    except errors.RepositoryNotFoundError:
        fail(f"{endpoint} knows no such repository, or hides it", "check the name; for a private one set llm_hf_token")
    except Exception as error:  # noqa: BLE001 - whatever else it is, the hub could not be used
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        fail(
            f"the hub {endpoint} cannot be reached ({reason})",
            f"set llm_hf_endpoint or proxies in models_download_environment, or stage the snapshot in {cache}, "
            "or put the model on the host and make path:/directory its source",
        )


if __name__ == "__main__":
    print(download(sys.argv[1], sys.argv[2], sys.argv[3], sys.argv[4:]))
