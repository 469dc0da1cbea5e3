"""Falcon 7B and 40B (Almazrouei et al. 2023): attention and MLP side by side, no biases.

The rows of `query_key_value`:

    7B     all queries, one key, one value
    40B    for each key head its queries, its key, its value; and a norm for each of the two sides
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
    layer_norm,
    linear,
    rope_frequencies,
    rotate_half_split,
)
from tests.tiny import write_tiny_tokenizer

# tiiuae/falcon-7b
SMALL = {
    "alibi": False,
    "architectures": ["FalconForCausalLM"],
    "attention_dropout": 0.0,
    "bias": False,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "hidden_dropout": 0.0,
    "hidden_size": 64,
    "initializer_range": 0.02,
    "layer_norm_epsilon": 1e-05,
    "model_type": "falcon",
    "multi_query": True,
    "new_decoder_architecture": False,
    "num_attention_heads": 4,
    "num_hidden_layers": 2,
    "parallel_attn": True,
    "torch_dtype": "bfloat16",
    "transformers_version": "4.27.4",
    "use_cache": True,
    "vocab_size": 384,
}
# tiiuae/falcon-40b
LARGE = SMALL | {"new_decoder_architecture": True, "num_kv_heads": 2}


def write(folder: Path, config: dict) -> Path:
    draw, width = Draw(), config["hidden_size"]
    heads = config["num_attention_heads"]
    groups, each = config.get("num_kv_heads", 1), width // heads
    weights: dict[str, Tensor] = {}
    norms = ("ln_attn", "ln_mlp") if config["new_decoder_architecture"] else ("input_layernorm",)

    def norm(name: str) -> None:
        weights[f"{name}.weight"], weights[f"{name}.bias"] = draw.norm(width), draw.bias(width)

    weights["transformer.word_embeddings.weight"] = draw.embedding(config["vocab_size"], width)
    for layer in range(config["num_hidden_layers"]):
        at = f"transformer.h.{layer}."
        for name in norms:
            norm(at + name)
        for name, rows, columns in (
            ("self_attention.query_key_value", (heads + 2 * groups) * each, width),
            ("self_attention.dense", width, width),
            ("mlp.dense_h_to_4h", 4 * width, width),
            ("mlp.dense_4h_to_h", width, 4 * width),
        ):
            weights[f"{at}{name}.weight"] = draw.linear(rows, columns)
    norm("transformer.ln_f")
    weights["lm_head.weight"] = weights["transformer.word_embeddings.weight"]  # stored, and tied
    write_checkpoint(folder, config, weights, form="bin")
    return write_tiny_tokenizer(folder, vocab=config["vocab_size"])


def gelu(x: Tensor) -> Tensor:
    """Hendrycks & Gimpel 2016: x times the normal distribution up to x."""
    return x * 0.5 * (1 + torch.erf(x / math.sqrt(2)))


def reference(config: dict, weights: dict[str, Tensor], ids: Tensor) -> Tensor:
    heads, tokens = config["num_attention_heads"], len(ids)
    groups = config["num_kv_heads"] if config["new_decoder_architecture"] else 1
    each = config["hidden_size"] // heads
    turns, positions = rope_frequencies(each, rope_of(config)[0]), torch.arange(tokens)

    def norm(x: Tensor, name: str, w: dict[str, Tensor]) -> Tensor:
        eps = config["layer_norm_epsilon"]
        return layer_norm(x, w[f"{name}.weight"], w[f"{name}.bias"], eps)

    weights = below(weights, "transformer.")
    x = weights["word_embeddings.weight"][ids]
    for layer in range(config["num_hidden_layers"]):
        w = below(weights, f"h.{layer}.")
        if config["new_decoder_architecture"]:
            left, right = norm(x, "ln_attn", w), norm(x, "ln_mlp", w)
        else:
            left = right = norm(x, "input_layernorm", w)
        fused = linear(left, w["self_attention.query_key_value.weight"])
        q, k, v = fused.view(tokens, groups, -1, each).split([heads // groups, 1, 1], dim=2)
        q, k, v = (t.flatten(1, 2).transpose(0, 1) for t in (q, k, v))
        q, k = (rotate_half_split(t, positions, turns) for t in (q, k))
        attended = linear(attend(q, k, v), w["self_attention.dense.weight"])
        inner = gelu(linear(right, w["mlp.dense_h_to_4h.weight"]))
        x = x + attended + linear(inner, w["mlp.dense_4h_to_h.weight"])
    return linear(norm(x, "ln_f", weights), weights["word_embeddings.weight"])


LINEARS = ("query_key_value", "dense", "dense_h_to_4h", "dense_4h_to_h")
CASES = tuple(
    Case(
        name=name,
        family="Falcon",
        write=lambda folder, config=config: write(folder, config),
        reference=reference,
        vocab=384,
        leaf="falcon_7b_qlora_alpaca",
        linears=LINEARS,
        packs="document",
    )
    for name, config in (("falcon-7b", SMALL), ("falcon-40b", LARGE))
)
