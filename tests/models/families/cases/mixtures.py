"""Mixtures of experts that are Llama otherwise: Mixtral, Qwen1.5-MoE and Qwen2-MoE, Qwen3-MoE.

A router scores the experts; the best k of them compute, and what they give is weighted:

    Mixtral, Qwen3-MoE     by a softmax over the scores of the chosen ones
    Qwen1.5 and 2          by their shares in the softmax over all, which add up to less than 1;
                           and a further expert sees every token, behind a gate of its own

(Jiang et al. 2024, section 2.1; Qwen team 2024, 'Qwen1.5-MoE'; Yang et al. 2025.)
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from tests.models.families.case import Case
from tests.models.families.llama_like import random_weights
from tests.models.families.native import head_width, native_logits
from tests.models.families.published import Draw, write_checkpoint
from tests.models.families.reference import GATED, below, gated, linear
from tests.tiny import write_tiny_tokenizer

# mistralai/Mixtral-8x7B-v0.1
MIXTRAL = {
    "architectures": ["MixtralForCausalLM"],
    "attention_dropout": 0.0,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "hidden_act": "silu",
    "hidden_size": 64,
    "initializer_range": 0.02,
    "intermediate_size": 96,
    "max_position_embeddings": 32768,
    "model_type": "mixtral",
    "num_attention_heads": 4,
    "num_experts_per_tok": 2,
    "num_hidden_layers": 2,
    "num_key_value_heads": 2,
    "num_local_experts": 4,
    "output_router_logits": False,
    "rms_norm_eps": 1e-05,
    "rope_theta": 1000000.0,
    "router_aux_loss_coef": 0.02,
    "sliding_window": None,
    "tie_word_embeddings": False,
    "torch_dtype": "bfloat16",
    "transformers_version": "4.36.0.dev0",
    "use_cache": True,
    "vocab_size": 384,
}
# Qwen/Qwen1.5-MoE-A2.7B
QWEN2_MOE = {
    "architectures": ["Qwen2MoeForCausalLM"],
    "attention_dropout": 0.0,
    "bos_token_id": 1,
    "decoder_sparse_step": 1,
    "eos_token_id": 2,
    "hidden_act": "silu",
    "hidden_size": 64,
    "initializer_range": 0.02,
    "intermediate_size": 128,
    "max_position_embeddings": 8192,
    "max_window_layers": 21,
    "model_type": "qwen2_moe",
    "moe_intermediate_size": 32,
    "norm_topk_prob": False,
    "num_attention_heads": 4,
    "num_experts": 6,
    "num_experts_per_tok": 3,
    "num_hidden_layers": 2,
    "num_key_value_heads": 4,
    "output_router_logits": False,
    "rms_norm_eps": 1e-06,
    "rope_theta": 1000000.0,
    "router_aux_loss_coef": 0.001,
    "shared_expert_intermediate_size": 96,
    "sliding_window": 32768,
    "tie_word_embeddings": False,
    "torch_dtype": "bfloat16",
    "transformers_version": "4.39.0.dev0",
    "use_cache": True,
    "use_sliding_window": False,
    "vocab_size": 384,
}
# Qwen/Qwen3-30B-A3B
QWEN3_MOE = {
    "architectures": ["Qwen3MoeForCausalLM"],
    "attention_bias": False,
    "attention_dropout": 0.0,
    "bos_token_id": 1,
    "decoder_sparse_step": 1,
    "eos_token_id": 2,
    "head_dim": 32,
    "hidden_act": "silu",
    "hidden_size": 64,
    "initializer_range": 0.02,
    "intermediate_size": 128,
    "max_position_embeddings": 40960,
    "max_window_layers": 48,
    "mlp_only_layers": [],
    "model_type": "qwen3_moe",
    "moe_intermediate_size": 32,
    "norm_topk_prob": True,
    "num_attention_heads": 4,
    "num_experts": 6,
    "num_experts_per_tok": 2,
    "num_hidden_layers": 2,
    "num_key_value_heads": 2,
    "output_router_logits": False,
    "rms_norm_eps": 1e-06,
    "rope_scaling": None,
    "rope_theta": 1000000.0,
    "router_aux_loss_coef": 0.001,
    "sliding_window": None,
    "tie_word_embeddings": False,
    "torch_dtype": "bfloat16",
    "transformers_version": "4.51.0",
    "use_cache": True,
    "use_sliding_window": False,
    "vocab_size": 384,
}
PARTS = {"mixtral": ("w1", "w3", "w2")}  # gate, up, down; the others' have Llama's names


def block_of(config: dict) -> str:
    return "block_sparse_moe" if config["model_type"] == "mixtral" else "mlp"


def write(folder: Path, config: dict) -> Path:
    kind, width = config["model_type"], config["hidden_size"]
    weights = random_weights(
        heads=config["num_attention_heads"],
        kv_heads=config["num_key_value_heads"],
        head_dim=head_width(config),
        biased="qkv" if kind == "qwen2_moe" else "",
        qk_norm=kind == "qwen3_moe",
    )
    weights = {name: w for name, w in weights.items() if ".mlp." not in name}
    draw = Draw(7)
    parts = PARTS.get(kind, GATED)

    def expert(at: str, inner: int, parts: tuple[str, str, str]) -> dict[str, Tensor]:
        gate, up, down = parts
        return {
            f"{at}.{gate}.weight": draw.linear(inner, width),
            f"{at}.{up}.weight": draw.linear(inner, width),
            f"{at}.{down}.weight": draw.linear(width, inner),
        }

    count = config.get("num_local_experts") or config["num_experts"]
    inner = config.get("moe_intermediate_size") or config["intermediate_size"]
    for layer in range(config["num_hidden_layers"]):
        at = f"model.layers.{layer}.{block_of(config)}"
        weights[f"{at}.gate.weight"] = draw.linear(count, width)
        for number in range(count):
            weights |= expert(f"{at}.experts.{number}", inner, parts)
        if kind == "qwen2_moe":
            shared = config["shared_expert_intermediate_size"]
            weights |= expert(f"{at}.shared_expert", shared, GATED)
            weights[f"{at}.shared_expert_gate.weight"] = draw.linear(1, width)
    write_checkpoint(folder, config, weights)
    return write_tiny_tokenizer(folder)


def reference(config: dict, weights: dict[str, Tensor], ids: Tensor) -> Tensor:
    kind, chosen = config["model_type"], config["num_experts_per_tok"]
    parts = PARTS.get(kind, GATED)

    def mixture(x: Tensor, w: dict[str, Tensor]) -> Tensor:
        w = below(w, f"{block_of(config)}.")
        scores = linear(x, w["gate.weight"])
        shares = torch.softmax(scores, dim=-1)
        out = torch.zeros_like(x)
        for token in range(len(x)):
            best = scores[token].argsort(descending=True)[:chosen]
            if kind == "qwen2_moe":
                share = shares[token, best]
            else:
                share = torch.softmax(scores[token, best], dim=-1)
            for part, number in zip(share, best.tolist(), strict=True):
                expert = below(w, f"experts.{number}.")
                out[token] += part * gated(x[token], expert, parts)
        if kind == "qwen2_moe":
            opened = torch.sigmoid(linear(x, w["shared_expert_gate.weight"]))
            out = out + opened * gated(x, below(w, "shared_expert."))
        return out

    return native_logits(config, weights, ids, mlp=mixture)


ATTENTION = ("q_proj", "k_proj", "v_proj", "o_proj")
# The router, and PEFT's two wrappers around the experts, one within the other
EXPERTS = ("gate", "experts", "base_layer")
CASES = (
    Case(
        name="mixtral",
        family="Mixtral",
        write=lambda folder: write(folder, MIXTRAL),
        reference=reference,
        vocab=384,
        leaf="mixtral_8x7b_lora_alpaca",
        linears=(*ATTENTION, *EXPERTS),
    ),
    Case(
        name="qwen2-moe",
        family="Qwen2Moe",
        write=lambda folder: write(folder, QWEN2_MOE),
        reference=reference,
        vocab=384,
        leaf="qwen1_5_moe_a2_7b_lora_alpaca",
        linears=(*ATTENTION, *GATED, "shared_expert_gate"),
    ),
    Case(
        name="qwen3-moe",
        family="Qwen3Moe",
        write=lambda folder: write(folder, QWEN3_MOE),
        reference=reference,
        vocab=384,
        leaf="qwen3_30b_a3b_lora_alpaca",
        linears=(*ATTENTION, *EXPERTS),
    ),
)
