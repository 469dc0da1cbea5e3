"""From a published config.json to LlamaConfig, for the families whose fields have Llama's names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from xtune.errors import ModelError

if TYPE_CHECKING:
    from transformers import LlamaConfig

__all__ = ["llama_config", "rope_parameters"]

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
    from transformers import LlamaConfig

    same = {name: fields[name] for name in _SAME if name not in changes}
    same |= {name: fields[name] for name in _SAME_IF_GIVEN if name in fields}
    same["rope_parameters"] = {
        "rope_type": "default",
        "rope_theta": fields.get("rope_theta", 10000.0),
    }
    same["tie_word_embeddings"] = fields.get("tie_word_embeddings", False)
    return LlamaConfig(**(same | changes))


def rope_parameters(
    fields: Mapping[str, Any], family: str, *, default_base: float = 10000.0
) -> dict[str, Any]:
    """Translate `rope_theta` and `rope_scaling` of a published config.json.

    Args:
        fields: of a config.json.
        family: its name, for messages.
        default_base: where the fields name none.

    Raises:
        ModelError: a kind of scaling other than 'dynamic' and 'linear'.
    """
    scaling = fields.get("rope_scaling") or {}
    kind = scaling.get("type", scaling.get("rope_type", "default"))
    base = {"rope_theta": float(fields.get("rope_theta", default_base))}
    if kind == "default" or float(scaling.get("factor", 1.0)) == 1.0 and kind == "linear":
        return {"rope_type": "default", **base}
    if kind not in ("dynamic", "linear"):
        raise ModelError(
            f"{family} with rope_scaling of type {kind!r}: supported are 'dynamic' and 'linear'. "
            "Without it (rope_scaling: null) the model is right up to its trained length"
        )
    return {"rope_type": kind, "factor": float(scaling["factor"]), **base}
