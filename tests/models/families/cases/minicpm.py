"""MiniCPM (Hu et al. 2024): scaled embeddings, residuals and logits."""

from __future__ import annotations

from pathlib import Path

from torch import Tensor

from tests.models.families.case import Case
from tests.models.families.llama_like import LINEARS, decoder, random_weights
from tests.models.families.published import write_checkpoint
from tests.tiny import write_tiny_tokenizer

CONFIG = {
    "architectures": ["MiniCPMForCausalLM"],
    "auto_map": {"AutoModelForCausalLM": "modeling_minicpm.MiniCPMForCausalLM"},
    "bos_token_id": 1,
    "eos_token_id": 2,
    "dim_model_base": 16,
    "hidden_act": "silu",
    "hidden_size": 64,
    "initializer_range": 0.1,
    "intermediate_size": 128,
    "max_position_embeddings": 2048,
    "model_type": "minicpm",
    "num_attention_heads": 4,
    "num_hidden_layers": 2,
    "num_key_value_heads": 2,
    "rms_norm_eps": 1e-05,
    "rope_scaling": None,
    "scale_depth": 1.4,
    "scale_emb": 12,
    "torch_dtype": "bfloat16",
    "use_cache": True,
    "vocab_size": 384,
}


def write(folder: Path) -> Path:
    write_checkpoint(folder, CONFIG, random_weights(kv_heads=2, tied=True), form="bin", shards=1)
    return write_tiny_tokenizer(folder, vocab=384)


def reference(config: dict, weights: dict[str, Tensor], ids: Tensor) -> Tensor:
    return decoder(
        weights,
        ids,
        layers=2,
        heads=4,
        kv_heads=2,
        eps=1e-5,
        embedding_scale=12.0,
        residual_scale=1.4 / 2**0.5,
        logit_scale=16 / 64,
    )


CASES = (
    Case(
        name="minicpm",
        family="MiniCPM",
        write=write,
        reference=reference,
        vocab=384,
        leaf="minicpm_2b_qlora_alpaca",
        linears=LINEARS,
        expects={"model_type": "granite"},
    ),
)
