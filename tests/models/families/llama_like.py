"""What the many families after Llama share: their files and their reference, with switches.

write_llama_like(folder, config, …)                  config.json, shards, a tokenizer
llama_like(config, weights, ids, …)                  the float64 reference

What makes a family its own stays in its case: its config.json, its frequencies, its windows, its
biases. Touvron et al. 2023: pre-norm with RMSNorm, rotary positions (half-split pairs), SwiGLU.

Shapes: see reference.py.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from tests.models.families.published import Draw, write_checkpoint
from tests.models.families.reference import (
    attend,
    below,
    heads_first,
    linear,
    rms_norm,
    rotate_half_split,
    silu,
)
from tests.tiny import write_tiny_tokenizer

__all__ = ["LINEARS", "gated_mlp", "head_width", "llama_like", "rope_of", "write_llama_like"]

LINEARS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")


def head_width(config: dict) -> int:
    """`head_dim` where it is published, else the width shared out among the heads."""
    return config.get("head_dim") or config["hidden_size"] // config["num_attention_heads"]


def rope_of(config: dict) -> tuple[float, dict]:
    """The base of the rotary positions, and their scaling: as published, or as a saved model has
    them, which is transformers 5's way.
    """
    saved = config.get("rope_parameters") or {}
    scaling = config.get("rope_scaling") or saved
    return config.get("rope_theta") or saved["rope_theta"], scaling


def write_llama_like(
    folder: Path,
    config: dict,
    *,
    tied: bool = False,
    biases: tuple[str, ...] = (),
    qk_norm: bool = False,
    norms: tuple[str, ...] = ("input_layernorm", "post_attention_layernorm"),
    norm: Callable[[Draw, int], Tensor] = Draw.norm,
    more: Callable[[str], dict[str, Tensor]] = lambda at: {},
    **settings: Any,
) -> Path:
    """Write the checkpoint under Llama's names.

    Args:
        folder: made if missing.
        config: as published.
        tied: no lm_head is stored.
        biases: which of q_proj, k_proj, v_proj, o_proj have one.
        qk_norm: a norm on each head's query and key.
        norms: of each layer.
        norm: draws one's weight.
        more: further weights of the layer at a prefix.
        settings: of `write_checkpoint`.
    """
    draw = Draw()
    width, inner, each = config["hidden_size"], config["intermediate_size"], head_width(config)
    heads = config["num_attention_heads"] * each
    keys = config.get("num_key_value_heads", config["num_attention_heads"]) * each
    shapes = {
        "q_proj": (heads, width),
        "k_proj": (keys, width),
        "v_proj": (keys, width),
        "o_proj": (width, heads),
    }
    weights = {"model.embed_tokens.weight": draw.embedding(config["vocab_size"], width)}
    for layer in range(config["num_hidden_layers"]):
        at = f"model.layers.{layer}."
        for name, shape in shapes.items():
            weights[f"{at}self_attn.{name}.weight"] = draw.linear(*shape)
            if name in biases:
                weights[f"{at}self_attn.{name}.bias"] = draw.bias(shape[0])
        if qk_norm:
            weights[f"{at}self_attn.q_norm.weight"] = norm(draw, each)
            weights[f"{at}self_attn.k_norm.weight"] = norm(draw, each)
        weights[f"{at}mlp.gate_proj.weight"] = draw.linear(inner, width)
        weights[f"{at}mlp.up_proj.weight"] = draw.linear(inner, width)
        weights[f"{at}mlp.down_proj.weight"] = draw.linear(width, inner)
        for name in norms:
            weights[f"{at}{name}.weight"] = norm(draw, width)
        weights |= more(at)
    weights["model.norm.weight"] = norm(draw, width)
    if not tied:
        weights["lm_head.weight"] = draw.linear(config["vocab_size"], width)
    write_checkpoint(folder, config, weights, **settings)
    return write_tiny_tokenizer(folder, vocab=config["vocab_size"])


def llama_like(
    config: dict,
    weights: dict[str, Tensor],
    ids: Tensor,
    *,
    frequencies: Callable[[int], Tensor | None],
    tied: bool = False,
    biases: tuple[str, ...] = (),
    qk_norm: bool = False,
    window: Callable[[int], int | None] = lambda layer: None,
) -> Tensor:
    """Compute the logits [T, V] of one document.

    Args:
        config: as published.
        weights: as published, in float64.
        ids: [T].
        frequencies: of a layer's rotary positions [E/2], or None for a layer without positions.
        tied: the head is the embedding.
        biases: as for `write_llama_like`.
        qk_norm: likewise; before the rotation.
        window: tokens that a layer's token sees, itself included, or None for all before it.
    """
    eps, heads = config["rms_norm_eps"], config["num_attention_heads"]
    keys = config.get("num_key_value_heads", heads)
    positions = torch.arange(len(ids))
    x = weights["model.embed_tokens.weight"][ids]
    for layer in range(config["num_hidden_layers"]):
        w = below(weights, f"model.layers.{layer}.")
        bias = {n: w[f"self_attn.{n}.bias"] if n in biases else None for n in LINEARS[:4]}
        normed = rms_norm(x, w["input_layernorm.weight"], eps)
        q, k, v = (
            heads_first(linear(normed, w[f"self_attn.{name}.weight"], bias[name]), count)
            for name, count in (("q_proj", heads), ("k_proj", keys), ("v_proj", keys))
        )
        if qk_norm:
            q = rms_norm(q, w["self_attn.q_norm.weight"], eps)
            k = rms_norm(k, w["self_attn.k_norm.weight"], eps)
        turns = frequencies(layer)
        if turns is not None:
            q, k = (rotate_half_split(t, positions, turns) for t in (q, k))
        mixed = attend(q, k, v, window=window(layer))
        x = x + linear(mixed, w["self_attn.o_proj.weight"], bias["o_proj"])
        normed = rms_norm(x, w["post_attention_layernorm.weight"], eps)
        x = x + gated_mlp(normed, below(w, "mlp."), silu)
    x = rms_norm(x, weights["model.norm.weight"], eps)
    return linear(x, weights["model.embed_tokens.weight" if tied else "lm_head.weight"])


def gated_mlp(x: Tensor, w: dict[str, Tensor], activation: Callable[[Tensor], Tensor]) -> Tensor:
    """Shazeer 2020: down(activation(gate(x)) * up(x))."""
    gate = activation(linear(x, w["gate_proj.weight"]))
    return linear(gate * linear(x, w["up_proj.weight"]), w["down_proj.weight"])
