"""DeepSeek-V2 and V2-Lite (DeepSeek-AI 2024): latent attention and fine-grained experts.

Keys and values are made from one narrow vector a token; a part of each query and one key for all
heads are rotated, in interleaved pairs (section 2.1). The first layer is dense; in the others the
best k experts compute with their shares in the softmax over all, and shared ones see every token.
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
    GATED,
    attend,
    below,
    gated,
    linear,
    rms_norm,
    rotate_interleaved,
)
from tests.models.families.yarn import yarn_frequencies
from tests.tiny import write_tiny_tokenizer

# deepseek-ai/DeepSeek-V2-Lite; its trained length is 4096
LITE = {
    "architectures": ["DeepseekV2ForCausalLM"],
    "attention_bias": False,
    "attention_dropout": 0.0,
    "aux_loss_alpha": 0.001,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "first_k_dense_replace": 1,
    "hidden_act": "silu",
    "hidden_size": 64,
    "initializer_range": 0.02,
    "intermediate_size": 128,
    "kv_lora_rank": 24,
    "max_position_embeddings": 2560,
    "model_type": "deepseek_v2",
    "moe_intermediate_size": 32,
    "moe_layer_freq": 1,
    "n_group": 1,
    "n_routed_experts": 6,
    "n_shared_experts": 2,
    "norm_topk_prob": False,
    "num_attention_heads": 4,
    "num_experts_per_tok": 3,
    "num_hidden_layers": 2,
    "num_key_value_heads": 4,
    "pretraining_tp": 1,
    "q_lora_rank": None,
    "qk_nope_head_dim": 16,
    "qk_rope_head_dim": 8,
    "rms_norm_eps": 1e-06,
    "rope_scaling": {
        "beta_fast": 32,
        "beta_slow": 1,
        "factor": 40,
        "mscale": 0.707,
        "mscale_all_dim": 0.707,
        "original_max_position_embeddings": 64,
        "type": "yarn",
    },
    "rope_theta": 10000,
    "routed_scaling_factor": 1.0,
    "scoring_func": "softmax",
    "seq_aux": True,
    "tie_word_embeddings": False,
    "topk_group": 1,
    "topk_method": "greedy",
    "torch_dtype": "bfloat16",
    "transformers_version": "4.33.1",
    "use_cache": True,
    "v_head_dim": 16,
    "vocab_size": 384,
}
# deepseek-ai/DeepSeek-V2: queries through a narrow vector too; experts from the best groups only
LARGE = LITE | {
    "n_group": 3,
    "num_experts_per_tok": 2,
    "q_lora_rank": 40,
    "routed_scaling_factor": 16.0 / 8,
    "topk_group": 2,
    "topk_method": "group_limited_greedy",
}


def write(folder: Path, config: dict) -> Path:
    draw, width, heads = Draw(), config["hidden_size"], config["num_attention_heads"]
    plain, turned, latent = (
        config[name] for name in ("qk_nope_head_dim", "qk_rope_head_dim", "kv_lora_rank")
    )
    value, narrow = config["v_head_dim"], config["q_lora_rank"]
    weights = {"model.embed_tokens.weight": draw.embedding(config["vocab_size"], width)}

    def mlp(at: str, inner: int) -> None:
        for part in GATED:
            shape = (width, inner) if part == "down_proj" else (inner, width)
            weights[f"{at}.{part}.weight"] = draw.linear(*shape)

    for layer in range(config["num_hidden_layers"]):
        at = f"model.layers.{layer}."
        queries = heads * (plain + turned)
        if narrow is None:
            weights[f"{at}self_attn.q_proj.weight"] = draw.linear(queries, width)
        else:
            weights[f"{at}self_attn.q_a_proj.weight"] = draw.linear(narrow, width)
            weights[f"{at}self_attn.q_a_layernorm.weight"] = draw.norm(narrow)
            weights[f"{at}self_attn.q_b_proj.weight"] = draw.linear(queries, narrow)
        weights |= {
            f"{at}self_attn.kv_a_proj_with_mqa.weight": draw.linear(latent + turned, width),
            f"{at}self_attn.kv_a_layernorm.weight": draw.norm(latent),
            f"{at}self_attn.kv_b_proj.weight": draw.linear(heads * (plain + value), latent),
            f"{at}self_attn.o_proj.weight": draw.linear(width, heads * value),
        }
        if layer < config["first_k_dense_replace"]:
            mlp(f"{at}mlp", config["intermediate_size"])
        else:
            each, count = config["moe_intermediate_size"], config["n_routed_experts"]
            weights[f"{at}mlp.gate.weight"] = draw.linear(count, width)
            for number in range(count):
                mlp(f"{at}mlp.experts.{number}", each)
            mlp(f"{at}mlp.shared_experts", each * config["n_shared_experts"])
        for name in ("input_layernorm", "post_attention_layernorm"):
            weights[f"{at}{name}.weight"] = draw.norm(width)
    weights["model.norm.weight"] = draw.norm(width)
    weights["lm_head.weight"] = draw.linear(config["vocab_size"], width)
    write_checkpoint(folder, config, weights)
    return write_tiny_tokenizer(folder, vocab=config["vocab_size"])


def mixture(config: dict, x: Tensor, w: dict[str, Tensor]) -> Tensor:
    """[T, D] to [T, D]; eq. 20 to 22 of the paper."""
    shares = torch.softmax(linear(x, w["gate.weight"]), dim=-1)
    out = gated(x, below(w, "shared_experts."))
    for token in range(len(x)):
        allowed = shares[token].clone()
        if config["topk_method"] == "group_limited_greedy":
            groups = allowed.view(config["n_group"], -1)
            worst = groups.amax(-1).argsort(descending=True)[config["topk_group"] :]
            groups[worst] = 0
        for number in allowed.argsort(descending=True)[: config["num_experts_per_tok"]].tolist():
            share = shares[token, number] * config["routed_scaling_factor"]
            out[token] += share * gated(x[token], below(w, f"experts.{number}."))
    return out


def reference(config: dict, weights: dict[str, Tensor], ids: Tensor) -> Tensor:
    eps, tokens, heads = config["rms_norm_eps"], len(ids), config["num_attention_heads"]
    plain, turned, latent = (
        config[name] for name in ("qk_nope_head_dim", "qk_rope_head_dim", "kv_lora_rank")
    )
    base, scaling = rope_of(config)
    turns, positions = yarn_frequencies(turned, base, scaling), torch.arange(tokens)
    # Both of YaRN's factors are the same here, so that cos and sin stay; the scores grow instead
    grown = 0.1 * scaling["mscale_all_dim"] * math.log(scaling["factor"]) + 1
    scale = grown**2 / math.sqrt(plain + turned)

    def norm(x: Tensor, name: str, w: dict[str, Tensor]) -> Tensor:
        return rms_norm(x, w[f"{name}.weight"], eps)

    x = weights["model.embed_tokens.weight"][ids]
    for layer in range(config["num_hidden_layers"]):
        w = below(weights, f"model.layers.{layer}.")
        a = below(w, "self_attn.")
        y = norm(x, "input_layernorm", w)
        if config["q_lora_rank"] is None:
            q = linear(y, a["q_proj.weight"])
        else:
            narrow = norm(linear(y, a["q_a_proj.weight"]), "q_a_layernorm", a)
            q = linear(narrow, a["q_b_proj.weight"])
        q = q.view(tokens, heads, -1).transpose(0, 1)
        q = torch.cat(
            [q[..., :plain], rotate_interleaved(q[..., plain:], positions, turns)], dim=-1
        )
        both = linear(y, a["kv_a_proj_with_mqa.weight"])
        kv = linear(norm(both[:, :latent], "kv_a_layernorm", a), a["kv_b_proj.weight"])
        kv = kv.view(tokens, heads, -1).transpose(0, 1)
        one_key = rotate_interleaved(both[None, :, latent:], positions, turns)
        k = torch.cat([kv[..., :plain], one_key.expand(heads, -1, -1)], dim=-1)
        x = x + linear(attend(q, k, kv[..., plain:], scale=scale), a["o_proj.weight"])
        y = norm(x, "post_attention_layernorm", w)
        m = below(w, "mlp.")
        x = x + (gated(y, m) if "gate_proj.weight" in m else mixture(config, y, m))
    return linear(norm(x, "model.norm", weights), weights["lm_head.weight"])


# Router and experts come by PEFT's two wrappers, one within the other; dense layers and shared
# experts are left out
LINEARS = ("kv_a_proj_with_mqa", "kv_b_proj", "o_proj", "gate", "experts", "base_layer")
CASES = (
    Case(
        name="deepseek-v2-lite",
        family="DeepSeekV2",
        write=lambda folder: write(folder, LITE),
        reference=reference,
        vocab=384,
        leaf="deepseek_v2_lite_lora_alpaca",
        linears=("q_proj", *LINEARS),
    ),
    Case(
        name="deepseek-v2",
        family="DeepSeekV2",
        write=lambda folder: write(folder, LARGE),
        reference=reference,
        vocab=384,
        leaf="deepseek_v2_lite_lora_alpaca",
        linears=("q_a_proj", "q_b_proj", *LINEARS),
    ),
)
