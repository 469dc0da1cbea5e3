"""Where the files of a model lie: a hub id, a folder, a .gguf file or an alias; or why nowhere."""

from __future__ import annotations

import json
from pathlib import Path

from xtune.errors import ModelError, NoSuchModelError, did_you_mean
from xtune.hub import WITHOUT_NETWORK, cached_folder, why_not
from xtune.local_path import not_there
from xtune.models.families import all_families
from xtune.models.gguf import converted_gguf
from xtune.models.modelscope import fetched
from xtune.names import ALIASES, Kind, kind_of

__all__ = ["explained", "name_for_others", "some", "source_of"]


def name_for_others(name: str) -> str:
    """Return what PEFT or a server opens the model `name` by: a folder's whole path, or a hub id.

    Args:
        name: what `load_model` takes. An alias, a .gguf file and a model of ModelScope become the
            folder that they were converted or fetched into.
    """
    try:
        source = source_of(name)
    except ModelError:  # moved since it was loaded
        return name
    return str(Path(source).resolve()) if Path(source).is_dir() else source


def source_of(name: str, *also_enough: str) -> str:
    """The folder, with config.json or a file that is `also_enough`, or the hub id to load from."""
    kind = kind_of(name)
    if kind in (Kind.ALIAS, Kind.GGUF):
        return str(converted_gguf(name))
    if kind is Kind.MODELSCOPE:
        return str(fetched(name))
    folder = Path(name).expanduser()
    if folder.is_dir():
        if not any((folder / mark).is_file() for mark in ("config.json", *also_enough)):
            inside = sorted(path.name for path in folder.iterdir())
            raise ModelError(
                f"the folder {name!r} has no config.json, so it is no checkpoint "
                f"(inside: {some(inside) or 'nothing'})"
            )
        return str(folder)
    if folder.is_file():
        raise ModelError(f"{name!r} is a file; give the folder it is in, or a .gguf file")
    if kind is Kind.PATH:
        raise NoSuchModelError(not_there(name))
    if reason := why_not(name):
        # What was fetched before needs no network; its folder is read without a request.
        if kept := cached_folder(name):
            return kept
        raise ModelError(f"{_no_folder(name)} {reason}")
    return name


def explained(name: str, what: str, error: Exception) -> ModelError:
    """Say what is wrong with a checkpoint in words that name the next step.

    Args:
        name: as it was given.
        what: was to be loaded: 'config', 'tokenizer', 'weights'.
        error: that loading raised.
    """
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING_NAMES

    file = Path(name).expanduser() / "config.json"
    if file.is_file():
        try:
            kind = json.loads(file.read_text(encoding="utf-8")).get("model_type")
        except (ValueError, AttributeError) as broken:
            return ModelError(f"{file} is not a JSON object: {broken}")
        known = {
            *CONFIG_MAPPING_NAMES,
            *(t for f in all_families().values() for t in f.model_types),
        }
        if kind not in known:
            return ModelError(
                f"{file} has the unknown model_type {kind!r}"
                f"{did_you_mean(str(kind), known) or '.'} What is read without foreign code: "
                "xtune list-models. A checkpoint with its own code needs "
                "trust_remote_code=True"
            )
    elif isinstance(error, OSError):
        return ModelError(
            f"{_no_folder(name)} as a hub id it cannot be fetched: "
            f"{_first_line(error)}. {WITHOUT_NETWORK}"
        )
    return ModelError(f"cannot load the {what} of {name!r}: {_first_line(error)}")


def _no_folder(name: str) -> str:
    near = did_you_mean(name, ALIASES) if kind_of(name) is Kind.WORD else ""
    return f"{name!r} is no folder here{near} And" if near else f"{name!r} is no folder here, and"


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(". ")


def some(items: list[str], most: int = 5) -> str:
    """Return the first items, and how many more there are.

    Args:
        items: texts.
        most: how many of them.
    """
    more = f", and {len(items) - most} more" if len(items) > most else ""
    return ", ".join(items[:most]) + more
