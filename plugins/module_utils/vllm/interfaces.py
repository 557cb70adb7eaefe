# Copyright (c) 2026, llmfleet contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which models vLLM does not spread over pipeline stages, and which take no adapters.

The classes of vLLM 0.32 without `SupportsPP` and without `SupportsLoRA` (`model_executor/models/interfaces.py`), by the
architectures of `models/registry.py`. Pure functions; no Ansible, no files, no network.
"""

from __future__ import annotations

from typing import Any, Mapping

from ansible_collections.llmfleet.serving.plugins.module_utils.vllm.flags import switched

NO_PIPELINES = frozenset(
    [
        "AriaForConditionalGeneration",
        "BertForMaskedLM",
        "BertForSequenceClassification",
        "BertForTokenClassification",
        "BertModel",
        "BertSpladeSparseEmbeddingModel",
        "BgeM3EmbeddingModel",
        "CLIPModel",
        "ColBERTJinaRobertaModel",
        "ColBERTLfm2Model",
        "ColBERTModernBertModel",
        "ColModernVBertForRetrieval",
        "DiffusionGemmaForBlockDiffusion",
        "EmbeddingGemma2Model",
        "FireRedASR2ForConditionalGeneration",
        "GPT2ForSequenceClassification",
        "Gemma3TextModel",
        "Gemma3nForCausalLM",
        "Gemma3nForConditionalGeneration",
        "GteModel",
        "GteNewForSequenceClassification",
        "GteNewModel",
        "HF_ColBERT",
        "HrmTextForCausalLM",
        "IQuestLoopCoderForCausalLM",
        "Idefics3ForConditionalGeneration",
        "JinaForRanking",
        "Mamba2ForCausalLM",
        "ModernBertForSequenceClassification",
        "ModernBertForTokenClassification",
        "ModernBertModel",
        "NemotronH_Nano_Omni_Reasoning_V3",
        "NemotronH_Nano_VL_V2",
        "NemotronH_Omni_Reasoning_V3",
        "NemotronH_Super_Omni_Reasoning_V3",
        "NemotronParseForConditionalGeneration",
        "NomicBertModel",
        "OpenAIPrivacyFilterForTokenClassification",
        "PaddleOCRVLForConditionalGeneration",
        "Phi4MMForCausalLM",
        "RobertaForMaskedLM",
        "RobertaForSequenceClassification",
        "RobertaForTokenClassification",
        "RobertaModel",
        "SiglipModel",
        "SmolVLMForConditionalGeneration",
        "VoyageQwen3BidirectionalEmbedModel",
        "WhisperForConditionalGeneration",
        "XLMRobertaForSequenceClassification",
        "XLMRobertaForTokenClassification",
        "XLMRobertaModel",
        "Zamba2ForCausalLM",
    ]
)
# Of models whose output is their embedding, these look for an output on every stage (`ernie45_moe.py`).
_NO_TIED_PIPELINES = ("Ernie4_5_MoeForCausalLM", "Ernie4_5_VLMoeForConditionalGeneration")
NO_ADAPTERS = frozenset(
    [
        "AriaForConditionalGeneration",
        "BailingMoeV2_5ForCausalLM",
        "BailingMoeV3ForCausalLM",
        "BeeForConditionalGeneration",
        "BertForMaskedLM",
        "BertForSequenceClassification",
        "BertForTokenClassification",
        "BloomForCausalLM",
        "CLIPModel",
        "Cohere2MoeForCausalLM",
        "Cohere2VisionForConditionalGeneration",
        "ColBERTJinaRobertaModel",
        "ColBERTLfm2Model",
        "ColBERTModernBertModel",
        "ColModernVBertForRetrieval",
        "DbrxForCausalLM",
        "DeepseekVLV2ForCausalLM",
        "DiffusionGemmaForBlockDiffusion",
        "EmbeddingGemma2Model",
        "FalconForCausalLM",
        "FalconMambaForCausalLM",
        "FireRedASR2ForConditionalGeneration",
        "FunAudioChatForConditionalGeneration",
        "GPT2ForSequenceClassification",
        "GPT2LMHeadModel",
        "GPTJForCausalLM",
        "Gemma3TextModel",
        "Gemma3nForCausalLM",
        "Gemma3nForConditionalGeneration",
        "GteModel",
        "GteNewForSequenceClassification",
        "GteNewModel",
        "HCXVisionV2ForCausalLM",
        "HfMoondream",
        "HrmTextForCausalLM",
        "IQuestLoopCoderForCausalLM",
        "JinaForRanking",
        "KimiK25ForConditionalGeneration",
        "KimiLinearForCausalLM",
        "KimiVLForConditionalGeneration",
        "LlavaOnevision2ForConditionalGeneration",
        "LlavaOnevisionForConditionalGeneration",
        "Mamba2ForCausalLM",
        "MambaForCausalLM",
        "MiMoV2FlashForCausalLM",
        "MiMoV2ForCausalLM",
        "MiMoV2OmniForCausalLM",
        "ModernBertForSequenceClassification",
        "ModernBertForTokenClassification",
        "Moondream3ForCausalLM",
        "MoonshotKimiaForCausalLM",
        "MossTranscribeDiarizeForConditionalGeneration",
        "NemotronParseForConditionalGeneration",
        "NomicBertModel",
        "OpenAIPrivacyFilterForTokenClassification",
        "OpenVLAForActionPrediction",
        "OrionForCausalLM",
        "Ovis",
        "Ovis2_5",
        "Ovis2_6ForCausalLM",
        "Ovis2_6_MoeForCausalLM",
        "PaddleOCRVLForConditionalGeneration",
        "Phi3VForCausalLM",
        "Phi4ForCausalLMV",
        "Qwen2AudioForConditionalGeneration",
        "RForConditionalGeneration",
        "RobertaForTokenClassification",
        "SiglipModel",
        "SkyworkR1VChatModel",
        "StableLmForCausalLM",
        "Step1ForCausalLM",
        "Step3TextForCausalLM",
        "Step3VLForConditionalGeneration",
        "Step3p5ForCausalLM",
        "Step3p7ForConditionalGeneration",
        "StepVLForConditionalGeneration",
        "XLMRobertaForTokenClassification",
        "Zamba2ForCausalLM",
    ]
)


def pipeline_refusal(facts: Mapping[str, Any], stages: int) -> str:
    """Return why vLLM cannot spread a model over so many pipeline stages; empty where it can."""
    if stages < 2:
        return ""
    found = _first(facts, NO_PIPELINES)
    if not found and facts.get("tie_word_embeddings"):
        found = _first(facts, frozenset(_NO_TIED_PIPELINES))
    return f"vLLM does not spread {found} over pipeline stages" if found else ""


def adapters_refusal(facts: Mapping[str, Any], args: Mapping[str, Any]) -> tuple[str, str] | None:
    """Return why vLLM refuses a model with adapters, and the remedy."""
    found = _first(facts, NO_ADAPTERS) if switched(args, "enable-lora") else ""
    if not found:
        return None
    return f"args enable-lora is true, and vLLM takes no adapters for {found}", "leave it out of args"


def _first(facts: Mapping[str, Any], names: frozenset[str]) -> str:
    """Return the architecture of a model if it is one of these: vLLM takes the first that it knows."""
    return next((name for name in (facts.get("architectures") or ())[:1] if name in names), "")
