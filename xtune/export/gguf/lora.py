"""An adapter as a GGUF of its own: `llama-server -m BASE.gguf --lora ADAPTER.gguf`.

    NAME.lora_a  [R, inputs]    NAME.lora_b  [outputs, R]    adapter.lora.alpha

llama.cpp multiplies by alpha / R, and knows no rsLoRA: its scale is written into alpha. Rows of B
are laid out as the base's are. A head or an embedding trained whole, DoRA, and the like have no
place in the format; merge them instead.

Shapes: R rank.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors.torch import load_file
from torch import Tensor

from xtune.errors import ModelError
from xtune.export.gguf.architectures import architecture_of, gguf_names
from xtune.export.gguf.write import add_setting

__all__ = ["lora_refusal", "scale_of", "write_lora"]

_PREFIX = "base_model.model."
_FUSED = ("kv_b_proj", "experts")  # of these llama.cpp has other matrices


def lora_refusal(adapter: Mapping[str, Any]) -> str:
    """Say why an adapter cannot be handed over as plain LoRA; '' if it can.

    Args:
        adapter: adapter_config.json.
    """
    kind = adapter.get("peft_type")
    if kind != "LORA":
        return f"it is {kind}, and other programs load LORA alone"
    if adapter.get("use_dora"):
        return "it is DoRA, whose magnitudes plain LoRA has no place for"
    for name, what in (
        ("modules_to_save", "weights that it trains whole"),
        ("trainable_token_indices", "rows of the embedding that it trains"),
        ("target_parameters", "experts that it adapts"),
        ("lora_bias", "biases that it trains"),
        ("layer_replication", "layers that it repeats"),
    ):
        if value := adapter.get(name):
            return f"{name}={value!r}: plain LoRA has no place for {what}"
    return ""


def scale_of(adapter: Mapping[str, Any], rank: int, alpha: float) -> float:
    """Return what the product of A and B is multiplied by.

    >>> scale_of({"use_rslora": True}, 16, 32.0), scale_of({}, 16, 32.0)
    (8.0, 2.0)

    Args:
        adapter: adapter_config.json.
        rank: of this layer.
        alpha: of this layer.
    """
    return alpha / (rank**0.5 if adapter.get("use_rslora") else rank)


def write_lora(file: Path, llm: Any, adapter: Path, *, said: Mapping[str, Any]) -> int:
    """Write an adapter.

    Args:
        file: created.
        llm: the base, on 'meta' or with weights, for its names and sizes.
        adapter: PEFT's folder.
        said: `general.*` and other keys with their values.

    Returns:
        How many layers it adapts.

    Raises:
        ModelError: the format has no place for a part of it.
    """
    import gguf
    from peft import LoraConfig

    fields = json.loads((adapter / "adapter_config.json").read_text(encoding="utf-8"))
    if reason := lora_refusal(fields):
        raise ModelError(
            f"{adapter} cannot be written as LoRA in GGUF: {reason}. Write the merged model: "
            "--format gguf"
        )
    config = LoraConfig.from_pretrained(str(adapter))
    pairs = _pairs(load_file(adapter / "adapter_model.safetensors"))
    name_of, lays_out = gguf_names(llm.config), architecture_of(llm.config).weights
    tensors: dict[str, Tensor] = {}
    scales: dict[str, tuple[int, float]] = {}
    for path, (a, b) in pairs.items():
        if any(part in path for part in _FUSED) or "embed" in path:
            raise ModelError(
                f"{adapter} adapts {path}, which llama.cpp has in another form: write the merged "
                "model (--format gguf)"
            )
        ((name, rows),) = lays_out(iter([(f"{path}.weight", b)]), llm.config)
        found = name_of(name)
        tensors[f"{found}.lora_a"], tensors[f"{found}.lora_b"] = a, rows
        rank = int(a.shape[0])
        scales[found] = (rank, scale_of(fields, rank, _alpha(config, path)))
    alpha = _common_alpha(tensors, scales)
    writer = gguf.GGUFWriter(file, architecture_of(llm.config).name)
    try:
        writer.add_type("adapter")
        for key, value in said.items():
            add_setting(writer, key, value)
        writer.add_string("adapter.type", "lora")
        writer.add_float32("adapter.lora.alpha", alpha)
        for name, weight in tensors.items():
            writer.add_tensor(name, weight.float().contiguous().numpy())
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
    finally:
        writer.close()
    return len(scales)


def _pairs(weights: Mapping[str, Tensor]) -> dict[str, tuple[Tensor, Tensor]]:
    """The path of each adapted layer -> its A and B."""
    halves: dict[str, dict[str, Tensor]] = {}
    for key, tensor in weights.items():
        path, found, half = key.removeprefix(_PREFIX).removesuffix(".weight").rpartition(".lora_")
        if not found or half not in ("A", "B"):
            raise ModelError(f"the adapter holds {key}, and GGUF has no place for it but A and B")
        halves.setdefault(path, {})[half] = tensor
    return {path: (both["A"], both["B"]) for path, both in halves.items()}


def _alpha(config: Any, path: str) -> float:
    from peft.utils.other import get_pattern_key

    pattern: Any = config.alpha_pattern or {}
    return float(pattern.get(get_pattern_key(pattern, path), config.lora_alpha))


def _common_alpha(tensors: dict[str, Tensor], scales: Mapping[str, tuple[int, float]]) -> float:
    """One alpha for all; what is left of a layer's own scale goes into its B."""
    alphas = {rank * scale for rank, scale in scales.values()}
    alpha = max(alphas)
    if len(alphas) > 1:
        for name, (rank, scale) in scales.items():
            tensors[f"{name}.lora_b"] = tensors[f"{name}.lora_b"].float() * (rank * scale / alpha)
    return alpha
