"""Where a sheet's model and data lie: a run goes on wherever they have moved to.

What lies there is compared by content, see identity.py.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from xtune.config import Sheet, flat_items
from xtune.data.sources.files import find_files, is_data_file
from xtune.errors import ConfigError
from xtune.hub import cached_config
from xtune.names import Kind, is_path, kind_of

__all__ = ["is_place", "require_places"]

_MODEL = re.compile(r"(?:model\.\w+|tokenizer)\.pretrained_model_name_or_path")
# A string, files, a source with its arguments, or a mixture of these
_DATA = re.compile(r"(?:train|val)_dataset\.data_path(?:\..+)?")
_NAMED = re.compile(r"(?:^|\.)(?:data_path|path)$")  # of these, what names a place
_CODE = re.compile(r".*\.py:(\w+)")
_PARTS = ("model.", "tokenizer.", "train_dataset.", "val_dataset.")


def is_place(key: str, before: Any, now: Any) -> bool:
    """Tell whether two values of a key may name two places of the same thing.

    >>> is_place('train_dataset.data_path', 'a.jsonl', 'b/a.jsonl')
    True
    >>> is_place('model.ref.pretrained_model_name_or_path', 'a', 'b/a')
    True
    >>> is_place('train_dataset.map_fn', 'maps.py:mine', '/moved/maps.py:mine')
    True
    >>> is_place('train_dataset.map_fn', 'alpaca', 'openai')
    False

    Args:
        key: dotted, of a sheet.
        before: its value when the run began.
        now: its value; `...` for none.
    """
    if _MODEL.fullmatch(key) or _DATA.fullmatch(key):
        return True
    code = [_CODE.fullmatch(value) for value in (before, now) if isinstance(value, str)]
    return len(code) == 2 and None not in code and len({match[1] for match in code if match}) == 1


def require_places(sheet: Sheet) -> None:
    """Refuse to go on with a run whose model or data have moved, and say which options help.

    Raises:
        ConfigError: a path of the sheet names nothing.
    """
    flat = dict(flat_items(sheet.values))
    gone: dict[str, str] = {}
    perhaps: dict[str, str] = {}  # a folder that has moved too, or a hub id
    for key, value in flat.items():
        same = [k for k, v in flat.items() if v == value and not k.startswith(_PARTS)]
        option = same[0] if same else key
        for path in _paths(key, value):
            gone.setdefault(option, path)
        if _MODEL.fullmatch(key) and isinstance(value, str) and _is_unknown(value):
            perhaps.setdefault(option, value)
    if gone:
        gone = perhaps | gone
        listed = ", ".join(f"{key} is {path!r}" for key, path in gone.items())
        options = " ".join(f"{key}=NEW_PLACE" for key in gone)
        raise ConfigError(
            f"{listed}: nothing is there. If it has moved, say where to: --cfg-options {options}. "
            "The run goes on if the contents are those that it began with"
        )


def _paths(key: str, value: Any) -> Iterator[str]:
    """The paths in a value that name nothing."""
    values = value if isinstance(value, list | tuple) else [value]
    texts = [one for one in values if isinstance(one, str)]
    if _MODEL.fullmatch(key):
        yield from (name for name in texts if is_path(name) and not _there(name))
    elif _DATA.fullmatch(key) and _NAMED.search(key):
        for name in texts:
            if (is_path(name) or is_data_file(name)) and not _there(name) and not find_files(name):
                yield name


def _is_unknown(name: str) -> bool:
    """Whether it is nothing on this disk: neither here nor in the hub's cache."""
    may_be_fetched = kind_of(name) in (Kind.HUB, Kind.WORD)
    return may_be_fetched and not _there(name) and cached_config(name) is None


def _there(name: str) -> bool:
    return Path(name).expanduser().exists()
