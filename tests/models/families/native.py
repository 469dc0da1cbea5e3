"""Checkpoints and references of the families whose config.json has Llama's fields.

write_native(folder, config, …)          config.json, shards, tokenizer.json
native_logits(config, weights, ids, …)   the float64 reference
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from torch import Tensor

from tests.models.families.llama_like import decoder, random_weights
from tests.models.families.published import write_checkpoint
from tests.models.families.reference import rope_frequencies
from tests.tiny import write_tiny_tokenizer

__all__ = ["head_width", "native_logits", "rope_of", "write_native"]


def head_width(config: dict) -> int:
    """`head_dim` where it is published, else the width shared out among the heads."""
    return config.get("head_dim") or config["hidden_size"] // config["num_attention_heads"]


def rope_of(config: dict) -> tuple[float, dict]:
    """The base of the rotary positions, and their scaling: as published, or as a saved model has
    them, which is transformers 5's way.
    """
    saved = config.get("rope_parameters") or {}
    base = config.get("rope_theta") or saved.get("rope_theta", 10000.0)
    return base, config.get("rope_scaling") or saved


def write_native(
    folder: Path,
    config: dict,
    *,
    more: dict[str, Tensor] | None = None,
    form: str = "safetensors",
    shards: int = 2,
    **settings: Any,
) -> Path:
    """Write a checkpoint under Llama's names, with the sizes of its config.json.

    Args:
        folder: made if missing.
        config: as published.
        more: further weights.
        form: of the files.
        shards: how many of them.
        settings: of `random_weights`.
    """
    weights = random_weights(
        vocab=config["vocab_size"],
        width=config["hidden_size"],
        inner=config["intermediate_size"],
        layers=config["num_hidden_layers"],
        heads=config["num_attention_heads"],
        kv_heads=config["num_key_value_heads"],
        head_dim=head_width(config),
        **settings,
    )
    write_checkpoint(folder, config, weights | (more or {}), form=form, shards=shards)
    return write_tiny_tokenizer(folder, vocab=config["vocab_size"])


def native_logits(config: dict, weights: dict[str, Tensor], ids: Tensor, **settings: Any) -> Tensor:
    """Compute the logits [T, V] of one document; what a family does otherwise is in `settings`, of
    `decoder`.
    """
    plain = rope_frequencies(head_width(config), rope_of(config)[0])
    return decoder(
        weights,
        ids,
        layers=config["num_hidden_layers"],
        heads=config["num_attention_heads"],
        kv_heads=config["num_key_value_heads"],
        eps=config["rms_norm_eps"],
        **({"frequencies": plain} | settings),
    )
