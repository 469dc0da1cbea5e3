"""InternLM 3: Llama with a head width of its own and dynamic scaling (model card, 2025)."""

from __future__ import annotations

import json
from pathlib import Path

from torch import Tensor

from tests.models.families.case import Case
from tests.models.families.llama_like import LINEARS, decoder, random_weights
from tests.models.families.published import write_checkpoint
from tests.models.families.reference import rope_frequencies
from tests.models.families.tokenizer_files import write_sentencepiece

WIDTH = 32  # of a head; not hidden_size / num_attention_heads
CONFIG = {
    "architectures": ["InternLM3ForCausalLM"],
    "attention_dropout": 0.0,
    "auto_map": {
        "AutoConfig": "configuration_internlm3.InternLM3Config",
        "AutoModel": "modeling_internlm3.InternLM3Model",
        "AutoModelForCausalLM": "modeling_internlm3.InternLM3ForCausalLM",
    },
    "bias": False,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "head_dim": WIDTH,
    "hidden_act": "silu",
    "hidden_size": 64,
    "initializer_range": 0.02,
    "intermediate_size": 128,
    "max_position_embeddings": 32768,
    "model_type": "internlm3",
    "num_attention_heads": 4,
    "num_hidden_layers": 2,
    "num_key_value_heads": 2,
    "pad_token_id": 2,
    "qkv_bias": False,
    "rms_norm_eps": 1e-05,
    "rope_scaling": {"factor": 6.0, "rope_type": "dynamic"},
    "rope_theta": 50000000,
    "tie_word_embeddings": False,
    "torch_dtype": "bfloat16",
    "use_cache": True,
    "vocab_size": 384,
}
DYNAMIC = CONFIG | {"max_position_embeddings": 16}  # as published; 16, so that the tests reach it
BIASED = CONFIG | {"bias": True, "qkv_bias": True}
QKV_BIASED = CONFIG | {"qkv_bias": True}
SPECIAL = ["<|im_start|>", "<|im_end|>", "<|action_start|>", "<|action_end|>"]
SPECIAL += ["<|interpreter|>", "<|plugin|>"]
TOKENIZER = {
    "add_bos_token": True,
    "add_eos_token": False,
    "added_tokens_decoder": {
        str(index): {
            "content": token,
            "lstrip": False,
            "normalized": False,
            "rstrip": False,
            "single_word": False,
            "special": True,
        }
        for index, token in [
            *enumerate(["<unk>", "<s>", "</s>"]),
            *enumerate(SPECIAL, start=384 - len(SPECIAL)),
        ]
    },
    "additional_special_tokens": SPECIAL,
    "auto_map": {"AutoTokenizer": ["tokenization_internlm3.InternLM3Tokenizer", None]},
    "bos_token": "<s>",
    "clean_up_tokenization_spaces": False,
    "eos_token": "</s>",
    "model_max_length": 1000000000000000019884624838656,
    "pad_token": "</s>",
    "sp_model_kwargs": {},
    "tokenizer_class": "InternLM3Tokenizer",
    "unk_token": "<unk>",
    "use_default_system_prompt": False,
}


def write(folder: Path, config: dict) -> Path:
    weights = random_weights(
        kv_heads=2,
        head_dim=WIDTH,
        biased="qkv" * config["qkv_bias"] + "o" * config["bias"],
        mlp_bias=config["bias"],
    )
    write_checkpoint(folder, config, weights)
    (folder / "tokenizer_config.json").write_text(json.dumps(TOKENIZER), encoding="utf-8")
    return write_sentencepiece(folder, vocab=384 - len(SPECIAL))


def reference(config: dict, weights: dict[str, Tensor], ids: Tensor) -> Tensor:
    base, length = float(config["rope_theta"]), len(ids)
    factor, trained = config["rope_scaling"]["factor"], config["max_position_embeddings"]
    if length > trained:
        base = base * (factor * length / trained - (factor - 1)) ** (WIDTH / (WIDTH - 2))
    return decoder(
        weights,
        ids,
        layers=2,
        heads=4,
        kv_heads=2,
        eps=1e-5,
        frequencies=rope_frequencies(WIDTH, base),
    )


def case(name: str, config: dict, architecture: str = "llama") -> Case:
    return Case(
        name=name,
        family="InternLM3",
        write=lambda folder: write(folder, config),
        reference=reference,
        vocab=384,
        leaf="internlm3_8b_qlora_alpaca",
        linears=LINEARS,
        expects={"model_type": architecture, "head_dim": WIDTH},
    )


CASES = (
    case("internlm3", CONFIG),
    case("internlm3-dynamic", DYNAMIC),
    case("internlm3-biased", BIASED),
    case("internlm3-qkv-biased", QKV_BIASED, "qwen2"),
)
