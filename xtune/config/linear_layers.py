"""Names of the linear layers of published models, so that naming them imports no torch.

`check` matches an adapter's target modules with the model. Where each is a linear layer of this
table, that is all there is to match; any other name is looked for in the model itself.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

__all__ = ["LINEAR_LAYERS", "are_linear_layers"]

_ATTENTION = tuple(f"self_attn.{name}_proj" for name in "qkvo")
_GATED = (*_ATTENTION, "mlp.gate_proj", "mlp.up_proj", "mlp.down_proj")
_JOINED_GATE = (*_ATTENTION, "mlp.gate_up_proj", "mlp.down_proj")

#: model_type of a config.json -> the linear layers in each of its decoder layers, as xtune loads
#: it. Held against the models by tests/models/test_linear_layers.py. Models whose layers differ
#: from each other, or are counted under another name than num_hidden_layers, are not here.
LINEAR_LAYERS: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(
        (
            "baichuan",
            "gemma",
            "gemma2",
            "gemma3_text",
            "internlm",
            "internlm2",
            "internlm3",
            "llama",
            "minicpm",
            "mistral",
            "qwen",
            "qwen2",
            "qwen3",
            "smollm3",
        ),
        _GATED,
    ),
    **dict.fromkeys(("glm", "glm4"), _JOINED_GATE),
    "phi3": ("self_attn.qkv_proj", "self_attn.o_proj", "mlp.gate_up_proj", "mlp.down_proj"),
}


def are_linear_layers(
    targets: Sequence[Any], layers: int | Sequence[int] | None, config_file: Path
) -> bool:
    """Whether names are known to be linear layers of a model, in layers that it has.

    Args:
        targets: an adapter's target_modules, as a list.
        layers: its layers_to_transform; None for all.
        config_file: the model's config.json.

    Returns:
        False where that is not known: the model itself has to be asked.
    """
    try:
        fields = json.loads(config_file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    if not isinstance(fields, Mapping):
        return False
    known = LINEAR_LAYERS.get(str(fields.get("model_type")), ())
    names = {*known, *(path.rpartition(".")[2] for path in known)}
    count = fields.get("num_hidden_layers")
    numbers = range(count) if isinstance(count, int) else range(0)
    named = [layers] if isinstance(layers, int) else list(layers or ())
    return (
        bool(targets)
        and all(isinstance(target, str) and target in names for target in targets)
        and all(type(layer) is int and layer in numbers for layer in named)
    )
