"""Yi (01.AI 2024): Llama with few key heads and slow rotary turns, under Llama's model_type."""

from __future__ import annotations

from tests.models.families.case import Case
from tests.models.families.llama_like import LINEARS
from tests.models.families.native import native_logits, write_native

# 01-ai/Yi-6B; one key head serves 4 query heads, in the published model 8
CONFIG = {
    "architectures": ["LlamaForCausalLM"],
    "bos_token_id": 1,
    "eos_token_id": 2,
    "hidden_act": "silu",
    "hidden_size": 128,
    "initializer_range": 0.02,
    "intermediate_size": 192,
    "max_position_embeddings": 4096,
    "model_type": "llama",
    "num_attention_heads": 8,
    "num_hidden_layers": 2,
    "num_key_value_heads": 2,
    "pad_token_id": 0,
    "pretraining_tp": 1,
    "rms_norm_eps": 1e-05,
    "rope_scaling": None,
    "rope_theta": 5000000.0,
    "tie_word_embeddings": False,
    "torch_dtype": "bfloat16",
    "transformers_version": "4.34.0",
    "use_cache": True,
    "vocab_size": 384,
}


CASES = (
    Case(
        name="yi",
        family="Yi",
        write=lambda folder: write_native(folder, CONFIG),
        reference=native_logits,
        vocab=384,
        leaf="yi_6b_qlora_alpaca",
        linears=LINEARS,
    ),
)
