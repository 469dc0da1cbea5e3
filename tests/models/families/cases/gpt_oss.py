"""gpt-oss (OpenAI 2025): attention sinks, every second layer a window, YaRN, a capped SwiGLU.

The experts of a layer are one tensor, in which gate and up alternate. They are published in MXFP4
(OCP Microscaling Formats, version 1.0, 2023), output before input; the copies in bf16 that others
have made hold them input before output.
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
    rotate_half_split,
)
from tests.models.families.yarn import yarn_frequencies
from tests.tiny import write_tiny_tokenizer

# openai/gpt-oss-20b; its trained length is 4096, its window 128 and its limit 7
CONFIG = {
    "architectures": ["GptOssForCausalLM"],
    "attention_bias": True,
    "attention_dropout": 0.0,
    "eos_token_id": 2,
    "experts_per_token": 2,
    "head_dim": 16,
    "hidden_act": "silu",
    "hidden_size": 64,
    "initial_context_length": 64,
    "initializer_range": 0.02,
    "intermediate_size": 64,
    "layer_types": ["sliding_attention", "full_attention"],
    "max_position_embeddings": 2048,
    "model_type": "gpt_oss",
    "num_attention_heads": 4,
    "num_experts_per_tok": 2,
    "num_hidden_layers": 2,
    "num_key_value_heads": 2,
    "num_local_experts": 4,
    "output_router_logits": False,
    "pad_token_id": 0,
    "rms_norm_eps": 1e-05,
    "rope_scaling": {
        "beta_fast": 32.0,
        "beta_slow": 1.0,
        "factor": 32.0,
        "original_max_position_embeddings": 64,
        "rope_type": "yarn",
        "truncate": False,
    },
    "rope_theta": 150000,
    "router_aux_loss_coef": 0.9,
    "sliding_window": 8,
    "swiglu_limit": 1.0,
    "tie_word_embeddings": False,
    "transformers_version": "4.55.0.dev0",
    "use_cache": True,
    "vocab_size": 384,
}
PACKED = CONFIG | {
    "quantization_config": {
        "modules_to_not_convert": [
            "model.layers.*.self_attn",
            "model.layers.*.mlp.router",
            "model.embed_tokens",
            "lm_head",
        ],
        "quant_method": "mxfp4",
    }
}
# A 4-bit float has a bit of sign, two of exponent, one of fraction
FLOATS = [0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0]
FLOATS += [-number for number in FLOATS]


def packed(experts: int, rows: int, columns: int, seed: int) -> tuple[Tensor, Tensor]:
    """Random blocks [E, rows, columns / 32, 16] and scales; values about 1 / sqrt(columns)."""
    generator = torch.Generator().manual_seed(seed)
    shape = (experts, rows, columns // 32)
    blocks = torch.randint(0, 256, (*shape, 16), generator=generator, dtype=torch.uint8)
    usual = 127 - round(math.log2(2 * columns**0.5))
    scales = torch.randint(usual - 1, usual + 2, shape, generator=generator, dtype=torch.uint8)
    return blocks, scales


def unpacked(blocks: Tensor, scales: Tensor) -> Tensor:
    """[E, columns, rows] in float64; of a byte the low half comes first."""
    codes = blocks.long()
    codes = torch.stack([codes % 16, codes // 16], dim=-1).flatten(-2)
    numbers = torch.tensor(FLOATS, dtype=torch.float64)[codes]
    return (numbers * 2.0 ** (scales.double() - 127)[..., None]).flatten(-2).transpose(1, 2)


def write(folder: Path, config: dict) -> Path:
    draw, width, inner = Draw(), CONFIG["hidden_size"], CONFIG["intermediate_size"]
    experts, each, heads = CONFIG["num_local_experts"], CONFIG["head_dim"], 4
    weights = {"model.embed_tokens.weight": draw.embedding(CONFIG["vocab_size"], width)}
    for layer in range(CONFIG["num_hidden_layers"]):
        at = f"model.layers.{layer}."
        for name, rows, columns in (
            ("self_attn.q_proj", heads * each, width),
            ("self_attn.k_proj", 2 * each, width),
            ("self_attn.v_proj", 2 * each, width),
            ("self_attn.o_proj", width, heads * each),
            ("mlp.router", experts, width),
        ):
            weights[f"{at}{name}.weight"] = draw.linear(rows, columns)
            weights[f"{at}{name}.bias"] = draw.bias(rows)
        weights[f"{at}self_attn.sinks"] = 2 * draw.bias(heads)
        for name, before, after in (
            ("gate_up_proj", width, 2 * inner),
            ("down_proj", inner, width),
        ):
            if "quantization_config" in config:
                blocks, scales = packed(experts, after, before, seed=len(weights))
                weights[f"{at}mlp.experts.{name}_blocks"] = blocks
                weights[f"{at}mlp.experts.{name}_scales"] = scales
            else:
                matrices = [draw.linear(after, before).T for _ in range(experts)]
                weights[f"{at}mlp.experts.{name}"] = torch.stack(matrices).contiguous()
            weights[f"{at}mlp.experts.{name}_bias"] = draw.bias(experts * after).view(experts, -1)
        for name in ("input_layernorm", "post_attention_layernorm"):
            weights[f"{at}{name}.weight"] = draw.norm(width)
    weights["model.norm.weight"] = draw.norm(width)
    weights["lm_head.weight"] = draw.linear(CONFIG["vocab_size"], width)
    write_checkpoint(folder, config, weights)
    return write_tiny_tokenizer(folder, vocab=CONFIG["vocab_size"])


def expert(x: Tensor, w: dict[str, Tensor], number: int, limit: float) -> Tensor:
    """One expert on one token [D]; its activation is x * sigmoid(1.702 x) * (up + 1)."""
    both = x @ w["gate_up_proj"][number] + w["gate_up_proj_bias"][number]
    gate, up = both[0::2].clamp(max=limit), both[1::2].clamp(-limit, limit)
    inner = (up + 1) * gate / (1 + torch.exp(-1.702 * gate))
    return inner @ w["down_proj"][number] + w["down_proj_bias"][number]


def reference(config: dict, weights: dict[str, Tensor], ids: Tensor) -> Tensor:
    eps, positions = config["rms_norm_eps"], torch.arange(len(ids))
    base, scaling = rope_of(config)
    turns = yarn_frequencies(config["head_dim"], base, scaling)
    size = 0.1 * math.log(scaling["factor"]) + 1  # of cos and sin (Peng et al. 2023, eq. 22)

    def norm(x: Tensor, name: str, w: dict[str, Tensor]) -> Tensor:
        return rms_norm(x, w[f"{name}.weight"], eps)

    def affine(x: Tensor, name: str, w: dict[str, Tensor]) -> Tensor:
        return linear(x, w[f"{name}.weight"], w[f"{name}.bias"])

    x = weights["model.embed_tokens.weight"][ids]
    for layer, kind in enumerate(config["layer_types"]):
        w = below(weights, f"model.layers.{layer}.")
        y = norm(x, "input_layernorm", w)
        q, k, v = (
            heads_first(affine(y, f"self_attn.{name}_proj", w), count)
            for name, count in (("q", 4), ("k", 2), ("v", 2))
        )
        q, k = (size * rotate_half_split(t, positions, turns) for t in (q, k))
        window = config["sliding_window"] if kind == "sliding_attention" else None
        y = attend(q, k, v, window=window, sinks=w["self_attn.sinks"])
        x = x + affine(y, "self_attn.o_proj", w)
        y = norm(x, "post_attention_layernorm", w)
        scores = affine(y, "mlp.router", w)
        experts, out = below(w, "mlp.experts."), torch.zeros_like(y)
        for name in ("gate_up_proj", "down_proj"):
            if f"{name}_blocks" in experts:
                halves = (experts[f"{name}_{part}"] for part in ("blocks", "scales"))
                experts[name] = unpacked(*halves)
        for token in range(len(y)):
            best = scores[token].argsort(descending=True)[: config["num_experts_per_tok"]]
            shares = torch.softmax(scores[token, best], dim=-1)
            for share, number in zip(shares, best.tolist(), strict=True):
                out[token] += share * expert(y[token], experts, number, config["swiglu_limit"])
        x = x + out
    return linear(norm(x, "model.norm", weights), weights["lm_head.weight"])


CASES = tuple(
    Case(
        name=name,
        family="GptOss",
        write=lambda folder, config=config: write(folder, config),
        reference=reference,
        vocab=384,
        leaf="gpt_oss_20b_lora_alpaca",
        linears=("q_proj", "k_proj", "v_proj", "o_proj"),
        packs="document",
    )
    for name, config in (("gpt-oss", PACKED), ("gpt-oss-bf16", CONFIG))
)
