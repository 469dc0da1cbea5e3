"""Gemma 1, 2 and 3 (Gemma Team 2024a, 2024b, 2025), text only.

all    norm weights w mean 1 + w; embeddings times sqrt(width); GELU in its tanh form; tied
2, 3   a norm before and after attention and MLP; scores scaled by query_pre_attn_scalar
2      scores and logits bounded by c * tanh(x / c); every second layer sees a window only
3      each head's query and key normed; one layer in six sees all and turns slowly, the
       others see a window and turn by a base of their own
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from tests.models.families.case import Case
from tests.models.families.llama_like import LINEARS
from tests.models.families.native import native_logits, rope_of, write_native
from tests.models.families.reference import (
    attend,
    below,
    gelu_tanh,
    heads_first,
    linear,
    rms_norm,
    rope_frequencies,
    rotate_half_split,
)

SANDWICH = (
    "input_layernorm",
    "post_attention_layernorm",
    "pre_feedforward_layernorm",
    "post_feedforward_layernorm",
)
# google/gemma-7b: heads wider together than the model, and an activation by the name of another
GEMMA = {
    "architectures": ["GemmaForCausalLM"],
    "attention_bias": False,
    "attention_dropout": 0.0,
    "bos_token_id": 2,
    "eos_token_id": 1,
    "head_dim": 32,
    "hidden_act": "gelu",
    "hidden_size": 64,
    "initializer_range": 0.02,
    "intermediate_size": 128,
    "max_position_embeddings": 8192,
    "model_type": "gemma",
    "num_attention_heads": 4,
    "num_hidden_layers": 2,
    "num_key_value_heads": 2,
    "pad_token_id": 0,
    "rms_norm_eps": 1e-06,
    "rope_scaling": None,
    "rope_theta": 10000.0,
    "torch_dtype": "bfloat16",
    "transformers_version": "4.38.0.dev0",
    "use_cache": True,
    "vocab_size": 384,
}
# google/gemma-2-9b; the bounds are 50 and 30 there, here small enough to bend tiny scores
GEMMA2 = {
    "architectures": ["Gemma2ForCausalLM"],
    "attention_bias": False,
    "attention_dropout": 0.0,
    "attn_logit_softcapping": 2.0,
    "bos_token_id": 2,
    "cache_implementation": "hybrid",
    "eos_token_id": 1,
    "final_logit_softcapping": 5.0,
    "head_dim": 32,
    "hidden_act": "gelu_pytorch_tanh",
    "hidden_activation": "gelu_pytorch_tanh",
    "hidden_size": 64,
    "initializer_range": 0.02,
    "intermediate_size": 128,
    "max_position_embeddings": 8192,
    "model_type": "gemma2",
    "num_attention_heads": 4,
    "num_hidden_layers": 3,
    "num_key_value_heads": 2,
    "pad_token_id": 0,
    "query_pre_attn_scalar": 20,
    "rms_norm_eps": 1e-06,
    "rope_theta": 10000.0,
    "sliding_window": 8,
    "sliding_window_size": 8,
    "torch_dtype": "float32",
    "transformers_version": "4.42.0.dev0",
    "use_cache": True,
    "vocab_size": 384,
}
# google/gemma-3-1b-pt; its pattern is 6 and its window 512
GEMMA3 = {
    "architectures": ["Gemma3ForCausalLM"],
    "attention_bias": False,
    "attention_dropout": 0.0,
    "attn_logit_softcapping": None,
    "bos_token_id": 2,
    "cache_implementation": "hybrid",
    "eos_token_id": 1,
    "final_logit_softcapping": None,
    "head_dim": 32,
    "hidden_activation": "gelu_pytorch_tanh",
    "hidden_size": 64,
    "initializer_range": 0.02,
    "intermediate_size": 128,
    "max_position_embeddings": 32768,
    "model_type": "gemma3_text",
    "num_attention_heads": 4,
    "num_hidden_layers": 3,
    "num_key_value_heads": 1,
    "pad_token_id": 0,
    "query_pre_attn_scalar": 20,
    "rms_norm_eps": 1e-06,
    "rope_local_base_freq": 100,
    "rope_scaling": None,
    "rope_theta": 10000,
    "sliding_window": 8,
    "sliding_window_pattern": 2,
    "torch_dtype": "bfloat16",
    "transformers_version": "4.50.0.dev0",
    "use_cache": True,
    "vocab_size": 384,
}


def write_sandwich(folder: Path, config: dict) -> Path:
    return write_native(
        folder,
        config,
        tied=True,
        norm_offset=1.0,
        norms=SANDWICH,
        qk_norm=config["model_type"] == "gemma3_text",
    )


def bounded(x: Tensor, cap: float | None) -> Tensor:
    """Bello et al. 2016: c * tanh(x / c)."""
    return x if cap is None else cap * torch.tanh(x / cap)


def base_and_window(config: dict, layer: int) -> tuple[float, int | None]:
    """What a layer's rotary positions turn by, and how far back its tokens see."""
    if config["model_type"] == "gemma2":
        return rope_of(config)[0], config["sliding_window"] if layer % 2 == 0 else None
    if "rope_parameters" in config:  # as transformers 5 writes it
        name = config["layer_types"][layer]
        window = config["sliding_window"] if name == "sliding_attention" else None
        return config["rope_parameters"][name]["rope_theta"], window
    if (layer + 1) % config["sliding_window_pattern"] == 0:
        return config["rope_theta"], None
    return config["rope_local_base_freq"], config["sliding_window"]


