"""Phi-3 (Abdin et al. 2024): q, k and v in one matrix, gate and up in another, a window.

Those for 128k tokens stretch their rotary positions by LongRoPE (Ding et al. 2024).
"""

from __future__ import annotations

import math
from pathlib import Path

import torch
from torch import Tensor

from tests.models.families.case import Case
from tests.models.families.native import rope_of
from tests.models.families.published import Draw, write_checkpoint
from tests.models.families.reference import (
    attend,
    below,
    heads_first,
    linear,
    rms_norm,
    rope_frequencies,
    rotate_half_split,
    silu,
)
from tests.tiny import write_tiny_tokenizer

# microsoft/Phi-3-mini-4k-instruct; its window is 2047, and the medium one shares key heads
SHORT = {
    "architectures": ["Phi3ForCausalLM"],
    "attention_bias": False,
    "attention_dropout": 0.0,
    "auto_map": {
        "AutoConfig": "configuration_phi3.Phi3Config",
        "AutoModelForCausalLM": "modeling_phi3.Phi3ForCausalLM",
    },
    "bos_token_id": 1,
    "embd_pdrop": 0.0,
    "eos_token_id": 2,
    "hidden_act": "silu",
    "hidden_size": 64,
    "initializer_range": 0.02,
    "intermediate_size": 128,
    "max_position_embeddings": 4096,
    "model_type": "phi3",
    "num_attention_heads": 4,
    "num_hidden_layers": 2,
    "num_key_value_heads": 2,
    "original_max_position_embeddings": 4096,
    "pad_token_id": 2,
    "resid_pdrop": 0.0,
    "rms_norm_eps": 1e-05,
    "rope_scaling": None,
    "rope_theta": 10000.0,
    "sliding_window": 7,
    "tie_word_embeddings": False,
    "torch_dtype": "bfloat16",
    "transformers_version": "4.40.2",
    "use_cache": True,
    "vocab_size": 384,
}
# microsoft/Phi-3-mini-128k-instruct: a list of E/2 factors each, up to the trained length and
# beyond it, which is 4096 there
LONG = SHORT | {
    "max_position_embeddings": 512,
    "original_max_position_embeddings": 16,
    "rope_scaling": {
        "long_factor": [1.0, 1.3, 2.0, 3.5, 8.0, 16.0, 24.0, 32.0],
        "short_factor": [1.05, 1.1, 1.2, 1.4, 1.7, 2.0, 2.3, 2.6],
        "type": "longrope",
    },
    "sliding_window": 262144,
}


def write(folder: Path, config: dict) -> Path:
    draw, width, inner = Draw(), config["hidden_size"], config["intermediate_size"]
    keys = width * config["num_key_value_heads"] // config["num_attention_heads"]
    weights = {"model.embed_tokens.weight": draw.embedding(config["vocab_size"], width)}
    for layer in range(config["num_hidden_layers"]):
        at = f"model.layers.{layer}."
        weights[f"{at}self_attn.qkv_proj.weight"] = draw.linear(width + 2 * keys, width)
        weights[f"{at}self_attn.o_proj.weight"] = draw.linear(width, width)
        weights[f"{at}mlp.gate_up_proj.weight"] = draw.linear(2 * inner, width)
        weights[f"{at}mlp.down_proj.weight"] = draw.linear(width, inner)
        weights[f"{at}input_layernorm.weight"] = draw.norm(width)
        weights[f"{at}post_attention_layernorm.weight"] = draw.norm(width)
    weights["model.norm.weight"] = draw.norm(width)
    weights["lm_head.weight"] = draw.linear(config["vocab_size"], width)
    write_checkpoint(folder, config, weights)
    return write_tiny_tokenizer(folder, vocab=config["vocab_size"])


def stretched(config: dict, length: int) -> tuple[Tensor, float]:
    """The rotary frequencies of a text of `length` tokens, and what cos and sin are multiplied by.

    The multiple goes with the ratio s of the longest to the trained length L, whatever the text's
    own: sqrt(1 + ln(s) / ln(L)).
    """
    base, scaling = rope_of(config)
    plain = rope_frequencies(config["hidden_size"] // config["num_attention_heads"], base)
    if "long_factor" not in scaling:
        return plain, 1.0
    trained = config["original_max_position_embeddings"]
    factors = scaling["long_factor" if length > trained else "short_factor"]
    ratio = config["max_position_embeddings"] / trained
    size = math.sqrt(1 + math.log(ratio) / math.log(trained))
    return plain / torch.tensor(factors, dtype=torch.float64), size


def reference(config: dict, weights: dict[str, Tensor], ids: Tensor) -> Tensor:
    eps, heads, keys = (
        config[name] for name in ("rms_norm_eps", "num_attention_heads", "num_key_value_heads")
    )
    each = config["hidden_size"] // heads
    turns, size = stretched(config, len(ids))
    positions = torch.arange(len(ids))
    x = weights["model.embed_tokens.weight"][ids]
    for layer in range(config["num_hidden_layers"]):
        w = below(weights, f"model.layers.{layer}.")
        fused = linear(
            rms_norm(x, w["input_layernorm.weight"], eps), w["self_attn.qkv_proj.weight"]
        )
        q, k, v = fused.split([heads * each, keys * each, keys * each], dim=-1)
        q, k = (
            size * rotate_half_split(heads_first(t, n), positions, turns)
            for t, n in ((q, heads), (k, keys))
        )
        mixed = attend(q, k, heads_first(v, keys), window=config["sliding_window"])
        x = x + linear(mixed, w["self_attn.o_proj.weight"])
        normed = rms_norm(x, w["post_attention_layernorm.weight"], eps)
        fused = linear(normed, w["mlp.gate_up_proj.weight"])
        gate, up = fused[:, : config["intermediate_size"]], fused[:, config["intermediate_size"] :]
        x = x + linear(silu(gate) * up, w["mlp.down_proj.weight"])
    return linear(rms_norm(x, weights["model.norm.weight"], eps), weights["lm_head.weight"])


LINEARS = ("qkv_proj", "o_proj", "gate_up_proj", "down_proj")
CASES = (
    Case(
        name="phi3",
        family="Phi3",
        write=lambda folder: write(folder, SHORT),
        reference=reference,
        vocab=384,
        leaf="phi3_mini_qlora_alpaca",
        linears=LINEARS,
    ),
    Case(
        name="phi3-longrope",
        family="Phi3LongRope",
        write=lambda folder: write(folder, LONG),
        reference=reference,
        vocab=384,
        leaf="phi3_mini_qlora_alpaca",
        linears=LINEARS,
    ),
)
