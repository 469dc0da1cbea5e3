"""What `xtune list-formats` says of a map_fn, all of it taken from the function itself.

The example row is the one in the docstring's doctest, which the tests run; what becomes of it is
what the function returns; a field is required if the function fails without it.
"""

from __future__ import annotations

import ast
import doctest
import functools
import inspect
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from xtune.data import map_fns
from xtune.data.map_fns.base import MapFn, UnusableRow
from xtune.errors import DataError
from xtune.registry import MAP_FNS, names, resolve

__all__ = ["Format", "all_formats", "kind_of", "read_fields"]


@dataclass(frozen=True, slots=True)
class Format:
    """A registered map_fn and what can be said of it.

    Attributes:
        name: what a config calls it.
        map_fn: the function.
        title: the first line of its file.
        reads: its docstring up to the example.
        row: the example.
        required: the fields without which it fails.
        optional: the example's other fields that it reads.
        switches: its arguments besides the row, with their defaults.
    """

    name: str
    map_fn: MapFn
    title: str
    reads: str
    row: dict[str, Any]
    required: tuple[str, ...]
    optional: tuple[str, ...]
    switches: dict[str, Any]

    @property
    def fields(self) -> str:
        """The fields it reads, as a reader is told them: 'query, answers, tools (optional)'."""
        return ", ".join([*self.required, *(f"{name} (optional)" for name in self.optional)])

    @property
    def becomes(self) -> Mapping[str, Any]:
        """What it makes of the example."""
        return self.map_fn(self.row)

    def missing(self, row: Mapping[str, Any]) -> list[str]:
        """Return the required fields that a row does not have."""
        return [name for name in self.required if name not in row]


@functools.cache
def all_formats() -> dict[str, Format]:
    """Return every format that comes with xtune by its name, sorted.

    A user's own map_fn, though registered, is chosen by name: nothing says what rows it is for.
    """
    ours = [name for name in names(MAP_FNS) if _is_ours(resolve(MAP_FNS, name))]
    return {name: _format(name) for name in ours}


def _is_ours(map_fn: MapFn) -> bool:
    return map_fn.__module__.startswith(f"{map_fns.__name__}.")


def kind_of(made: Mapping[str, Any]) -> str:
    """Return what a map_fn has made.

    It is 'dialogue', 'text', 'tokens', 'preference pair', 'ranking', 'judged answer' or 'prompt'.

    >>> kind_of({'messages': []}), kind_of({'prompt': [], 'chosen': [], 'rejected': []})
    ('dialogue', 'preference pair')
    """
    kinds = {
        "messages": "dialogue",
        "text": "text",
        "input_ids": "tokens",
        "chosen": "preference pair",
        "answers": "ranking",
        "completion": "judged answer",
    }
    return next((kind for key, kind in kinds.items() if key in made), "prompt")


def read_fields(map_fn: MapFn, row: Mapping[str, Any]) -> tuple[list[str], list[str]]:
    """Return which of a row's fields a map_fn needs, and which others it reads.

    Found by leaving out one field after another and looking whether the outcome changes.

    Args:
        map_fn: reads rows.
        row: an example.

    >>> from xtune.data.map_fns.openorca import openorca_map_fn
    >>> row = {'id': 1, 'system_prompt': 'Be brief.', 'question': '2?', 'response': '2'}
    >>> read_fields(openorca_map_fn, row)
    (['system_prompt', 'question', 'response'], [])
    """
    whole = _outcome(map_fn, row)
    needed, read = [], []
    for name in row:
        without = _outcome(map_fn, {key: value for key, value in row.items() if key != name})
        if without is None and whole is not None:
            needed.append(name)
        elif without != whole:
            read.append(name)
    return needed, read


def _outcome(map_fn: MapFn, row: Mapping[str, Any]) -> object:
    """What becomes of a row: the conversation, the reason against it, or None for an error."""
    try:
        return map_fn(dict(row))
    except UnusableRow as unusable:
        return unusable.reason
    except DataError:
        return None


def _format(name: str) -> Format:
    map_fn = resolve(MAP_FNS, name)
    documented = inspect.getdoc(map_fn) or ""
    row = next(_rows(documented))
    required, optional = read_fields(map_fn, row)
    parameters = list(inspect.signature(map_fn).parameters.values())[1:]
    return Format(
        name=name,
        map_fn=map_fn,
        title=(inspect.getdoc(sys.modules[map_fn.__module__]) or "").split("\n")[0].rstrip("."),
        reads=documented.partition("\n>>>")[0].strip(),
        row=row,
        required=tuple(required),
        optional=tuple(optional),
        switches={parameter.name: parameter.default for parameter in parameters},
    )


def _rows(documented: str) -> Iterator[dict[str, Any]]:
    """The rows that the examples of a docstring call the function with."""
    for example in doctest.DocTestParser().get_examples(documented):
        for node in ast.walk(ast.parse(example.source)):
            if isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Dict):
                yield ast.literal_eval(node.args[0])
