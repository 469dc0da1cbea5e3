"""Qwen, first generation (Bai et al. 2023): c_attn with a bias, w2 is the gate."""

from __future__ import annotations

import json
import math
from pathlib import Path

import torch
from torch import Tensor

from tests.models.families.case import Case
from tests.models.families.llama_like import LINEARS, decoder, random_weights
from tests.models.families.published import write_checkpoint
from tests.models.families.reference import rope_frequencies
from tests.models.families.tokenizer_files import write_tiktoken

VOCAB, SPECIAL = 512, 208
CONFIG = {
    "architectures": ["QWenLMHeadModel"],
    "auto_map": {
        "AutoConfig": "configuration_qwen.QWenConfig",
        "AutoModelForCausalLM": "modeling_qwen.QWenLMHeadModel",
    },
    "attn_dropout_prob": 0.0,
    "bf16": False,
    "emb_dropout_prob": 0.0,
    "fp16": False,
    "fp32": False,
    "hidden_size": 64,
    "intermediate_size": 256,
    "initializer_range": 0.02,
    "kv_channels": 16,
    "layer_norm_epsilon": 1e-06,
    "max_position_embeddings": 32768,
    "model_type": "qwen",
    "no_bias": True,
    "num_attention_heads": 4,
    "num_hidden_layers": 2,
    "onnx_safe": None,
    "rotary_emb_base": 10000,
    "rotary_pct": 1.0,
    "scale_attn_weights": True,
    "seq_length": 8192,
    "tie_word_embeddings": False,
    "tokenizer_class": "QWenTokenizer",
    "use_cache": True,
    "use_dynamic_ntk": True,
    "use_flash_attn": "auto",
    "use_logn_attn": True,
    "vocab_size": VOCAB,
}
# As published, with a length that the tests reach
LONG = CONFIG | {"seq_length": 12}
NAMES = {
    "model.embed_tokens": "transformer.wte",
    "model.norm": "transformer.ln_f",
    "model.layers": "transformer.h",
    "input_layernorm": "ln_1",
    "post_attention_layernorm": "ln_2",
    "self_attn.o_proj": "attn.c_proj",
    "mlp.up_proj": "mlp.w1",
    "mlp.gate_proj": "mlp.w2",
    "mlp.down_proj": "mlp.c_proj",
}


def renamed(name: str, names: dict[str, str]) -> str:
    for ours, theirs in names.items():
        name = name.replace(ours, theirs)
    return name


def write(folder: Path, config: dict) -> Path:
    weights = random_weights(vocab=VOCAB, biased="qkv")
    for layer in range(2):
        at = f"model.layers.{layer}."
        for kind in ("weight", "bias"):
            parts = [weights.pop(f"{at}self_attn.{name}_proj.{kind}") for name in "qkv"]
            weights[f"{at}attn.c_attn.{kind}"] = torch.cat(parts)
    published = {renamed(name, NAMES): weight for name, weight in weights.items()}
    write_checkpoint(folder, config, published)
    settings = {"model_max_length": 32768, "tokenizer_class": "QWenTokenizer"}
    settings["auto_map"] = {"AutoTokenizer": ["tokenization_qwen.QWenTokenizer", None]}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings), encoding="utf-8")
    write_tiktoken(folder / "qwen.tiktoken", tokens=VOCAB - SPECIAL)
    return folder


def reference(config: dict, weights: dict[str, Tensor], ids: Tensor) -> Tensor:
    back = {theirs: ours for ours, theirs in NAMES.items()}
    llama = {renamed(name, back): w for name, w in weights.items()}
    for name in [name for name in llama if "c_attn" in name]:
        rows = llama.pop(name)
        for index, part in enumerate("qkv"):
            new = name.replace("attn.c_attn", f"self_attn.{part}_proj")
            llama[new] = rows[index * 64 : (index + 1) * 64]
    length, trained, base, scale = len(ids), config["seq_length"], 10000.0, None
    if config["use_dynamic_ntk"] and length > trained:
        alpha = 2 ** math.ceil(math.log2(length / trained) + 1) - 1
        base = base * alpha ** (16 / 14)
    if config["use_logn_attn"]:
        scale = torch.tensor(
            [max(1.0, math.log(p) / math.log(trained)) for p in range(1, length + 1)],
            dtype=torch.float64,
        )
    return decoder(
        llama,
        ids,
        layers=2,
        heads=4,
        eps=1e-6,
        frequencies=rope_frequencies(16, base),
        scale_query=scale,
    )


def case(name: str, config: dict) -> Case:
    return Case(
        name=name,
        family="Qwen",
        write=lambda folder: write(folder, config),
        reference=reference,
        vocab=VOCAB,
        leaf="qwen_7b_qlora_alpaca",
        linears=LINEARS,
        expects={"model_type": "qwen2", "intermediate_size": 128},
    )


CASES = (
    case("qwen", CONFIG),
    case("qwen-long", LONG),
)
