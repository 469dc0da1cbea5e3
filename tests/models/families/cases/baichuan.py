"""Baichuan 1 and 2 (Yang et al. 2023): W_pack; the second generation normalises its head.

7B turns with the position (rotary), 13B has ALiBi (Press et al. 2021) and no positions else.
"""

from __future__ import annotations

import json
from pathlib import Path

import torch
from torch import Tensor

from tests.models.families.case import Case
from tests.models.families.llama_like import LINEARS, decoder, random_weights
from tests.models.families.published import write_checkpoint
from tests.models.families.reference import rope_frequencies
from tests.models.families.tokenizer_files import write_sentencepiece

COMMON = {
    "bos_token_id": 1,
    "eos_token_id": 2,
    "pad_token_id": 0,
    "hidden_act": "silu",
    "hidden_size": 64,
    "initializer_range": 0.02,
    "intermediate_size": 128,
    "model_type": "baichuan",
    "num_attention_heads": 4,
    "num_hidden_layers": 2,
    "rms_norm_eps": 1e-06,
    "tie_word_embeddings": False,
    "torch_dtype": "bfloat16",
    "use_cache": True,
    "vocab_size": 384,
}
FIRST_7B = COMMON | {
    "architectures": ["BaiChuanForCausalLM"],
    "auto_map": {"AutoModelForCausalLM": "modeling_baichuan.BaiChuanForCausalLM"},
    "max_position_embeddings": 4096,
}
SECOND_7B = COMMON | {
    "architectures": ["BaichuanForCausalLM"],
    "auto_map": {"AutoModelForCausalLM": "modeling_baichuan.BaichuanForCausalLM"},
    "max_position_embeddings": 4096,
    "model_max_length": 4096,
    "tokenizer_class": "BaichuanTokenizer",
    "z_loss_weight": 0,
}
FIRST_13B = COMMON | {
    "architectures": ["BaichuanForCausalLM"],
    "auto_map": {"AutoModelForCausalLM": "modeling_baichuan.BaichuanForCausalLM"},
    "gradient_checkpointing": False,
    "model_max_length": 4096,
}
SECOND_13B = COMMON | {
    "architectures": ["BaichuanForCausalLM"],
    "auto_map": {"AutoModelForCausalLM": "modeling_baichuan.BaichuanForCausalLM"},
    "hidden_size": 96,
    "model_max_length": 4096,
    "num_attention_heads": 6,  # like the published 40 no power of two
    "tokenizer_class": "BaichuanTokenizer",
    "z_loss_weight": 0,
}
TOKENIZER = {
    "add_bos_token": False,
    "add_eos_token": False,
    "auto_map": {"AutoTokenizer": ["tokenization_baichuan.BaichuanTokenizer", None]},
    "bos_token": "<s>",
    "clean_up_tokenization_spaces": False,
    "eos_token": "</s>",
    "model_max_length": 4096,
    "pad_token": "<unk>",
    "tokenizer_class": "BaichuanTokenizer",
    "unk_token": "<unk>",
    "use_fast": False,
}
# By the paper: for 6 heads those of 4 heads, then every other one of those of 8 heads
SLOPES = {
    4: [2**-2, 2**-4, 2**-6, 2**-8],
    6: [2**-2, 2**-4, 2**-6, 2**-8, 2**-1, 2**-3],
}


def write(folder: Path, config: dict, form: str) -> Path:
    heads, width = config["num_attention_heads"], config["hidden_size"]
    weights = random_weights(
        vocab=config["vocab_size"], width=width, heads=heads, kv_heads=heads, head_dim=16
    )
    for layer in range(2):
        at = f"model.layers.{layer}.self_attn."
        parts = [weights.pop(f"{at}{name}_proj.weight") for name in "qkv"]
        weights[f"{at}W_pack.weight"] = torch.cat(parts)
        if "max_position_embeddings" in config:
            weights[f"{at}rotary_emb.inv_freq"] = rope_frequencies(16, 1e4).float()
    write_checkpoint(folder, config, weights, form=form)
    (folder / "tokenizer_config.json").write_text(json.dumps(TOKENIZER), encoding="utf-8")
    return write_sentencepiece(folder, vocab=384)


def reference(config: dict, weights: dict[str, Tensor], ids: Tensor) -> Tensor:
    heads, width = config["num_attention_heads"], config["hidden_size"]
    llama = dict(weights)
    for layer in range(2):
        at = f"model.layers.{layer}.self_attn."
        rows = llama.pop(f"{at}W_pack.weight")
        for index, name in enumerate("qkv"):
            llama[f"{at}{name}_proj.weight"] = rows[index * width : (index + 1) * width]
    if "z_loss_weight" in config:
        head = llama["lm_head.weight"]
        llama["lm_head.weight"] = head / (head * head).sum(1, keepdim=True).sqrt()
    if "max_position_embeddings" in config:
        return decoder(llama, ids, layers=2, heads=heads, eps=1e-6)
    slopes = torch.tensor(SLOPES[heads], dtype=torch.float64)
    bias = slopes[:, None, None] * torch.arange(len(ids))  # slope x key position, every query
    none = torch.zeros(0, dtype=torch.float64)
    return decoder(llama, ids, layers=2, heads=heads, eps=1e-6, frequencies=none, bias=bias)


def case(name: str, family: str, config: dict, leaf: str, form: str) -> Case:
    return Case(
        name=name,
        family=family,
        write=lambda folder: write(folder, config, form),
        reference=reference,
        vocab=384,
        leaf=leaf,
        linears=LINEARS,
        expects={"normalises_head": "z_loss_weight" in config},
    )


CASES = (
    case("baichuan-7b", "Baichuan", FIRST_7B, "baichuan_7b_qlora_alpaca", "bin"),
    case("baichuan2-7b", "Baichuan", SECOND_7B, "baichuan2_7b_qlora_alpaca", "bin"),
    case("baichuan-13b", "BaichuanAlibi", FIRST_13B, "baichuan_13b_qlora_alpaca", "bin"),
    case("baichuan2-13b", "BaichuanAlibi", SECOND_13B, "baichuan2_13b_qlora_alpaca", "safetensors"),
)
