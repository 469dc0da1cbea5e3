"""Find the adapter or the model that a user means by a work_dir, a checkpoint, or the folder."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from xtune.errors import AdapterError, UsageError
from xtune.hub import fetch_it_first
from xtune.local_path import not_there
from xtune.names import Kind, is_path, kind_of

__all__ = ["Located", "find_adapter", "find_model", "locate", "training_notes"]

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
        if folder.exists():
            raise UsageError(f"{str(given)!r} is a file; give the folder that holds the adapter")
        raise UsageError(
            f"{not_there(str(given), 'adapter folder')} A run writes one to "
            f"work_dirs/<config>/checkpoints/latest/adapter{fetch_it_first(str(given))}"
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
        UsageError: it is an adapter's folder, which is half of a model; a run's that has saved
            nothing yet; or a path that leads nowhere.
    """
    folder = Path(given).expanduser()
    if not folder.is_dir():
        if is_path(given) and not folder.exists():
            what = "GGUF file" if kind_of(given) is Kind.GGUF else "folder"
            raise UsageError(f"{not_there(given, what)} MODEL is a run's folder or a model's")
        return given
    found = _within(folder, "model")
    if found is not None:
        return str(found)
    if (adapter := _within(folder, "adapter")) is not None:
        raise UsageError(
            f"{given!r} holds an adapter, not a whole model. Merge it into the model that it was "
            f"trained on: xtune export {adapter} OUT"
        )
    if (folder / "checkpoints").is_dir() or (folder / "config.py").is_file():
        raise UsageError(
            f"{given!r} is the folder of a run that has saved no checkpoint yet: train it to a "
            "checkpoint first (save_steps)"
        )
    return given


@dataclass(frozen=True, slots=True)
class Located:
    """What to load.

    Attributes:
        model: a hub id, a folder, a .gguf file or an alias.
        adapter: the adapter's folder, or None.
        implied: the adapter names the model; the user has not.
    """

    model: str
    adapter: Path | None = None
    implied: bool = False

    @property
    def trained(self) -> Path:
        """The folder that has the training's notes, if any has."""
        return Path(self.model).expanduser() if self.adapter is None else self.adapter


def locate(model: str | None, adapter: str | Path | None = None) -> Located:
    """Return the model and the adapter that a user means; reads no weights.

        smollm2 --adapter work_dirs/x    that model with that adapter
        --adapter work_dirs/x            the model that the adapter names, with it
        work_dirs/x                      the same, or the whole model of that run

    Args:
        model: what `find_model` or `find_adapter` finds something in; or None.
        adapter: what `find_adapter` takes, or None.

    Raises:
        UsageError: nothing is given, or an adapter twice; there is no such adapter; or its model
            is not where it says.
    """
    if model is None:
        if adapter is None:
            raise UsageError("name a MODEL, or an adapter that names its own: --adapter DIR")
        found = find_adapter(adapter)
        return Located(_base_of(found), found, implied=True)
    folder = Path(model).expanduser()
    within = None
    if folder.is_dir() and _within(folder, "model") is None:
        within = _within(folder, "adapter")
    if within is None:
        return Located(find_model(model), None if adapter is None else find_adapter(adapter))
    if adapter is not None:
        raise UsageError(
            f"{model!r} holds an adapter, and so does --adapter {adapter}: name one of them, and "
            "the model before it if the adapter does not name its own"
        )
    return Located(_base_of(within), within, implied=True)


def training_notes(folder: Path) -> dict[str, Any]:
    """Return what `xtune train` noted next to the weights: template, stop words, system prompt.

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


def _base_of(adapter: Path) -> str:
    """The model that an adapter was trained on: as the user named it, or as PEFT opens it."""
    config = json.loads((adapter / _MARKS["adapter"]).read_text(encoding="utf-8") or "{}")
    named = [training_notes(adapter).get("base_model"), config.get("base_model_name_or_path")]
    names = [name for name in dict.fromkeys(named) if isinstance(name, str) and name]
    for name in names:
        here = Path(name).expanduser().exists()
        if here or kind_of(name) in (Kind.ALIAS, Kind.MODELSCOPE):
            return name
    moved = [name for name in names if is_path(name)]
    if names and not moved:
        return names[0]  # a hub id
    said = f"was trained on {' = '.join(map(repr, moved))}, which is not there"
    raise UsageError(
        f"the adapter in {str(adapter)!r} {said if moved else 'does not say what model it is for'}"
        f". Name the model too: MODEL --adapter {adapter}"
    )


def _within(folder: Path, kind: Literal["adapter", "model"]) -> Path | None:
    checkpoints = folder if folder.name == "checkpoints" else folder / "checkpoints"
    latest = checkpoints / "latest"
    if latest.is_file():  # where links are not allowed it holds the name
        latest = checkpoints / latest.read_text(encoding="utf-8").strip()
    for place in (folder, folder / kind, latest / kind):
        if (place / _MARKS[kind]).is_file():
            return place
    return None
