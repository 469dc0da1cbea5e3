"""InternLM 3: Llama with head_dim of its own and dynamic scaling; its biases are off."""

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
    "architectures": ["InternLM3ForCausalLM"],
    "auto_map": {"AutoModelForCausalLM": "modeling_internlm3.InternLM3ForCausalLM"},
    "attention_dropout": 0.0,
    "bias": False,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "pad_token_id": 2,
    "head_dim": 32,
    "hidden_act": "silu",
    "hidden_size": 64,
    "initializer_range": 0.02,
    "intermediate_size": 128,
    "max_position_embeddings": 48,  # 32,768 as published
    "model_type": "internlm3",
    "num_attention_heads": 4,
    "num_hidden_layers": 2,
    "num_key_value_heads": 2,
    "qkv_bias": False,
    "rms_norm_eps": 1e-05,
    "rope_scaling": {"factor": 6.0, "rope_type": "dynamic"},
    "rope_theta": 50000000,
    "tie_word_embeddings": False,
    "torch_dtype": "bfloat16",
    "use_cache": True,
    "vocab_size": 384,
}


def write(folder: Path) -> Path:
    write_checkpoint(folder, CONFIG, random_weights(kv_heads=2, head_dim=32))
    named = {"bos_token": "<s>", "eos_token": "</s>", "pad_token": "</s>", "unk_token": "<unk>"}
    (folder / "tokenizer_config.json").write_text(json.dumps(named), encoding="utf-8")
    return write_sentencepiece(folder, vocab=384)


def reference(config: dict, weights: dict[str, Tensor], ids: Tensor) -> Tensor:
    base, length = 5e7, len(ids)
    if length > 48:
        base *= (6 * length / 48 - 5) ** (32 / 30)
    return decoder(
        weights,
        ids,
        layers=2,
        heads=4,
        kv_heads=2,
        eps=1e-5,
        frequencies=rope_frequencies(32, base),
    )


CASES = (
    Case(
        name="internlm3-dynamic",
        family="InternLM3",
        write=write,
        reference=reference,
        vocab=384,
        leaf="internlm3_8b_qlora_alpaca",
        linears=LINEARS,
        longest=60,
    ),
)
