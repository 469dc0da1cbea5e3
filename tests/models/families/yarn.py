"""YaRN's rotary frequencies in float64 (Peng et al. 2023, section 3.2)."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from tests.models.families.reference import rope_frequencies

__all__ = ["yarn_frequencies"]


def yarn_frequencies(width: int, base: float, scaling: dict) -> Tensor:
    """Frequencies [width / 2]: slow turns `factor` times slower, fast ones as they were.

    A pair that turns `beta_fast` times or more within the trained length stays, one that turns
    `beta_slow` times or less is divided; between them by the pair's number, linearly. Unless
    `truncate` is false both ends are whole numbers, and at least 0.
    """

    def pair(turns: float) -> float:
        """The number of the pair that turns so often within the trained length."""
        trained = scaling["original_max_position_embeddings"]
        return width * math.log(trained / (2 * math.pi * turns)) / (2 * math.log(base))

    first, last = pair(scaling["beta_fast"]), pair(scaling["beta_slow"])
    if scaling.get("truncate", True):
        first, last = math.floor(first), math.ceil(last)
    first, last = max(first, 0), min(last, width - 1)
    divided = ((torch.arange(width // 2).double() - first) / (last - first)).clamp(0, 1)
    plain = rope_frequencies(width, base)
    return plain * (1 - divided) + plain / scaling["factor"] * divided
