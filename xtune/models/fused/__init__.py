"""Layers with written-out forward and backward passes: less memory and time, same results."""

from __future__ import annotations

from xtune.models.fused.fuse import fuse

__all__ = ["fuse"]
