"""DeepSeek LLM (DeepSeek-AI 2024), the dense first version: Llama under Llama's model_type.

The 7B has a key head for each query head, the 67B shares them; the 67B's way is proven here, since
Llama 2's case proves the other.
"""

from __future__ import annotations

from tests.models.families.case import Case
from tests.models.families.llama_like import LINEARS
from tests.models.families.native import native_logits, write_native

# deepseek-ai/deepseek-llm-67b-base; the config of the 7B differs in sizes only
CONFIG = {
    "architectures": ["LlamaForCausalLM"],
    "attention_bias": False,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "hidden_act": "silu",
    "hidden_size": 64,
    "initializer_range": 0.02,
    "intermediate_size": 128,
    "max_position_embeddings": 4096,
    "model_type": "llama",
    "num_attention_heads": 4,
    "num_hidden_layers": 3,
    "num_key_value_heads": 2,
    "pretraining_tp": 1,
    "rms_norm_eps": 1e-06,
    "rope_scaling": None,
    "rope_theta": 10000.0,
    "tie_word_embeddings": False,
    "torch_dtype": "bfloat16",
    "transformers_version": "4.33.1",
    "use_cache": True,
    "vocab_size": 384,
}


CASES = (
    Case(
        name="deepseek-llm",
        family="DeepSeekLLM",
        write=lambda folder: write_native(folder, CONFIG, form="bin"),
        reference=native_logits,
        vocab=384,
        leaf="deepseek_7b_qlora_alpaca",
        linears=LINEARS,
    ),
)
