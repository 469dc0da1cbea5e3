"""Settings that a GGUF file has for any architecture: sizes, scaled positions, windows."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Protocol

import torch
from torch import Tensor

__all__ = ["common_fields", "rope_parameters", "rope_refusal", "write_rope", "write_window"]


class _Made(Protocol):
    fields: dict[str, Any]
    tensors: dict[str, Tensor]
    notices: list[str]


def common_fields(config: Any) -> dict[str, Any]:
    """Return sizes and plain positions, without the architecture's name in front.

    Args:
        config: of the model.
    """
    heads = config.num_attention_heads
    head = getattr(config, "head_dim", None) or config.hidden_size // heads
    fields: dict[str, Any] = {
        "context_length": getattr(config, "max_position_embeddings", None) or 2048,
        "embedding_length": config.hidden_size,
        "block_count": config.num_hidden_layers,
        "feed_forward_length": getattr(config, "intermediate_size", None) or 4 * config.hidden_size,
        "attention.head_count": heads,
        "attention.head_count_kv": getattr(config, "num_key_value_heads", None) or heads,
        "attention.key_length": head,
        "attention.value_length": head,
        "vocab_size": config.vocab_size,
    }
    if hasattr(config, "rms_norm_eps"):
        fields["attention.layer_norm_rms_epsilon"] = float(config.rms_norm_eps)
    if rope := rope_parameters(config):
        fields["rope.freq_base"] = float(rope["rope_theta"])
        fields["rope.dimension_count"] = int(head * rope.get("partial_rotary_factor", 1.0))
    return fields


def rope_parameters(config: Any) -> dict[str, Any]:
    """Return those of full attention, where kinds of layers differ.

    Args:
        config: of the model.
    """
    found = getattr(config, "rope_parameters", None) or {}
    return dict(found.get("full_attention", found))


def rope_refusal(config: Any) -> str:
    """Say why llama.cpp does not scale positions so; '' if it does.

    Args:
        config: of the model.
    """
    rope = rope_parameters(config)
    kind = rope.get("rope_type", "default")
    if kind not in ("default", "linear", "llama3", "yarn", "dynamic", "longrope"):
        return f"llama.cpp does not scale rotary positions as rope_type {kind!r} does"
    betas = rope.get("beta_fast") or 32, rope.get("beta_slow") or 1
    if kind == "yarn" and betas != (32, 1):
        return (
            f"llama.cpp takes 32 and 1 for YaRN's beta_fast and beta_slow, and they are {betas[0]} "
            f"and {betas[1]} here"
        )
    return ""


def write_rope(config: Any, made: _Made) -> None:
    """Write how positions are scaled.

    Args:
        config: of the model.
        made: gets fields, tensors and notices.
    """
    rope = rope_parameters(config)
    kind = rope.get("rope_type", "default")
    fields = made.fields
    if kind in ("linear", "yarn"):
        fields["rope.scaling.type"] = kind
        fields["rope.scaling.factor"] = float(rope["factor"])
    if kind == "yarn":
        _write_yarn(rope, made)
    elif kind == "llama3":
        made.tensors["rope_freqs.weight"] = _llama3_factors(rope, fields["rope.dimension_count"])
    elif kind == "dynamic":
        made.notices.append(
            f"positions beyond {fields['context_length']:,} are scaled by length in the original, "
            "which GGUF cannot say: the file is right up to there"
        )
    elif kind == "longrope":
        trained = int(rope.get("original_max_position_embeddings") or 4096)
        for name in ("long", "short"):
            factors = torch.tensor(rope[f"{name}_factor"], dtype=torch.float32)
            made.tensors[f"rope_factors_{name}.weight"] = factors
        scale = fields["context_length"] / trained
        attention = math.sqrt(1 + math.log(scale) / math.log(trained)) if scale > 1 else 1.0
        fields["rope.scaling.original_context_length"] = trained
        fields["rope.scaling.attn_factor"] = float(rope.get("attention_factor") or attention)
        made.notices.append(
            "llama.cpp chooses the long factors by the context that it is started with: for up to "
            f"{trained:,} tokens start it with no more (-c)"
        )


def write_window(config: Any, name: str, made: _Made) -> None:
    """Write, or say, what becomes of attention to the last tokens only.

    Args:
        config: of the model.
        name: of the architecture.
        made: gets fields and notices.
    """
    window = getattr(config, "sliding_window", None)
    if not window or getattr(config, "use_sliding_window", True) is False:
        return
    if name in ("gemma2", "gemma3", "gpt-oss", "phi3"):
        made.fields["attention.sliding_window"] = int(window)
    elif window < made.fields["context_length"]:
        made.fields["context_length"] = int(window)
        made.notices.append(
            f"llama.cpp does not restrict this model's attention to the last {window:,} tokens, "
            "which is therefore the context that the file declares"
        )


def _write_yarn(rope: Mapping[str, Any], made: _Made) -> None:
    fields = made.fields
    original = rope.get("original_max_position_embeddings") or fields["context_length"]
    fields["rope.scaling.original_context_length"] = int(original)
    usual = _yarn_attention(rope, 1.0)
    own, all_dims = rope.get("mscale"), rope.get("mscale_all_dim")
    wanted = rope.get("attention_factor")
    if wanted is None and own and all_dims:
        wanted = _yarn_attention(rope, own) / _yarn_attention(rope, all_dims)
    # where it is given a multiplier, llama.cpp computes the factor from that
    if wanted is not None and "rope.scaling.yarn_log_multiplier" not in fields:
        fields["rope.scaling.attn_factor"] = float(wanted) / usual
    if rope.get("truncate") is False:
        made.notices.append(
            "llama.cpp rounds the two frequencies between which positions begin to be scaled; "
            "the original does not (truncate: false), so that numbers differ a little"
        )


def _yarn_attention(rope: Mapping[str, Any], weight: float) -> float:
    """What YaRN multiplies the rotated queries and keys by."""
    factor = float(rope["factor"])
    return 0.1 * weight * math.log(factor) + 1 if factor > 1 else 1.0


def _llama3_factors(rope: Mapping[str, Any], dimensions: int) -> Tensor:
    """What each frequency is divided by: 1 for short waves, `factor` for long ones."""
    exponents = torch.arange(0, dimensions, 2, dtype=torch.float64) / dimensions
    waves = 2 * math.pi * float(rope["rope_theta"]) ** exponents
    low, high = float(rope["low_freq_factor"]), float(rope["high_freq_factor"])
    factor, trained = float(rope["factor"]), float(rope["original_max_position_embeddings"])
    smooth = ((trained / waves - low) / (high - low)).clamp(0, 1)
    return (1 / ((1 - smooth) / factor + smooth)).float()
