"""Mistral 7B (Jiang et al. 2023): a token sees the last 4,096 in each layer; from v0.2 on, all."""

from __future__ import annotations

from torch import Tensor

from tests.models.families.case import Case
from tests.models.families.llama_like import LINEARS
from tests.models.families.native import native_logits, write_native

# mistralai/Mistral-7B-v0.1; its window is 4096
V0_1 = {
    "architectures": ["MistralForCausalLM"],
    "bos_token_id": 1,
    "eos_token_id": 2,
    "hidden_act": "silu",
    "hidden_size": 64,
    "initializer_range": 0.02,
    "intermediate_size": 128,
    "max_position_embeddings": 32768,
    "model_type": "mistral",
    "num_attention_heads": 4,
    "num_hidden_layers": 2,
    "num_key_value_heads": 2,
    "rms_norm_eps": 1e-05,
    "rope_theta": 10000.0,
    "sliding_window": 8,
    "tie_word_embeddings": False,
    "torch_dtype": "bfloat16",
    "transformers_version": "4.34.0.dev0",
    "use_cache": True,
    "vocab_size": 384,
}
# mistralai/Mistral-7B-v0.3, and in Mistral-Nemo-Base-2407 heads narrower together than the model
V0_3 = V0_1 | {
    "attention_dropout": 0.0,
    "head_dim": 8,
    "rope_theta": 1000000.0,
    "sliding_window": None,
    "transformers_version": "4.42.0.dev0",
}


def reference(config: dict, weights: dict[str, Tensor], ids: Tensor) -> Tensor:
    return native_logits(config, weights, ids, window=config["sliding_window"])


CASES = (
    Case(
        name="mistral",
        family="Mistral",
        write=lambda folder: write_native(folder, V0_1),
        reference=reference,
        vocab=384,
        leaf="mistral_7b_qlora_alpaca",
        linears=LINEARS,
    ),
    Case(
        name="mistral-v0.3",
        family="Mistral",
        write=lambda folder: write_native(folder, V0_3),
        reference=reference,
        vocab=384,
        leaf="mistral_7b_qlora_alpaca",
        linears=LINEARS,
    ),
)
