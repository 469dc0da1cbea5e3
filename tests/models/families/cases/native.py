"""The dense families that transformers reads itself: Llama's layers, each with its difference."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from tests.models.families.case import Case
from tests.models.families.llama_like import LINEARS, decoder, random_weights
from tests.models.families.published import write_checkpoint
from tests.models.families.reference import rope_frequencies
from tests.tiny import write_tiny_tokenizer

COMMON: dict[str, Any] = {
    "bos_token_id": 1,
    "eos_token_id": 2,
    "hidden_act": "silu",
    "hidden_size": 64,
    "initializer_range": 0.02,
    "intermediate_size": 128,
    "max_position_embeddings": 4096,
    "num_attention_heads": 4,
    "num_hidden_layers": 2,
    "num_key_value_heads": 2,
    "rms_norm_eps": 1e-05,
    "rope_theta": 10000.0,
    "tie_word_embeddings": False,
    "torch_dtype": "bfloat16",
    "use_cache": True,
    "vocab_size": 384,
}
LLAMA = COMMON | {"architectures": ["LlamaForCausalLM"], "model_type": "llama"}


def llama3_frequencies(width: int, base: float, scaling: dict) -> Tensor:
    """Llama 3.1: slow frequencies divided by the factor, fast ones kept, a ramp between."""
    frequencies = rope_frequencies(width, base)
    trained = scaling["original_max_position_embeddings"]
    turns = trained * frequencies / (2 * math.pi)  # full turns within the trained length
    low, high = scaling["low_freq_factor"], scaling["high_freq_factor"]
    kept = ((turns - low) / (high - low)).clamp(0, 1)
    return frequencies * kept + frequencies / scaling["factor"] * (1 - kept)


def gelu_tanh(x: Tensor) -> Tensor:
    """Hendrycks & Gimpel 2016, by tanh."""
    return 0.5 * x * (1 + torch.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))


def case(
    name: str,
    family: str,
    config: dict,
    leaf: str,
    *,
    weights: dict[str, Any] | None = None,
    linears: tuple[str, ...] = LINEARS,
    published: Callable[[dict], dict] = dict,
    canonical: Callable[[dict], dict] = dict,
    **settings: Any,
) -> Case:
    """A case from what the family does otherwise.

    Args:
        name, family, leaf, linears: see Case.
        config: as published.
        weights: for `random_weights`, besides what config says.
        published: weights under Llama's names to those of the family.
        canonical: and back.
        settings: for `decoder`, besides what config says.
    """
    sizes = {
        "heads": config["num_attention_heads"],
        "kv_heads": config["num_key_value_heads"],
        "head_dim": config.get("head_dim", 16),
        "tied": config["tie_word_embeddings"],
    }

    def write(folder: Path) -> Path:
        write_checkpoint(folder, config, published(random_weights(**sizes, **(weights or {}))))
        return write_tiny_tokenizer(folder, vocab=384)

    def reference(config: dict, stored: dict[str, Tensor], ids: Tensor) -> Tensor:
        return decoder(
            canonical(stored),
            ids,
            layers=2,
            heads=sizes["heads"],
            kv_heads=sizes["kv_heads"],
            eps=COMMON["rms_norm_eps"],
            **{"base": 10000.0} | settings,
        )

    return Case(
        name=name,
        family=family,
        write=write,
        reference=reference,
        vocab=384,
        leaf=leaf,
        linears=linears,
    )


LLAMA3_SCALING = {
    "factor": 8.0,
    "high_freq_factor": 4.0,
    "low_freq_factor": 1.0,
    "original_max_position_embeddings": 64,
    "rope_type": "llama3",
}


def phi3_fused(weights: dict) -> dict:
    fused = {}
    for name, weight in weights.items():
        if "q_proj" in name:
            parts = [weights[name.replace("q_proj", f"{part}_proj")] for part in "qkv"]
            fused[name.replace("q_proj", "qkv_proj")] = torch.cat(parts)
        elif "gate_proj" in name:
            parts = [weight, weights[name.replace("gate_proj", "up_proj")]]
            fused[name.replace("gate_proj", "gate_up_proj")] = torch.cat(parts)
        elif not any(part in name for part in ("k_proj", "v_proj", "up_proj")):
            fused[name] = weight
    return fused


def phi3_apart(weights: dict) -> dict:
    """qkv_proj is [64 query rows | 32 key rows | 32 value rows], gate_up_proj [128 | 128]."""
    apart = {}
    for name, rows in weights.items():
        if "qkv_proj" in name:
            for part, piece in zip("qkv", rows.split([64, 32, 32]), strict=True):
                apart[name.replace("qkv_proj", f"{part}_proj")] = piece
        elif "gate_up_proj" in name:
            apart[name.replace("gate_up_proj", "gate_proj")] = rows[:128]
            apart[name.replace("gate_up_proj", "up_proj")] = rows[128:]
        else:
            apart[name] = rows
    return apart


CASES = (
    case(
        "llama2",
        "Llama",
        LLAMA | {"num_key_value_heads": 4},
        "llama2_7b_qlora_alpaca",
    ),
    case(
        "llama3.1",
        "Llama",
        LLAMA | {"rope_theta": 500000.0, "rope_scaling": LLAMA3_SCALING},
        "llama3_1_8b_qlora_alpaca",
        frequencies=llama3_frequencies(16, 500000.0, LLAMA3_SCALING),
    ),
    case(
        "smollm2",
        "SmolLM",
        LLAMA | {"tie_word_embeddings": True, "rope_theta": 100000.0},
        "smollm2_135m_qlora_alpaca",
        base=100000.0,
    ),
    case("yi", "Yi", LLAMA | {"rope_theta": 5000000.0}, "yi_6b_qlora_alpaca", base=5000000.0),
    case(
        "deepseek-llm",
        "DeepSeekLLM",
        LLAMA | {"num_key_value_heads": 4},
        "deepseek_7b_qlora_alpaca",
    ),
    case(
        "qwen2",
        "Qwen2",
        COMMON
        | {
            "architectures": ["Qwen2ForCausalLM"],
            "model_type": "qwen2",
            "rope_theta": 1000000.0,
            "use_sliding_window": False,
            "sliding_window": 4096,
            "max_window_layers": 2,
        },
        "qwen2_5_7b_qlora_alpaca",
        weights={"biased": "qkv"},
        base=1000000.0,
    ),
    case(
        "qwen3",
        "Qwen3",
        COMMON
        | {
            "architectures": ["Qwen3ForCausalLM"],
            "attention_bias": False,
            "head_dim": 32,  # heads x head_dim is not the width
            "model_type": "qwen3",
            "rope_theta": 1000000.0,
            "sliding_window": None,
            "use_sliding_window": False,
        },
        "qwen3_8b_qlora_alpaca",
        weights={"qk_norm": True},
        base=1000000.0,
    ),
    case(
        "mistral-windowed",
        "Mistral",
        COMMON
        | {"architectures": ["MistralForCausalLM"], "model_type": "mistral", "sliding_window": 8},
        "mistral_7b_qlora_alpaca",
        window=8,
    ),
    case(
        "gemma",
        "Gemma",
        COMMON
        | {
            "architectures": ["GemmaForCausalLM"],
            "head_dim": 32,
            "hidden_act": "gelu",
            "hidden_activation": "gelu_pytorch_tanh",
            "model_type": "gemma",
            "num_key_value_heads": 1,
            "tie_word_embeddings": True,
        },
        "gemma_7b_qlora_alpaca",
        activation=gelu_tanh,
        norm_offset=1.0,
        embedding_scale=8.0,  # sqrt of the width
    ),
    case(
        "phi3",
        "Phi3",
        COMMON
        | {
            "architectures": ["Phi3ForCausalLM"],
            "model_type": "phi3",
            "pad_token_id": 2,
            "sliding_window": 9,
        },
        "phi3_mini_qlora_alpaca",
        linears=("qkv_proj", "o_proj", "gate_up_proj", "down_proj"),
        published=phi3_fused,
        canonical=phi3_apart,
        window=9,
    ),
)
