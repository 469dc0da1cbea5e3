"""Find the adapter or the model that a user means by a work_dir, a checkpoint, or the folder."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal

from xtune.errors import AdapterError, UsageError

__all__ = ["find_adapter", "find_model", "training_notes"]

_MARKS = {"adapter": "adapter_config.json", "model": "config.json"}


def find_adapter(given: str | Path) -> Path:
    """Return the folder with `adapter_config.json` that `given` is or holds.

    Args:
        given: `work_dirs/x`, `.../checkpoints/latest`, or the adapter's own folder.

    Raises:
        UsageError: there is none.
    """
    folder = Path(given).expanduser()
    found = _within(folder, "adapter")
    if found is not None:
        return found
    if not folder.is_dir():
        raise UsageError(
            f"no adapter folder {str(given)!r}; a run writes one to "
            "work_dirs/<config>/checkpoints/latest/adapter"
        )
    if _within(folder, "model") is not None:
        raise UsageError(
            f"{str(given)!r} holds a whole model, not an adapter: give it as the MODEL itself"
        )
    raise UsageError(
        f"{str(given)!r} holds no adapter_config.json, and no checkpoints/latest/adapter either; "
        "give the folder that PEFT or `xtune train` wrote"
    )


def find_model(given: str) -> str:
    """Return what to load for MODEL: `given` itself, or the model folder within a work_dir.

    Raises:
        UsageError: it is an adapter's folder, which is half of a model.
    """
    folder = Path(given).expanduser()
    if not folder.is_dir():
        return given
    found = _within(folder, "model")
    if found is not None:
        return str(found)
    adapter = _within(folder, "adapter")
    if adapter is not None:
        base = training_notes(adapter).get("base_model") or "MODEL"
        raise UsageError(
            f"{given!r} holds an adapter, which needs the model it was trained on: "
            f"xtune chat {base} --adapter {adapter}"
        )
    return given


def training_notes(folder: Path) -> dict[str, Any]:
    """Return what `xtune train` noted beside the weights: template, stop words, system prompt.

    Empty for a folder that other tools wrote.

    Raises:
        AdapterError: the notes cannot be read.
    """
    file = folder / "xtune.json"
    if not file.is_file():
        return {}
    try:
        notes = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise AdapterError(f"{file} cannot be read: {error}; copy the folder once more") from error
    return notes if isinstance(notes, dict) else {}


def _within(folder: Path, kind: Literal["adapter", "model"]) -> Path | None:
    for place in (folder, folder / kind, folder / "checkpoints" / "latest" / kind):
        if (place / _MARKS[kind]).is_file():
            return place
    return None
