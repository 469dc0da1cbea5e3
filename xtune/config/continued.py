"""A sheet that trains an existing adapter further: what comes from the adapter's folder.

    adapter=DIR                            DIR on the sheet's model, with DIR's tokenizer
    pretrained_model_name_or_path=DIR      the same, on the model that DIR was trained on

DIR is the folder with adapter_config.json, or a checkpoint or run that holds one.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from xtune.config.sheet import Sheet

__all__ = [
    "adapter_notes",
    "contradicting_options",
    "found_adapter",
    "origin_of_adapter",
    "overruled_note",
    "with_adapter_found",
]

_NAME = "pretrained_model_name_or_path"
_CONFIG = "adapter_config.json"


def with_adapter_found(values: dict[str, Any]) -> dict[str, Any]:
    """Return a sheet's values with `model.adapter_folder`, base and tokenizer as DIR says.

    Values that name no adapter, or one that is not there, stay as they are.
    """
    model, tokenizer = values.get("model"), values.get("tokenizer")
    llm = model.get("llm") if isinstance(model, Mapping) else None
    if not isinstance(model, Mapping) or not isinstance(llm, Mapping):
        return values
    name, given = llm.get(_NAME), model.get("adapter_folder")
    folder = found_adapter(name if given is None else given)
    if folder is None or (given is None and model.get("adapter") is None):
        return values
    base = name
    if given is None:
        fields = _read(folder / _CONFIG)
        base = adapter_notes(folder).get("base_model") or fields.get("base_model_name_or_path")
    own = dict(values)
    own["model"] = {**model, "llm": {**llm, _NAME: base}, "adapter_folder": str(folder)}
    if isinstance(tokenizer, Mapping) and tokenizer.get(_NAME) == name:
        has_one = (folder / "tokenizer_config.json").is_file()
        own["tokenizer"] = {**tokenizer, _NAME: str(folder) if has_one else base}
    return own


def found_adapter(given: Any) -> Path | None:
    """Return the folder with adapter_config.json that `given` is or holds; None if it is none."""
    if not isinstance(given, str | Path):
        return None
    folder = Path(given).expanduser()
    if (folder / "config.json").is_file():  # a model, whatever lies next to it
        return None
    for place in (folder, folder / "adapter", folder / "checkpoints/latest/adapter"):
        if (place / _CONFIG).is_file():
            return place
    return None


def adapter_notes(folder: Path) -> dict[str, Any]:
    """Return what xtune wrote next to an adapter; {} for another program's."""
    return _read(folder / "xtune.json")


def origin_of_adapter(folder: Path) -> dict[str, Any]:
    """Say which adapter this is, by its run and step, and by the sha256 of its weights."""
    real = folder.resolve()
    weights = real / "adapter_model.safetensors"
    digest = hashlib.sha256(weights.read_bytes()).hexdigest() if weights.is_file() else None
    step, root = real.parent, real.parent.parent
    number = step.name.removeprefix("step_")
    named: dict[str, Any] = {}
    if number.isdigit() and root.name == "checkpoints":
        named = {"run": root.parent.name, "step": int(number)}
    return {"adapter": str(folder), **named, "sha256": digest}


def overruled_note(folder: str | None, adapter: Any) -> str:
    """Say which arguments of a sheet's `lora` the adapter trained further has otherwise; or ''.

    Args:
        folder: the adapter that is trained further; without one nothing is overruled.
        adapter: the sheet's `model.adapter`.
    """
    others = ", ".join(f"{name}={value!r}" for name, value in _overruled(folder, adapter).items())
    return others and f"`lora` of the config says otherwise, and does not hold: {others}"


def contradicting_options(sheet: Sheet) -> Iterator[tuple[str, str, str]]:
    """Yield key, message and hint of options and knobs for `lora` that DIR says otherwise."""
    model = sheet.values.get("model")
    folder = model.get("adapter_folder") if isinstance(model, Mapping) else None
    if folder is None:
        return
    stored = _read(Path(folder).expanduser() / _CONFIG)
    for argument in _overruled(folder, model.get("adapter")):
        key = f"model.adapter.{argument}"
        if not sheet.origin(key).line:
            yield (
                key,
                f"the adapter that is trained further has {stored[argument]!r}",
                "leave the option out, or train a new adapter without adapter=DIR",
            )


def _overruled(folder: str | None, adapter: Any) -> dict[str, Any]:
    if folder is None or not isinstance(adapter, Mapping):
        return {}
    stored = _read(Path(folder).expanduser() / _CONFIG)
    found = {}
    for argument, value in adapter.items():
        if argument == "target_modules" and str(value).lower() == "all-linear":
            continue  # it has them one by one
        if argument in stored and _plain(stored[argument]) != _plain(value):
            found[argument] = value
    return found


def _plain(value: Any) -> Any:
    return sorted(map(str, value)) if isinstance(value, list | tuple | set) else value


def _read(file: Path) -> dict[str, Any]:
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):  # who loads the adapter says so
        return {}
    return found if isinstance(found, dict) else {}
