"""From a published config.json to LlamaConfig, for the families whose fields have Llama's names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from transformers import LlamaConfig

__all__ = ["llama_config"]

_SAME = (
    "vocab_size",
    "hidden_size",
    "intermediate_size",
    "num_hidden_layers",
    "num_attention_heads",
    "rms_norm_eps",
    "max_position_embeddings",
)
_SAME_IF_GIVEN = (
    "num_key_value_heads",
    "head_dim",
    "hidden_act",
    "initializer_range",
    "tie_word_embeddings",
    "bos_token_id",
    "eos_token_id",
    "pad_token_id",
)


def llama_config(fields: Mapping[str, Any], **changes: Any) -> LlamaConfig:
    """Translate the fields that have Llama's names and meanings.

    Args:
        fields: the published config.json; `rope_theta` may be missing and is then 10000.
        changes: what the family does otherwise, as LlamaConfig's arguments.
    """
    same = {name: fields[name] for name in _SAME if name not in changes}
    same |= {name: fields[name] for name in _SAME_IF_GIVEN if name in fields}
    same["rope_parameters"] = {
        "rope_type": "default",
        "rope_theta": fields.get("rope_theta", 10000.0),
    }
    same["tie_word_embeddings"] = fields.get("tie_word_embeddings", False)
    return LlamaConfig(**(same | changes))
