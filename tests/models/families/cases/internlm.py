"""InternLM 1: Llama with biases on q, k, v and o (InternLM technical report, 2023)."""

from __future__ import annotations

import json
from pathlib import Path

from torch import Tensor

from tests.models.families.case import Case
from tests.models.families.llama_like import LINEARS, decoder, random_weights
from tests.models.families.published import write_checkpoint
from tests.models.families.reference import rope_frequencies
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
# The 20B: no biases, and scaled beyond its trained length of 4,096; 48 here, to be reached
DYNAMIC = CONFIG | {
    "bias": False,
    "max_position_embeddings": 48,
    "num_key_value_heads": 4,
    "pretraining_tp": 1,
    "rotary": {"base": 10000, "type": "dynamic"},
    "torch_dtype": "bfloat16",
    "transformers_version": "4.33.1",
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


def write(folder: Path, config: dict = CONFIG) -> Path:
    weights = random_weights(biased="qkvo" if config["bias"] else "")
    for layer in range(2):
        name = f"model.layers.{layer}.self_attn.rotary_emb.inv_freq"
        weights[name] = rope_frequencies(16, 1e4).float()
    write_checkpoint(folder, config, weights, form="bin")
    (folder / "tokenizer_config.json").write_text(json.dumps(TOKENIZER), encoding="utf-8")
    return write_sentencepiece(folder, vocab=384, user_defined_symbols=["<eoh>", "<eoa>"])


def reference(config: dict, weights: dict[str, Tensor], ids: Tensor) -> Tensor:
    base, length, trained = 10000.0, len(ids), config["max_position_embeddings"]
    if config.get("rotary", {}).get("type") == "dynamic" and length > trained:
        base = base * (length / trained) ** (16 / 14)
    return decoder(
        weights, ids, layers=2, heads=4, eps=1e-6, frequencies=rope_frequencies(16, base)
    )


def case(name: str, config: dict, leaf: str) -> Case:
    return Case(
        name=name,
        family="InternLM",
        write=lambda folder: write(folder, config),
        reference=reference,
        vocab=384,
        leaf=leaf,
        linears=LINEARS,
        expects={"model_type": "llama", "attention_bias": config["bias"]},
        longest=60 if "rotary" in config else 30,
    )


CASES = (
    case("internlm", CONFIG, "internlm_7b_qlora_alpaca"),
    case("internlm-20b", DYNAMIC, "internlm_20b_qlora_alpaca"),
)
