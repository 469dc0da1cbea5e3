"""Pure tensor functions: what a training step minimises."""

from __future__ import annotations

from xtune.losses.chunked_cross_entropy import chunked_cross_entropy
from xtune.losses.log_probs import check_temperature, chunked_log_probs

__all__ = ["check_temperature", "chunked_cross_entropy", "chunked_log_probs"]
