"""DeepSeekMoE 16B (Dai et al. 2024): Llama's attention, a dense layer, then experts."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from tests.models.families.case import Case
from tests.models.families.llama_like import LINEARS, random_weights
from tests.models.families.native import native_logits
from tests.models.families.published import Draw, write_checkpoint
from tests.models.families.reference import below, gated, linear
from tests.tiny import write_tiny_tokenizer

# deepseek-ai/deepseek-moe-16b-base
CONFIG = {
    "architectures": ["DeepseekForCausalLM"],
    "attention_bias": False,
    "attention_dropout": 0.0,
    "auto_map": {
        "AutoConfig": "configuration_deepseek.DeepseekConfig",
        "AutoModel": "modeling_deepseek.DeepseekModel",
        "AutoModelForCausalLM": "modeling_deepseek.DeepseekForCausalLM",
    },
    "aux_loss_alpha": 0.001,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "first_k_dense_replace": 1,
    "hidden_act": "silu",
    "hidden_size": 64,
    "initializer_range": 0.02,
    "intermediate_size": 128,
    "max_position_embeddings": 4096,
    "model_type": "deepseek",
    "moe_intermediate_size": 32,
    "moe_layer_freq": 1,
    "n_routed_experts": 6,
    "n_shared_experts": 2,
    "norm_topk_prob": False,
    "num_attention_heads": 4,
    "num_experts_per_tok": 3,
    "num_hidden_layers": 2,
    "num_key_value_heads": 4,
    "pretraining_tp": 1,
    "rms_norm_eps": 1e-06,
    "rope_scaling": None,
    "rope_theta": 10000,
    "scoring_func": "softmax",
    "seq_aux": True,
    "tie_word_embeddings": False,
    "torch_dtype": "bfloat16",
    "transformers_version": "4.36.0",
    "use_cache": True,
    "vocab_size": 384,
}


def write(folder: Path) -> Path:
    draw, width, each = Draw(7), CONFIG["hidden_size"], CONFIG["moe_intermediate_size"]
    weights = random_weights()
    at = "model.layers.1.mlp"
    weights = {name: w for name, w in weights.items() if not name.startswith(at)}
    weights[f"{at}.gate.weight"] = draw.linear(CONFIG["n_routed_experts"], width)
    inner = {f"experts.{number}": each for number in range(CONFIG["n_routed_experts"])}
    inner["shared_experts"] = each * CONFIG["n_shared_experts"]
    for name, size in inner.items():
        for part in ("gate_proj", "up_proj"):
            weights[f"{at}.{name}.{part}.weight"] = draw.linear(size, width)
        weights[f"{at}.{name}.down_proj.weight"] = draw.linear(width, size)
    write_checkpoint(folder, CONFIG, weights)
    return write_tiny_tokenizer(folder)


def reference(config: dict, weights: dict[str, Tensor], ids: Tensor) -> Tensor:
    def mlp(x: Tensor, w: dict[str, Tensor]) -> Tensor:
        w = below(w, "mlp.")
        if "gate.weight" not in w:
            return gated(x, w)
        shares = torch.softmax(linear(x, w["gate.weight"]), dim=-1)
        out = gated(x, below(w, "shared_experts."))
        for token in range(len(x)):
            best = shares[token].argsort(descending=True)[: config["num_experts_per_tok"]]
            for number in best.tolist():
                expert = below(w, f"experts.{number}.")
                out[token] += shares[token, number] * gated(x[token], expert)
        return out

    return native_logits(config, weights, ids, mlp=mlp)


CASES = (
    Case(
        name="deepseek-moe",
        family="DeepSeekMoe",
        write=write,
        reference=reference,
        vocab=384,
        leaf="deepseek_moe_16b_lora_alpaca",
        linears=LINEARS,
    ),
)
