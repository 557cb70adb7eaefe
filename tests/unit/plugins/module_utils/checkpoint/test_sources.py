# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One grammar of model sources: everybody takes and refuses the same ones."""

from __future__ import annotations

import re

import pytest
from ansible.errors import AnsibleFilterError
from ansible_collections.llmfleet.serving.plugins.filter.sources import FilterModule
from ansible_collections.llmfleet.serving.plugins.module_utils.checkpoint import sources
from ansible_collections.llmfleet.serving.plugins.module_utils.checkpoint.sources import Source, SourceError


@pytest.mark.parametrize(
    ("text", "source", "folder"),
    [
        ("demo:", Source("demo:"), ""),
        ("path:/srv/x", Source("path:/srv/x", directory="/srv/x"), ""),
        ("path:/srv/x/", Source("path:/srv/x/", directory="/srv/x/"), ""),
        ("path:/srv/größer und mehr", Source("path:/srv/größer und mehr", directory="/srv/größer und mehr"), ""),
        ("hf://gpt2", Source("hf://gpt2", repository="gpt2"), "models--gpt2"),
        ("hf://org/na-me_1.5", Source("hf://org/na-me_1.5", repository="org/na-me_1.5"), "models--org--na-me_1.5"),
        ("hf://0/_x_", Source("hf://0/_x_", repository="0/_x_"), "models--0--_x_"),
        (f"hf://{'o' * 96}/{'m' * 96}", None, f"models--{'o' * 96}--{'m' * 96}"),
    ],
)
def test_a_source(text: str, source: Source | None, folder: str) -> None:
    found = sources.parse(text)
    assert source is None or found == source
    assert found.cache_folder == folder
    assert found.demo is (text == "demo:")
    assert FilterModule().filters()["source_parts"](text) == found.parts()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "it is unknown; use hf://ORGANISATION/MODEL, path:/absolute/directory or demo:"),
        ("gpt2", "it is unknown"),
        ("s3://bucket/x", "it is unknown"),
        ("huggingface.co/org/name", "it is unknown"),
        ("https://huggingface.co/org/name", "it is unknown"),
        ("demo:other", "it is unknown"),
        ("demo", "it is unknown"),
        (" hf://org/name", "it is unknown"),
        ("org/name", "it has no scheme; write hf://org/name"),
        ("/srv/models/x", "it has no scheme; write path:/srv/models/x"),
        ("HF://org/name", "small letters; write hf://org/name"),
        ("Path:/srv/x", "small letters; write path:/srv/x"),
        ("DEMO:", "small letters; write demo:"),
        ("path:", "needs an absolute directory"),
        ("path:/", "needs an absolute directory"),
        ("path://", "needs an absolute directory"),
        ("path:models/x", "needs an absolute directory"),
        ("path:~/x", "needs an absolute directory"),
        ("path:/a\0b", "needs an absolute directory"),
        ("path:/a\nb", "needs an absolute directory"),
        ("hf://", "no repository of a model; write hf://ORGANISATION/MODEL"),
        ("hf://org/name/", "write hf://org/name"),
        ("hf:///org/name", "write hf://org/name"),
        ("hf://org/name ", "write hf://org/name"),
        ("hf://org/name@v1.0", "write hf://org/name, and v1.0 as its revision"),
        ("hf://gpt2@main", "write hf://gpt2, and main as its revision"),
        ("hf://org/name@", "no repository"),
        ("hf://datasets/org/name", "datasets hold none"),
        ("hf://datasets/name", "datasets hold none"),
        ("hf://spaces/name", "spaces hold none"),
        ("hf://a/b/c", "no repository"),
        ("hf://a//b", "no repository"),
        ("hf://../etc", "no repository"),
        ("hf://a/b..c", "no repository"),
        ("hf://a/b--c", "no repository"),
        ("hf://a/-b", "no repository"),
        ("hf://a/b-", "no repository"),
        ("hf://.a/b", "no repository"),
        ("hf://a./b", "no repository"),
        ("hf://a/b.git", "no repository"),
        ("hf://a/b?x", "no repository"),
        ("hf://a/b c", "no repository"),
        ("hf://a/b\n", "no repository"),
        ("hf://org/größe", "no repository"),
        ("hf://org/文件", "no repository"),
        (f"hf://org/{'m' * 97}", "no repository"),
    ],
)
def test_what_is_no_source(text: str, words: str) -> None:
    with pytest.raises(SourceError, match=re.escape(words)):
        sources.parse(text)
    with pytest.raises(AnsibleFilterError, match=re.escape(words)):
        FilterModule().filters()["source_parts"](text)
