"""Tiny random checkpoints in the layout that a family is published in: config.json and shards.

write_checkpoint(folder, config, weights)     two safetensors shards and their index
read_checkpoint(folder)                       (config, weights in float64), for a reference
"""

from __future__ import annotations

import json
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

__all__ = ["Draw", "read_checkpoint", "write_checkpoint"]


class Draw:
    """Random weights, large enough for attention to have something to choose between."""

    def __init__(self, seed: int = 0) -> None:
        self._generator = torch.Generator().manual_seed(seed)

    def linear(self, rows: int, columns: int) -> Tensor:
        """[rows, columns], of size 1.5 / sqrt(columns)."""
        return torch.randn(rows, columns, generator=self._generator) * 1.5 / columns**0.5

    def embedding(self, rows: int, columns: int) -> Tensor:
        """[rows, columns], of size 1."""
        return torch.randn(rows, columns, generator=self._generator)

    def bias(self, size: int) -> Tensor:
        """[size], of size 0.5: forgetting one is seen."""
        return torch.randn(size, generator=self._generator) * 0.5

    def norm(self, size: int) -> Tensor:
        """[size], around 1."""
        return 1 + torch.randn(size, generator=self._generator) * 0.2


def write_checkpoint(
    folder: Path | str,
    config: dict,
    weights: dict[str, Tensor],
    *,
    form: str = "safetensors",
    shards: int = 2,
) -> Path:
    """Write config.json, the weights in `shards` files, and the index that names them.

    Args:
        folder: made if missing.
        config: as published.
        weights: as published.
        form: 'safetensors', or 'bin' for torch's own files, as older checkpoints have them.
        shards: 1 writes one file and no index.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
    stem, ending = ("model", "safetensors") if form == "safetensors" else ("pytorch_model", "bin")
    where: dict[str, str] = {}
    names = list(weights)
    for index in range(shards):
        file = (
            f"{stem}-{index + 1:05}-of-{shards:05}.{ending}" if shards > 1 else f"{stem}.{ending}"
        )
        part = {name: weights[name].clone() for name in names[index::shards]}
        where |= dict.fromkeys(part, file)
        if form == "safetensors":
            save_file(part, folder / file, metadata={"format": "pt"})
        else:
            torch.save(part, folder / file)
    if shards > 1:
        total = sum(weight.numel() * weight.element_size() for weight in weights.values())
        index = {"metadata": {"total_size": total}, "weight_map": where}
        (folder / f"{stem}.{ending}.index.json").write_text(json.dumps(index), encoding="utf-8")
    return folder


def read_checkpoint(
    folder: Path | str, dtype: torch.dtype | None = torch.float64
) -> tuple[dict, dict[str, Tensor]]:
    """Read any checkpoint that `write_checkpoint` or `save_pretrained` wrote.

    Args:
        folder: of the checkpoint.
        dtype: of the weights; None leaves them as stored.
    """
    folder = Path(folder)
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    weights: dict[str, Tensor] = {}
    for file in sorted(folder.glob("*.safetensors")):
        weights |= load_file(file)
    for file in sorted(folder.glob("pytorch_model*.bin")):
        weights |= torch.load(file, weights_only=True)
    return config, {name: weight.to(dtype or weight.dtype) for name, weight in weights.items()}
