"""Knobs given in Python, `render("…", lr=1e-5)`, written as the options that a command line has."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from pathlib import Path
from types import BuiltinFunctionType, FunctionType
from typing import Any

from xtune.errors import ConfigError

__all__ = ["as_options"]


def as_options(knobs: Mapping[str, Any]) -> list[str]:
    """Return `key=value` for each knob: a sheet records its values as text.

    >>> as_options({'lr': 1e-5, 'data_path': Path('my.json'), 'lora.r': 8})
    ['lr=1e-05', "data_path='my.json'", 'lora.r=8']

    Args:
        knobs: by name, or by dotted key. Paths become strings, and NumPy's and torch's numbers
            Python's.

    Raises:
        ConfigError: some values are no literals; says of each what to give in its place.
    """
    options, problems = [], []
    for key, value in knobs.items():
        try:
            if not all(part.isidentifier() or part.isdigit() for part in key.split(".")):
                raise ConfigError("a knob is a name, lr, or a dotted key, 'lora.r'")
            options.append(f"{key}={_literal(value)!r}")
        except ConfigError as error:
            problems.append(f"{key}: {error}")
    if problems:
        raise ConfigError("\n".join(problems), problems)
    return options


def _literal(value: Any) -> Any:
    """The value as one that Python's literals can write."""
    if isinstance(value, Mapping):
        return {key: _literal(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        items = [_literal(one) for one in value]
        return items if isinstance(value, list) else tuple(items)
    if isinstance(value, Path):
        return str(value)
    if getattr(value, "ndim", None) == 0 and hasattr(value, "item"):
        value = value.item()
    try:
        written = ast.literal_eval(repr(value))
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        written = ...
    if written is ... or type(written) is not type(value):
        raise ConfigError(_refusal(value))
    return value


def _refusal(value: Any) -> str:
    what = f"{type(value).__module__.partition('.')[0]}.{type(value).__name__}".removeprefix(
        "builtins."
    )
    if isinstance(value, FunctionType | BuiltinFunctionType):
        name = value.__name__ if value.__name__.isidentifier() else "NAME"
        return (
            f"a function ({value.__name__}) cannot stand in a sheet, which records a run as text: "
            f"write it to a file, in a notebook with %%writefile my_code.py, and give "
            f"'my_code.py:{name}'"
        )
    if callable(getattr(value, "to_json", None)):  # a DataFrame, a datasets.Dataset
        how = (
            "orient='records', lines=True, force_ascii=False"
            if hasattr(value, "iloc")
            else "force_ascii=False"
        )
        return (
            f"a {what} cannot stand in a sheet, which records a run as text: write the rows to a "
            f"file, to_json('rows.jsonl', {how}), and give 'rows.jsonl'"
        )
    shown = repr(value)
    shown = shown if len(shown) <= 60 else shown[:59] + "…"
    return (
        f"{shown} ({what}) cannot be written as a literal: give a number, a string, True, False, "
        "None, or a list, tuple or dict of these"
    )
