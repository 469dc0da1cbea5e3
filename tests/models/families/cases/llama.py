"""Llama 1 and 2 (Touvron et al. 2023a, 2023b), 3, 3.1 and 3.2 (Dubey et al. 2024)."""

from __future__ import annotations

import math
from pathlib import Path

from torch import Tensor

from tests.models.families.case import Case
from tests.models.families.llama_like import LINEARS
from tests.models.families.native import head_width, native_logits, rope_of, write_native
from tests.models.families.reference import rope_frequencies

# meta-llama/Llama-2-7b-hf; one key head a query head
LLAMA2 = {
    "architectures": ["LlamaForCausalLM"],
    "bos_token_id": 1,
    "eos_token_id": 2,
    "hidden_act": "silu",
    "hidden_size": 64,
    "initializer_range": 0.02,
    "intermediate_size": 128,
    "max_position_embeddings": 4096,
    "model_type": "llama",
    "num_attention_heads": 4,
    "num_hidden_layers": 2,
    "num_key_value_heads": 4,
    "pretraining_tp": 1,
    "rms_norm_eps": 1e-05,
    "rope_scaling": None,
    "tie_word_embeddings": False,
    "torch_dtype": "float16",
    "transformers_version": "4.31.0.dev0",
    "use_cache": True,
    "vocab_size": 384,
}
# meta-llama/Llama-3.1-8B; Llama 3 is the same without rope_scaling. The trained length is 64 here,
# not 8192, so that all three bands of the scaling are met by 8 frequencies.
LLAMA3_1 = {
    "architectures": ["LlamaForCausalLM"],
    "attention_bias": False,
    "attention_dropout": 0.0,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "hidden_act": "silu",
    "hidden_size": 64,
    "initializer_range": 0.02,
    "intermediate_size": 128,
    "max_position_embeddings": 512,
    "mlp_bias": False,
    "model_type": "llama",
    "num_attention_heads": 4,
    "num_hidden_layers": 2,
    "num_key_value_heads": 2,
    "pretraining_tp": 1,
    "rms_norm_eps": 1e-05,
    "rope_scaling": {
        "factor": 8.0,
        "low_freq_factor": 1.0,
        "high_freq_factor": 4.0,
        "original_max_position_embeddings": 64,
        "rope_type": "llama3",
    },
    "rope_theta": 500000.0,
    "tie_word_embeddings": False,
    "torch_dtype": "bfloat16",
    "transformers_version": "4.43.0.dev0",
    "use_cache": True,
    "vocab_size": 384,
}
# meta-llama/Llama-3.2-1B: the head is the embedding, the head width is said
LLAMA3_2 = LLAMA3_1 | {
    "head_dim": 16,
    "rope_scaling": LLAMA3_1["rope_scaling"] | {"factor": 32.0},
    "tie_word_embeddings": True,
    "transformers_version": "4.45.0.dev0",
}


def write_llama2(folder: Path) -> Path:
    """In torch's files, with the frequencies that the first releases stored in each layer."""
    stored = rope_frequencies(16, 10000.0).float()
    names = [f"model.layers.{layer}.self_attn.rotary_emb.inv_freq" for layer in (0, 1)]
    return write_native(folder, LLAMA2, more=dict.fromkeys(names, stored), form="bin")


def llama2(config: dict, weights: dict[str, Tensor], ids: Tensor) -> Tensor:
    return native_logits(config, weights, ids)


def stretched(frequencies: Tensor, scaling: dict) -> Tensor:
    """Llama 3.1's rotary scaling: slow turns `factor` times slower, fast ones as they were.

    A frequency that turns fully more than `high_freq_factor` times within the trained length
    stays; one that does less than `low_freq_factor` times is divided; between them the two are
    mixed linearly in the number of turns (as in the code that Meta published with the weights).
    """
    turns = scaling["original_max_position_embeddings"] * frequencies / (2 * math.pi)
    low, high = scaling["low_freq_factor"], scaling["high_freq_factor"]
    kept = ((turns - low) / (high - low)).clamp(0, 1)
    return kept * frequencies + (1 - kept) * frequencies / scaling["factor"]


def llama3(config: dict, weights: dict[str, Tensor], ids: Tensor) -> Tensor:
    base, scaling = rope_of(config)
    slowed = stretched(rope_frequencies(head_width(config), base), scaling)
    return native_logits(config, weights, ids, frequencies=slowed)


CASES = (
    Case(
        name="llama2",
        family="Llama",
        write=write_llama2,
        reference=llama2,
        vocab=384,
        leaf="llama2_7b_qlora_alpaca",
        linears=LINEARS,
    ),
    Case(
        name="llama3.1",
        family="Llama",
        write=lambda folder: write_native(folder, LLAMA3_1),
        reference=llama3,
        vocab=384,
        leaf="llama3_1_8b_qlora_alpaca",
        linears=LINEARS,
    ),
    Case(
        name="llama3.2",
        family="Llama",
        write=lambda folder: write_native(folder, LLAMA3_2, tied=True),
        reference=llama3,
        vocab=384,
        leaf="llama3_1_8b_qlora_alpaca",
        linears=LINEARS,
    ),
)
