"""Model families: which checkpoints are read, as what, and by which file of this folder."""

from __future__ import annotations

import copy
import textwrap
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from xtune.models.families.base import Family, Layout
from xtune.models.families.files import CheckpointFiles
from xtune.models.families.proofs import PROOFS
from xtune.registry import FAMILIES, names, resolve

if TYPE_CHECKING:
    from transformers import PretrainedConfig

__all__ = [
    "CheckpointFiles",
    "Family",
    "Layout",
    "all_families",
    "describe",
    "family_of_config",
    "family_of_fields",
    "translated_config",
]


def all_families() -> dict[str, Family]:
    """Return every family by name, sorted."""
    return {name: resolve(FAMILIES, name)() for name in names(FAMILIES)}


def describe(family: Family) -> Iterator[str]:
    """Yield lines for people: what a family reads, how it is loaded, what is proven of it."""
    own = type(family).config is not Family.config
    how = "translated, weights converted while loading" if own else "read by transformers as it is"
    proven = [name.replace("_", " ") for name in PROOFS if name not in family.unproven]
    yield family.title
    rows = [
        ("reads", f"model_type {', '.join(family.model_types)}: {', '.join(family.published)}"),
        ("loaded as", f"{family.loaded_as} ({how})"),
        ("proven", ", ".join(proven)),
        *(
            ("not proven", f"{name.replace('_', ' ')}: {why}")
            for name, why in family.unproven.items()
        ),
        *(("differs", sentence) for sentence in family.differences),
    ]
    for label, text in rows:
        first, *others = textwrap.wrap(text, 84, break_long_words=False, break_on_hyphens=False)
        yield f"  {label:<11}{first}"
        yield from (f"  {'':<11}{line}" for line in others)


def family_of_fields(fields: Mapping[str, Any]) -> Family | None:
    """Return the family that reads a published config.json, or None if transformers does."""
    for family in all_families().values():
        if family.reads(fields) and type(family).config is not Family.config:
            return family
    return None


def translated_config(fields: Mapping[str, Any]) -> PretrainedConfig | None:
    """Translate a published config.json; None if transformers reads it as it is.

    The config keeps the family's name and the published fields, also when it is saved, so that
    the original layout can be written from it at any later time.
    """
    family = family_of_fields(fields)
    config = family.config(fields) if family else None
    if family is not None and config is not None:
        config.xtune_family = type(family).__name__
        config.original_config = {k: v for k, v in copy.deepcopy(fields).items() if k[0] != "_"}
    return config


def family_of_config(config: PretrainedConfig) -> Family | None:
    """Return the family that a config was translated by, or None."""
    name = getattr(config, "xtune_family", None)
    return resolve(FAMILIES, name)() if name else None
