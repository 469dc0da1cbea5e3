"""Pure tensor functions: what a training step minimises."""

from __future__ import annotations

from xtune.losses.chunked_cross_entropy import chunked_cross_entropy

__all__ = ["chunked_cross_entropy"]
