"""The families that transformers reads as they are published: what they are, and no code.

Each is proven in tests/models/families like those that need code.
"""

from __future__ import annotations

from xtune.models.families.base import Family
from xtune.registry import FAMILIES

__all__ = ["Llama"]


@FAMILIES.register_module()
class Llama(Family):
    """Llama 1, 2 and 3."""

    title = "Llama 1, 2, 3, 3.1, 3.2"
    published = ("meta-llama/Llama-2-7b-hf", "meta-llama/Llama-3.1-8B")
    model_types = ("llama",)
    loaded_as = "Llama"
