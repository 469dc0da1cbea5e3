"""Checkpoints and a float64 reference for the many families that are built like Llama.

`random_weights` draws weights under Llama's names, `decoder` computes with them. What a family
does otherwise is an argument; what it calls otherwise is in its case, in both directions.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from tests.models.families.published import Draw
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

__all__ = ["LINEARS", "decoder", "random_weights"]

LINEARS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
ATTENTION = ("q", "k", "v", "o")


def random_weights(
    *,
    vocab: int = 384,
    width: int = 64,
    inner: int = 128,
    layers: int = 2,
    heads: int = 4,
    kv_heads: int = 4,
    head_dim: int = 16,
    biased: str = "",
    mlp_bias: bool = False,
    qk_norm: bool = False,
    norms: tuple[str, ...] = ("input_layernorm", "post_attention_layernorm"),
    norm_offset: float = 0.0,
    tied: bool = False,
    seed: int = 0,
) -> dict[str, Tensor]:
    """Draw weights under Llama's names.

    Args:
        biased: which of the projections 'qkvo' have a bias.
        qk_norm: q_norm and k_norm of width head_dim (Qwen3).
        norms: of each layer, over the width.
        norm_offset: what the model adds to every norm's weight (Gemma: 1).
        tied: no lm_head of its own.
        vocab, width, inner, layers, heads, kv_heads, head_dim, mlp_bias, seed: sizes.
    """
    draw = Draw(seed)

    def norm(size: int) -> Tensor:
        return draw.norm(size) - norm_offset

    rows = {"q": heads * head_dim, "k": kv_heads * head_dim, "v": kv_heads * head_dim, "o": width}
    weights = {"model.embed_tokens.weight": draw.embedding(vocab, width)}
    for layer in range(layers):
        at = f"model.layers.{layer}."
        for name in ATTENTION:
            columns = heads * head_dim if name == "o" else width
            weights[f"{at}self_attn.{name}_proj.weight"] = draw.linear(rows[name], columns)
            if name in biased:
                weights[f"{at}self_attn.{name}_proj.bias"] = draw.bias(rows[name])
        if qk_norm:
            weights[f"{at}self_attn.q_norm.weight"] = norm(head_dim)
            weights[f"{at}self_attn.k_norm.weight"] = norm(head_dim)
        for name, shape in (
            ("gate", (inner, width)),
            ("up", (inner, width)),
            ("down", (width, inner)),
        ):
            weights[f"{at}mlp.{name}_proj.weight"] = draw.linear(*shape)
            if mlp_bias:
                weights[f"{at}mlp.{name}_proj.bias"] = draw.bias(shape[0])
        for name in norms:
            weights[f"{at}{name}.weight"] = norm(width)
    weights["model.norm.weight"] = norm(width)
    if not tied:
        weights["lm_head.weight"] = draw.linear(vocab, width)
    return weights


def decoder(
    weights: dict[str, Tensor],
    ids: Tensor,
    *,
    layers: int,
    heads: int,
    eps: float,
    kv_heads: int | None = None,
    frequencies: Tensor | Callable[[int], Tensor] | None = None,
    base: float = 10000.0,
    rotate: Callable[[Tensor, Tensor, Tensor], Tensor] = rotate_half_split,
    window: int | Callable[[int], int | None] | None = None,
    bias: Tensor | None = None,
    activation: Callable[[Tensor], Tensor] = silu,
    norm_offset: float = 0.0,
    embedding_scale: float = 1.0,
    residual_scale: float = 1.0,
    logit_scale: float = 1.0,
    scale_query: Tensor | None = None,
    mlp: Callable[[Tensor, dict[str, Tensor]], Tensor] | None = None,
) -> Tensor:
    """Compute the logits [T, V] of one document with weights under Llama's names.

    Args:
        frequencies: [E/2]; default of `base` over the whole head; of size 0 rotates nothing. Or a
            function of the layer's number that returns them.
        window: likewise.
        bias: [H, T, T] of the scores (ALiBi).
        norm_offset: added to every norm's weight (Gemma: 1).
        scale_query: [T], of the rotated queries (logn).
        mlp: what stands in the place of the gated MLP: of ([T, D], the layer's weights).
        weights, ids, layers, heads, eps, kv_heads, base, rotate, activation,
        embedding_scale, residual_scale, logit_scale: of the family.
    """
    positions = torch.arange(len(ids))
    x = weights["model.embed_tokens.weight"][ids] * embedding_scale
    head_dim = weights["model.layers.0.self_attn.q_proj.weight"].shape[0] // heads
    if frequencies is None:
        frequencies = rope_frequencies(head_dim, base)

    def norm(x: Tensor, weight: Tensor) -> Tensor:
        return rms_norm(x, weight + norm_offset, eps)

    for layer in range(layers):
        w = below(weights, f"model.layers.{layer}.")
        normed = norm(x, w["input_layernorm.weight"])
        q, k, v = (
            heads_first(
                linear(
                    normed,
                    w[f"self_attn.{name}_proj.weight"],
                    w.get(f"self_attn.{name}_proj.bias"),
                ),
                heads if name == "q" else kv_heads or heads,
            )
            for name in "qkv"
        )
        if "self_attn.q_norm.weight" in w:
            q, k = norm(q, w["self_attn.q_norm.weight"]), norm(k, w["self_attn.k_norm.weight"])
        turns = frequencies(layer) if callable(frequencies) else frequencies
        if len(turns):
            q, k = rotate(q, positions, turns), rotate(k, positions, turns)
        if scale_query is not None:
            q = q * scale_query[None, :, None]
        seen = window(layer) if callable(window) else window
        mixed = attend(q, k, v, window=seen, bias=bias, scale=1 / math.sqrt(head_dim))
        x = x + residual_scale * linear(
            mixed, w["self_attn.o_proj.weight"], w.get("self_attn.o_proj.bias")
        )
        normed = norm(x, w["post_attention_layernorm.weight"])
        if mlp is not None:
            x = x + residual_scale * mlp(normed, w)
            continue
        gate, up = (
            linear(normed, w[f"mlp.{name}_proj.weight"], w.get(f"mlp.{name}_proj.bias"))
            for name in ("gate", "up")
        )
        x = x + residual_scale * linear(
            activation(gate) * up, w["mlp.down_proj.weight"], w.get("mlp.down_proj.bias")
        )
    x = norm(x, weights["model.norm.weight"])
    head = weights.get("lm_head.weight", weights["model.embed_tokens.weight"])
    return linear(x, head) * logit_scale
