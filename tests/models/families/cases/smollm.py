"""SmolLM 1 and 2 (Allal et al. 2025), and SmolLM3 (Bakouch et al. 2025), some of whose layers have
no positions at all (NoPE: Yang et al. 2025).
"""

from __future__ import annotations

from torch import Tensor

from tests.models.families.case import Case
from tests.models.families.llama_like import LINEARS
from tests.models.families.native import head_width, native_logits, rope_of, write_native
from tests.models.families.reference import rope_frequencies

# HuggingFaceTB/SmolLM2-135M: 3 query heads a key head, a tied head
SMOLLM2 = {
    "architectures": ["LlamaForCausalLM"],
    "attention_bias": False,
    "attention_dropout": 0.0,
    "bos_token_id": 0,
    "eos_token_id": 0,
    "hidden_act": "silu",
    "hidden_size": 96,
    "initializer_range": 0.041666666666666664,
    "intermediate_size": 256,
    "is_llama_config": True,
    "max_position_embeddings": 8192,
    "model_type": "llama",
    "num_attention_heads": 6,
    "num_hidden_layers": 2,
    "num_key_value_heads": 2,
    "pretraining_tp": 1,
    "rms_norm_eps": 1e-05,
    "rope_interleaved": False,
    "rope_scaling": None,
    "rope_theta": 100000,
    "tie_word_embeddings": True,
    "torch_dtype": "bfloat16",
    "transformers_version": "4.40.1",
    "use_cache": True,
    "vocab_size": 384,
}
# HuggingFaceTB/SmolLM3-3B-Base; every second layer of three is without positions, there every
# fourth
SMOLLM3 = {
    "architectures": ["SmolLM3ForCausalLM"],
    "attention_bias": False,
    "attention_dropout": 0.0,
    "bos_token_id": None,
    "eos_token_id": 2,
    "hidden_act": "silu",
    "hidden_size": 64,
    "initializer_range": 0.02,
    "intermediate_size": 128,
    "max_position_embeddings": 65536,
    "max_window_layers": 28,
    "mlp_bias": False,
    "model_type": "smollm3",
    "no_rope_layer_interval": 2,
    "no_rope_layers": [1, 0, 1],
    "num_attention_heads": 4,
    "num_hidden_layers": 3,
    "num_key_value_heads": 2,
    "pad_token_id": 2,
    "pretraining_tp": 2,
    "rms_norm_eps": 1e-06,
    "rope_scaling": None,
    "rope_theta": 5000000.0,
    "sliding_window": None,
    "tie_word_embeddings": True,
    "torch_dtype": "bfloat16",
    "transformers_version": "4.54.0.dev0",
    "use_cache": False,
    "use_sliding_window": False,
    "vocab_size": 384,
}


def smollm3(config: dict, weights: dict[str, Tensor], ids: Tensor) -> Tensor:
    turns = rope_frequencies(head_width(config), rope_of(config)[0])
    rotated = config["no_rope_layers"]  # named for what they are not: 1 is a layer with positions
    return native_logits(
        config, weights, ids, frequencies=lambda layer: turns if rotated[layer] else turns[:0]
    )


CASES = (
    Case(
        name="smollm2",
        family="SmolLM",
        write=lambda folder: write_native(folder, SMOLLM2, tied=True, shards=1),
        reference=native_logits,
        vocab=384,
        leaf="smollm2_135m_lora_alpaca",
        linears=LINEARS,
    ),
    Case(
        name="smollm3",
        family="SmolLM3",
        write=lambda folder: write_native(folder, SMOLLM3, tied=True),
        reference=smollm3,
        vocab=384,
        leaf="smollm3_3b_qlora_alpaca",
        linears=LINEARS,
    ),
)
