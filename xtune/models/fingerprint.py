"""Tell whether two loaded models are the same base, whatever format their weights are in.

    "<16 hex digits: architecture>-<128 hex digits: signs of 512 embedding weights>"

Signs survive every rounding to bf16, fp16 or a quantized file except of weights near zero: the
same model in two formats differs in a few per cent of them, two unrelated models in half.
"""

from __future__ import annotations

import hashlib
import json
from typing import cast

import torch

from xtune.models.generation import base_of

__all__ = ["base_fingerprint", "same_base"]

_FIELDS = (
    "model_type",
    "vocab_size",
    "hidden_size",
    "intermediate_size",
    "num_hidden_layers",
    "num_attention_heads",
    "num_key_value_heads",
    "head_dim",
)
_ROWS, _COLUMNS = 64, 8
_TOLERATED = 0.25  # share of differing signs


def base_fingerprint(llm: torch.nn.Module) -> str:
    """Return a fingerprint of the base model inside `llm`; reads 512 weights.

    Args:
        llm: a PreTrainedModel or PeftModel, of any dtype or quantization. On the meta device
            only the architecture is known.
    """
    base = base_of(llm)
    config = base.config.get_text_config()
    fields = {name: getattr(config, name, None) for name in _FIELDS}
    architecture = hashlib.sha256(json.dumps(fields, sort_keys=True).encode()).hexdigest()[:16]
    embedding = base.get_input_embeddings()
    embedding = getattr(embedding, "original_module", embedding)  # PEFT's copy is trained, not this
    weight = cast("torch.Tensor", embedding.weight)
    if weight.is_meta or weight.numel() == 0:
        return architecture
    rows = torch.linspace(0, weight.shape[0] - 1, _ROWS, device=weight.device).long()
    columns = torch.linspace(0, weight.shape[1] - 1, _COLUMNS, device=weight.device).long()
    signs = (weight.detach()[rows][:, columns] > 0).flatten().tolist()
    bits = int("".join("1" if positive else "0" for positive in signs), 2)
    return f"{architecture}-{bits:0{_ROWS * _COLUMNS // 4}x}"


def same_base(one: str, other: str) -> bool:
    """Tell whether two fingerprints come from the same base model.

    Args:
        one: as `base_fingerprint` gives it.
        other: likewise.
    """
    (architecture, _, signs), (other_architecture, _, other_signs) = (
        one.partition("-"),
        other.partition("-"),
    )
    if architecture != other_architecture:
        return False
    if not signs or not other_signs:
        return True
    differing = (int(signs, 16) ^ int(other_signs, 16)).bit_count()
    return differing <= _TOLERATED * _ROWS * _COLUMNS
