"""What the list-* verbs show, as values: `xtune.list_configs()` and its like."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from xtune.cli.matching import matches

if TYPE_CHECKING:
    from xtune.data.formats import Format
    from xtune.models.families import Family

__all__ = ["ListedConfig", "list_configs", "list_formats", "list_models", "list_templates"]


class ListedConfig(NamedTuple):
    """A shipped config, and the memory that it needs.

    Attributes:
        name: what `render` and `train` take.
        path: its file.
        memory: GiB on one GPU in bf16, or GB of the host's where it is for a laptop; None where
            its docstring gives none.
        place: what it is for: 'CPU', '24 GB GPU', 'several GPUs'.
        is_for_laptop: it is meant for a CPU.
    """

    name: str
    path: Path
    memory: float | None
    place: str
    is_for_laptop: bool


def list_configs(*patterns: str, gpu_memory: float | None = None) -> dict[str, ListedConfig]:
    """Return the shipped configs by name, as `xtune list-cfg` prints them.

        xtune.list_configs('qwen2.5', 'qlora', gpu_memory=8)

    Args:
        *patterns: only names that contain each of these, however their words are joined.
        gpu_memory: only what fits a GPU of so many GB with a tenth of it free; what takes most
            of it comes first, what is for a laptop last.
    """
    from xtune.config.find import list_configs as shipped
    from xtune.config.find import xtuners_name
    from xtune.models.cards import fits

    found = shipped()
    for pattern in patterns:
        theirs = xtuners_name(pattern)
        wanted = theirs[0] if theirs else pattern
        found = {name: path for name, path in found.items() if matches(wanted, [name])}
    listed = [_listed(name, path) for name, path in found.items()]
    if gpu_memory is not None:
        listed = [row for row in listed if row.memory is not None and fits(row.memory, gpu_memory)]
        listed.sort(key=lambda row: (row.is_for_laptop, -(row.memory or 0.0), row.name))
    return {row.name: row for row in listed}


def list_formats(pattern: str = "") -> dict[str, Format]:
    """Return the data formats by name: what each map_fn reads, and an example row of it.

        xtune.list_formats()['alpaca'].row

    Args:
        pattern: only those whose name, title or fields contain this.
    """
    from xtune.data.formats import all_formats

    return {
        name: format
        for name, format in all_formats().items()
        if matches(pattern, (name, format.title, format.fields))
    }


def list_models(pattern: str = "") -> dict[str, Family]:
    """Return the model families by name: their checkpoints, the class of each, and the proofs.

    Args:
        pattern: only those whose name, title, model_type or hub ids contain this.
    """
    from xtune.models.families import all_families

    return {
        name: family
        for name, family in all_families().items()
        if matches(pattern, (name, family.title, *family.model_types, *family.published))
    }


def list_templates() -> dict[str, str]:
    """Return the chat templates by name, each with the models that it is for."""
    from xtune.registry import TEMPLATES, names, resolve

    return {
        name: (resolve(TEMPLATES, name).__doc__ or "").partition("\n")[0]
        for name in names(TEMPLATES)
    }


def _listed(name: str, path: Path) -> ListedConfig:
    from xtune.config.notes import estimated_gib, laptop_gib, notes
    from xtune.models.cards import smallest_card

    hardware = notes(path).get("Hardware", "")
    gib = estimated_gib(hardware)
    if gib is not None:
        card = smallest_card(gib)
        return ListedConfig(name, path, gib, f"{card} GB GPU" if card else "several GPUs", False)
    gib = laptop_gib(hardware)
    place = "CPU" if gib is not None else hardware.partition(";")[0]
    return ListedConfig(name, path, gib, place, True)
