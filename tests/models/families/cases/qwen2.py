"""Qwen1.5, Qwen2 and Qwen2.5 (Yang et al. 2024): Llama with biases on q, k and v, none on o.

Qwen3 (Yang et al. 2025) has none, but norms each head's query and key, and says its head width.
"""

from __future__ import annotations

from pathlib import Path

from torch import Tensor

from tests.models.families.case import Case
from tests.models.families.llama_like import LINEARS
from tests.models.families.native import native_logits, write_native

# Qwen/Qwen2.5-7B; Qwen/Qwen1.5-7B has a key head for each query head
QWEN2 = {
    "architectures": ["Qwen2ForCausalLM"],
    "attention_dropout": 0.0,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "hidden_act": "silu",
    "hidden_size": 64,
    "initializer_range": 0.02,
    "intermediate_size": 128,
    "max_position_embeddings": 131072,
    "max_window_layers": 2,
    "model_type": "qwen2",
    "num_attention_heads": 4,
    "num_hidden_layers": 2,
    "num_key_value_heads": 2,
    "rms_norm_eps": 1e-06,
    "rope_theta": 1000000.0,
    "sliding_window": 8,  # of no effect: use_sliding_window is false
    "tie_word_embeddings": False,
    "torch_dtype": "bfloat16",
    "transformers_version": "4.40.1",
    "use_cache": True,
    "use_mrope": False,
    "use_sliding_window": False,
    "vocab_size": 384,
}
QWEN1_5 = {k: v for k, v in QWEN2.items() if k != "use_mrope"} | {"num_key_value_heads": 4}
QWEN2_WINDOW = QWEN2 | {"use_sliding_window": True, "max_window_layers": 1, "num_hidden_layers": 3}
# Qwen/Qwen3-0.6B and its like, whose heads are wider together than the model
QWEN3 = {
    "architectures": ["Qwen3ForCausalLM"],
    "attention_bias": False,
    "attention_dropout": 0.0,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "head_dim": 32,
    "hidden_act": "silu",
    "hidden_size": 64,
    "initializer_range": 0.02,
    "intermediate_size": 128,
    "max_position_embeddings": 40960,
    "max_window_layers": 2,
    "model_type": "qwen3",
    "num_attention_heads": 4,
    "num_hidden_layers": 2,
    "num_key_value_heads": 2,
    "rms_norm_eps": 1e-06,
    "rope_scaling": None,
    "rope_theta": 1000000,
    "sliding_window": None,
    "tie_word_embeddings": True,
    "torch_dtype": "bfloat16",
    "transformers_version": "4.51.0",
    "use_cache": True,
    "use_sliding_window": False,
    "vocab_size": 384,
}
QWEN3_8B = QWEN3 | {"tie_word_embeddings": False, "num_key_value_heads": 1}


def write_qwen2(folder: Path, config: dict) -> Path:
    return write_native(folder, config, biased="qkv")


def qwen2(config: dict, weights: dict[str, Tensor], ids: Tensor) -> Tensor:
    """The window, where it is on, is of the layers from `max_window_layers` on."""
    first = config["max_window_layers"] if config["use_sliding_window"] else 10**9
    return native_logits(
        config,
        weights,
        ids,
        window=lambda layer: config["sliding_window"] if layer >= first else None,
    )


def write_qwen3(folder: Path, config: dict) -> Path:
    return write_native(folder, config, qk_norm=True, tied=config["tie_word_embeddings"])


CASES = (
    Case(
        name="qwen1.5",
        family="Qwen2",
        write=lambda folder: write_qwen2(folder, QWEN1_5),
        reference=qwen2,
        vocab=384,
        leaf="qwen1_5_7b_qlora_alpaca",
        linears=LINEARS,
    ),
    Case(
        name="qwen2.5",
        family="Qwen2",
        write=lambda folder: write_qwen2(folder, QWEN2),
        reference=qwen2,
        vocab=384,
        leaf="qwen2_5_7b_qlora_alpaca",
        linears=LINEARS,
        expects={"layer_types": ["full_attention", "full_attention"]},
    ),
    Case(
        name="qwen2-window",
        family="Qwen2",
        write=lambda folder: write_qwen2(folder, QWEN2_WINDOW),
        reference=qwen2,
        vocab=384,
        leaf="qwen2_7b_qlora_alpaca",
        linears=LINEARS,
    ),
    Case(
        name="qwen3",
        family="Qwen3",
        write=lambda folder: write_qwen3(folder, QWEN3),
        reference=native_logits,
        vocab=384,
        leaf="qwen3_8b_qlora_alpaca",
        linears=LINEARS,
    ),
    Case(
        name="qwen3-8b",
        family="Qwen3",
        write=lambda folder: write_qwen3(folder, QWEN3_8B),
        reference=native_logits,
        vocab=384,
        leaf="qwen3_8b_qlora_alpaca",
        linears=LINEARS,
    ),
)
