"""GLM-4 in transformers' own layout: THUDM/glm-4-9b-hf (`glm`) and GLM-4-0414 (`glm4`).

The first half of each head is rotated, in interleaved pairs; gate and up are one matrix. GLM-4-0414
norms what attention and MLP give once more before it is added.
"""

from __future__ import annotations

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
    rotate_interleaved,
    silu,
)
from tests.tiny import write_tiny_tokenizer

# THUDM/glm-4-9b-hf
GLM = {
    "architectures": ["GlmForCausalLM"],
    "attention_bias": True,
    "attention_dropout": 0.0,
    "eos_token_id": [1, 2],
    "head_dim": 16,
    "hidden_act": "silu",
    "hidden_size": 64,
    "initializer_range": 0.02,
    "intermediate_size": 128,
    "max_position_embeddings": 8192,
    "model_type": "glm",
    "num_attention_heads": 4,
    "num_hidden_layers": 2,
    "num_key_value_heads": 2,
    "pad_token_id": 0,
    "partial_rotary_factor": 0.5,
    "rms_norm_eps": 1.5625e-07,
    "rope_theta": 10000.0,
    "tie_word_embeddings": False,
    "torch_dtype": "bfloat16",
    "transformers_version": "4.46.0.dev0",
    "use_cache": True,
    "vocab_size": 384,
}
# THUDM/GLM-4-9B-0414; THUDM/GLM-4-32B-0414 has no biases
GLM4 = GLM | {
    "architectures": ["Glm4ForCausalLM"],
    "max_position_embeddings": 32768,
    "model_type": "glm4",
    "rms_norm_eps": 1e-05,
    "transformers_version": "4.52.0.dev0",
}
ADDED = ("post_self_attn_layernorm", "post_mlp_layernorm")


def write(folder: Path, config: dict) -> Path:
    draw, width, inner = Draw(), config["hidden_size"], config["intermediate_size"]
    each = config["head_dim"]
    rows = {
        "q": config["num_attention_heads"] * each,
        "k": config["num_key_value_heads"] * each,
        "v": config["num_key_value_heads"] * each,
    }
    norms = ["input_layernorm", "post_attention_layernorm"]
    norms += ADDED if config["model_type"] == "glm4" else ()
    weights = {"model.embed_tokens.weight": draw.embedding(config["vocab_size"], width)}
    for layer in range(config["num_hidden_layers"]):
        at = f"model.layers.{layer}."
        for name, size in rows.items():
            weights[f"{at}self_attn.{name}_proj.weight"] = draw.linear(size, width)
            weights[f"{at}self_attn.{name}_proj.bias"] = draw.bias(size)
        weights[f"{at}self_attn.o_proj.weight"] = draw.linear(width, rows["q"])
        weights[f"{at}mlp.gate_up_proj.weight"] = draw.linear(2 * inner, width)
        weights[f"{at}mlp.down_proj.weight"] = draw.linear(width, inner)
        for name in norms:
            weights[f"{at}{name}.weight"] = draw.norm(width)
    weights["model.norm.weight"] = draw.norm(width)
    weights["lm_head.weight"] = draw.linear(config["vocab_size"], width)
    write_checkpoint(folder, config, weights)
    return write_tiny_tokenizer(folder, vocab=config["vocab_size"])


def reference(config: dict, weights: dict[str, Tensor], ids: Tensor) -> Tensor:
    eps, each = config["rms_norm_eps"], config["head_dim"]
    turned = each // 2
    turns, positions = rope_frequencies(turned, rope_of(config)[0]), torch.arange(len(ids))

    def norm(x: Tensor, name: str, w: dict[str, Tensor]) -> Tensor:
        return rms_norm(x, w[f"{name}.weight"], eps)

    def rotate(x: Tensor) -> Tensor:
        first = rotate_interleaved(x[..., :turned], positions, turns)
        return torch.cat([first, x[..., turned:]], dim=-1)

    x = weights["model.embed_tokens.weight"][ids]
    for layer in range(config["num_hidden_layers"]):
        w = below(weights, f"model.layers.{layer}.")
        y = norm(x, "input_layernorm", w)
        q, k, v = (
            heads_first(
                linear(y, w[f"self_attn.{name}_proj.weight"], w[f"self_attn.{name}_proj.bias"]),
                config["num_attention_heads" if name == "q" else "num_key_value_heads"],
            )
            for name in "qkv"
        )
        y = linear(attend(rotate(q), rotate(k), v), w["self_attn.o_proj.weight"])
        if config["model_type"] == "glm4":
            y = norm(y, "post_self_attn_layernorm", w)
        x = x + y
        gate, up = linear(
            norm(x, "post_attention_layernorm", w), w["mlp.gate_up_proj.weight"]
        ).chunk(2, dim=-1)
        y = linear(silu(gate) * up, w["mlp.down_proj.weight"])
        x = x + (norm(y, "post_mlp_layernorm", w) if config["model_type"] == "glm4" else y)
    return linear(norm(x, "model.norm", weights), weights["lm_head.weight"])


LINEARS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_up_proj", "down_proj")
CASES = (
    Case(
        name="glm",
        family="Glm",
        write=lambda folder: write(folder, GLM),
        reference=reference,
        vocab=384,
        leaf="glm4_9b_hf_qlora_alpaca",
        linears=LINEARS,
    ),
    Case(
        name="glm4",
        family="Glm4",
        write=lambda folder: write(folder, GLM4),
        reference=reference,
        vocab=384,
        leaf="glm4_0414_9b_qlora_alpaca",
        linears=LINEARS,
    ),
)
