"""InternLM 1: Llama with biases on q, k, v and o (InternLM technical report, 2023)."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from torch import Tensor

from tests.models.families.case import Case
from tests.models.families.published import Draw, write_checkpoint
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
from tests.models.families.tokenizer_files import write_sentencepiece

CONFIG = {
    "architectures": ["InternLMForCausalLM"],
    "auto_map": {
        "AutoConfig": "configuration_internlm.InternLMConfig",
        "AutoModel": "modeling_internlm.InternLMForCausalLM",
        "AutoModelForCausalLM": "modeling_internlm.InternLMForCausalLM",
    },
    "bias": True,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "pad_token_id": 2,
    "hidden_act": "silu",
    "hidden_size": 64,
    "initializer_range": 0.02,
    "intermediate_size": 128,
    "max_position_embeddings": 2048,
    "model_type": "internlm",
    "num_attention_heads": 4,
    "num_hidden_layers": 2,
    "rms_norm_eps": 1e-06,
    "tie_word_embeddings": False,
    "torch_dtype": "float16",
    "transformers_version": "4.29.2",
    "use_cache": True,
    "vocab_size": 384,
}
TOKENIZER = {
    "add_bos_token": True,
    "add_eos_token": False,
    "auto_map": {"AutoTokenizer": ["tokenization_internlm.InternLMTokenizer", None]},
    "bos_token": "<s>",
    "clean_up_tokenization_spaces": False,
    "eos_token": "</s>",
    "model_max_length": 1000000000000000019884624838656,
    "pad_token": "</s>",
    "tokenizer_class": "InternLMTokenizer",
    "unk_token": "<unk>",
}


def write(folder: Path) -> Path:
    draw, width, inner = Draw(), CONFIG["hidden_size"], CONFIG["intermediate_size"]
    weights = {"model.embed_tokens.weight": draw.embedding(CONFIG["vocab_size"], width)}
    for layer in range(CONFIG["num_hidden_layers"]):
        at = f"model.layers.{layer}."
        for name in ("q_proj", "k_proj", "v_proj", "o_proj"):
            weights[f"{at}self_attn.{name}.weight"] = draw.linear(width, width)
            weights[f"{at}self_attn.{name}.bias"] = draw.bias(width)
        weights[f"{at}self_attn.rotary_emb.inv_freq"] = rope_frequencies(16, 1e4).float()
        weights[f"{at}mlp.gate_proj.weight"] = draw.linear(inner, width)
        weights[f"{at}mlp.up_proj.weight"] = draw.linear(inner, width)
        weights[f"{at}mlp.down_proj.weight"] = draw.linear(width, inner)
        weights[f"{at}input_layernorm.weight"] = draw.norm(width)
        weights[f"{at}post_attention_layernorm.weight"] = draw.norm(width)
    weights["model.norm.weight"] = draw.norm(width)
    weights["lm_head.weight"] = draw.linear(CONFIG["vocab_size"], width)
    write_checkpoint(folder, CONFIG, weights, form="bin")
    (folder / "tokenizer_config.json").write_text(json.dumps(TOKENIZER), encoding="utf-8")
    return write_sentencepiece(
        folder, vocab=CONFIG["vocab_size"], user_defined_symbols=["<eoh>", "<eoa>"]
    )


def reference(config: dict, weights: dict[str, Tensor], ids: Tensor) -> Tensor:
    heads, eps = config["num_attention_heads"], config["rms_norm_eps"]
    positions = torch.arange(len(ids))
    frequencies = rope_frequencies(config["hidden_size"] // heads, 10000.0)
    x = weights["model.embed_tokens.weight"][ids]
    for layer in range(config["num_hidden_layers"]):
        w = below(weights, f"model.layers.{layer}.")
        normed = rms_norm(x, w["input_layernorm.weight"], eps)
        q, k, v = (
            heads_first(
                linear(normed, w[f"self_attn.{n}_proj.weight"], w[f"self_attn.{n}_proj.bias"]),
                heads,
            )
            for n in "qkv"
        )
        q = rotate_half_split(q, positions, frequencies)
        k = rotate_half_split(k, positions, frequencies)
        mixed = attend(q, k, v)
        x = x + linear(mixed, w["self_attn.o_proj.weight"], w["self_attn.o_proj.bias"])
        normed = rms_norm(x, w["post_attention_layernorm.weight"], eps)
        gate = silu(linear(normed, w["mlp.gate_proj.weight"]))
        x = x + linear(gate * linear(normed, w["mlp.up_proj.weight"]), w["mlp.down_proj.weight"])
    x = rms_norm(x, weights["model.norm.weight"], eps)
    return linear(x, weights["lm_head.weight"])


CASES = (
    Case(
        name="internlm",
        family="InternLM",
        write=write,
        reference=reference,
        vocab=CONFIG["vocab_size"],
        leaf="internlm_7b_qlora_alpaca",
        linears=("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"),
        expects={"model_type": "llama", "attention_bias": True},
    ),
)
