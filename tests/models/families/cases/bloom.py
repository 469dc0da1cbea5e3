"""BLOOM (BigScience 2022): ALiBi (Press et al. 2021), biases everywhere, a norm on the embedding.

The published files name the weights without transformers' leading 'transformer.'. The rows of
`query_key_value` go head by head: its query, its key, its value.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from tests.models.families.case import Case
from tests.models.families.published import Draw, write_checkpoint
from tests.models.families.reference import attend, below, gelu_tanh, layer_norm, linear
from tests.tiny import write_tiny_tokenizer

# bigscience/bloom-560m; 4 heads, so that the slopes are 2^-2, 2^-4, 2^-6, 2^-8
CONFIG = {
    "apply_residual_connection_post_layernorm": False,
    "architectures": ["BloomForCausalLM"],
    "attention_dropout": 0.0,
    "attention_softmax_in_fp32": True,
    "bias_dropout_fusion": True,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "hidden_dropout": 0.0,
    "initializer_range": 0.02,
    "layer_norm_epsilon": 1e-05,
    "masked_softmax_fusion": True,
    "model_type": "bloom",
    "n_embed": 64,
    "n_inner": None,
    "n_layer": 2,
    "num_attention_heads": 4,
    "offset_alibi": 100,
    "pad_token_id": 3,
    "pretraining_tp": 1,
    "seq_length": 2048,
    "skip_bias_add": True,
    "skip_bias_add_qkv": False,
    "slow_but_exact": False,
    "transformers_version": "4.20.0",
    "unk_token_id": 0,
    "use_cache": True,
    "vocab_size": 384,
}


def write(folder: Path) -> Path:
    draw, width = Draw(), CONFIG["n_embed"]
    weights: dict[str, Tensor] = {
        "word_embeddings.weight": draw.embedding(CONFIG["vocab_size"], width)
    }

    def norm(name: str) -> None:
        weights[f"{name}.weight"], weights[f"{name}.bias"] = draw.norm(width), draw.bias(width)

    norm("word_embeddings_layernorm")
    for layer in range(CONFIG["n_layer"]):
        for name in ("input_layernorm", "post_attention_layernorm"):
            norm(f"h.{layer}.{name}")
        for name, rows, columns in (
            ("self_attention.query_key_value", 3 * width, width),
            ("self_attention.dense", width, width),
            ("mlp.dense_h_to_4h", 4 * width, width),
            ("mlp.dense_4h_to_h", width, 4 * width),
        ):
            weights[f"h.{layer}.{name}.weight"] = draw.linear(rows, columns)
            weights[f"h.{layer}.{name}.bias"] = draw.bias(rows)
    norm("ln_f")
    write_checkpoint(folder, CONFIG, weights, form="bin")
    return write_tiny_tokenizer(folder, vocab=CONFIG["vocab_size"])


def reference(config: dict, weights: dict[str, Tensor], ids: Tensor) -> Tensor:
    weights = {name.removeprefix("transformer."): w for name, w in weights.items()}
    heads = config.get("num_attention_heads") or config["n_head"]
    slopes = torch.tensor([2.0 ** (-8 * i / heads) for i in range(1, heads + 1)]).double()
    positions = torch.arange(len(ids))
    bias = slopes[:, None, None] * (positions[None, :] - positions[:, None])

    def affine(x: Tensor, name: str, w: dict[str, Tensor]) -> Tensor:
        return linear(x, w[f"{name}.weight"], w[f"{name}.bias"])

    def norm(x: Tensor, name: str, w: dict[str, Tensor]) -> Tensor:
        eps = config["layer_norm_epsilon"]
        return layer_norm(x, w[f"{name}.weight"], w[f"{name}.bias"], eps)

    x = norm(weights["word_embeddings.weight"][ids], "word_embeddings_layernorm", weights)
    for layer in range(config["n_layer"]):
        w = below(weights, f"h.{layer}.")
        fused = affine(norm(x, "input_layernorm", w), "self_attention.query_key_value", w)
        q, k, v = fused.view(len(ids), heads, 3, -1).permute(2, 1, 0, 3)
        x = x + affine(attend(q, k, v, bias=bias), "self_attention.dense", w)
        inner = gelu_tanh(affine(norm(x, "post_attention_layernorm", w), "mlp.dense_h_to_4h", w))
        x = x + affine(inner, "mlp.dense_4h_to_h", w)
    return linear(norm(x, "ln_f", weights), weights["word_embeddings.weight"])


CASES = (
    Case(
        name="bloom",
        family="Bloom",
        write=write,
        reference=reference,
        vocab=384,
        leaf="bloom_7b1_qlora_alpaca",
        linears=("query_key_value", "dense", "dense_h_to_4h", "dense_4h_to_h"),
        packs="document",
    ),
)
