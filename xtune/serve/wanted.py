"""Which models a server is to offer, by name, found before anything heavy is imported."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path

from xtune.errors import UsageError
from xtune.generation.locate import Located, locate
from xtune.names import Kind, kind_of

__all__ = ["wanted_models"]

_NAME = re.compile(r"[A-Za-z0-9][\w.:/-]{0,127}")
_PLACES = ("adapter", "model", "checkpoints", "latest")  # of a run's folder


def wanted_models(model: str | None, adapters: Sequence[str]) -> dict[str, Located]:
    """Find out what is to be served, before anything is loaded.

        smollm2 ['tools=work_dirs/x', 'work_dirs/y']    {'smollm2': …, 'tools': …, 'y': …}

    Args:
        model: as for `locate`.
        adapters: folders, as NAME=DIR or DIR; the name is else the folder's.

    Returns:
        Model and adapter by name, the base without an adapter first.

    Raises:
        UsageError: there is no such model or adapter, or two have one name.
    """
    wanted: dict[str, Located] = {}
    first = locate(model, None) if model is not None else None
    given = list(adapters)
    if first is not None and first.adapter is not None:
        given.insert(0, f"{_name_of(str(model))}={first.adapter}")
    found: list[tuple[str, Located]] = []
    for one in given:
        name, _, folder = one.rpartition("=")
        base = None if first is None else first.model
        found.append((name or _name_of(folder), locate(base, folder)))
    if first is None and not found:
        raise UsageError("name a MODEL, or an adapter that names its own: --adapter NAME=DIR")
    base_name = found[0][1].model if first is None else first.model
    wanted[_name_of(base_name)] = Located(base_name)
    for name, each in found:
        if each.model != base_name:
            raise UsageError(f"{each.adapter} was trained on {each.model}, others on {base_name}")
        if not _NAME.fullmatch(name):
            raise UsageError(f"{name!r} cannot be a model's name: letters, digits, . _ : / - go")
        if name in wanted:
            raise UsageError(f"two models are called {name!r}; name them: --adapter NAME=DIR")
        wanted[name] = each
    return wanted


def _name_of(given: str) -> str:
    """The name of what was given: an id as it stands, of a path its end."""
    path = Path(given).expanduser()
    if kind_of(given) in (Kind.PATH, Kind.GGUF) or path.exists():
        parts = [part for part in Path(os.path.abspath(path)).parts if part not in _PLACES]
        return parts[-1].removesuffix(".gguf")
    return given