def gemma(config: dict, weights: dict[str, Tensor], ids: Tensor) -> Tensor:
    return native_logits(
        config,
        weights,
        ids,
        activation=gelu_tanh,
        norm_offset=1.0,
        embedding_scale=config["hidden_size"] ** 0.5,
    )


def sandwiched(config: dict, weights: dict[str, Tensor], ids: Tensor) -> Tensor:
    """Gemma 2 and 3."""

    def normed(x: Tensor, weight: Tensor) -> Tensor:
        return rms_norm(x, 1 + weight, config["rms_norm_eps"])

    heads, keys = config["num_attention_heads"], config["num_key_value_heads"]
    scale = config["query_pre_attn_scalar"] ** -0.5
    positions = torch.arange(len(ids))
    x = weights["model.embed_tokens.weight"][ids] * config["hidden_size"] ** 0.5
    for layer in range(config["num_hidden_layers"]):
        w = below(weights, f"model.layers.{layer}.")
        base, window = base_and_window(config, layer)
        turns = rope_frequencies(config["head_dim"], base)
        y = normed(x, w["input_layernorm.weight"])
        q, k, v = (
            heads_first(linear(y, w[f"self_attn.{name}_proj.weight"]), count)
            for name, count in (("q", heads), ("k", keys), ("v", keys))
        )
        if config["model_type"] == "gemma3_text":
            q = normed(q, w["self_attn.q_norm.weight"])
            k = normed(k, w["self_attn.k_norm.weight"])
        q, k = (rotate_half_split(t, positions, turns) for t in (q, k))
        cap = config["attn_logit_softcapping"]
        y = attend(q, k, v, window=window, scale=scale, softcap=cap)
        y = linear(y, w["self_attn.o_proj.weight"])
        x = x + normed(y, w["post_attention_layernorm.weight"])
        y = normed(x, w["pre_feedforward_layernorm.weight"])
        y = gelu_tanh(linear(y, w["mlp.gate_proj.weight"])) * linear(y, w["mlp.up_proj.weight"])
        x = x + normed(linear(y, w["mlp.down_proj.weight"]), w["post_feedforward_layernorm.weight"])
    x = normed(x, weights["model.norm.weight"])
    logits = linear(x, weights["model.embed_tokens.weight"])
    return bounded(logits, config["final_logit_softcapping"])


CASES = (
    Case(
        name="gemma",
        family="Gemma",
        write=lambda folder: write_native(folder, GEMMA, tied=True, norm_offset=1.0),
        reference=gemma,
        vocab=384,
        leaf="gemma_7b_qlora_alpaca",
        linears=LINEARS,
        expects={"hidden_act": "gelu_pytorch_tanh"},
    ),
    Case(
        name="gemma2",
        family="Gemma2",
        write=lambda folder: write_sandwich(folder, GEMMA2),
        reference=sandwiched,
        vocab=384,
        leaf="gemma2_9b_qlora_alpaca",
        linears=LINEARS,
        packs="document",
    ),
    Case(
        name="gemma3",
        family="Gemma3",
        write=lambda folder: write_sandwich(folder, GEMMA3),
        reference=sandwiched,
        vocab=384,
        leaf="gemma3_1b_qlora_alpaca",
        linears=LINEARS,
    ),
)
