"""What a type annotation says of a value: whether it fits, what may lie inside, its registry."""

from __future__ import annotations

import types
from collections.abc import Iterator, Mapping, Sequence
from typing import (
    Annotated,
    Any,
    Literal,
    Union,
    get_args,
    get_origin,
    get_type_hints,
    is_typeddict,
)

from mmengine.registry import Registry

__all__ = ["fits", "items", "members", "misfit_of_type", "room_of"]

_ATOMS = {int: "an integer", float: "a number", str: "a string", bool: "True or False"}


def misfit_of_type(hint: Any, value: Any) -> str | None:
    """Say what a value should be when it obviously is not what the annotation says.

    Only simple annotations are judged: int, float, str, bool, None, Literal, lists, tuples, dicts
    and unions of these. A value of an annotation that says more passes.

    Args:
        hint: the annotation.
        value: that is to fit it.

    >>> misfit_of_type(int, '8')
    'an integer'
    >>> misfit_of_type(float | None, None), misfit_of_type(float, 1)
    (None, None)
    """
    wants: list[str] = []
    for member in members(hint):
        fits, wanted = _judge(member, value)
        if fits:
            return None
        wants.append(wanted)
    return " or ".join(dict.fromkeys(wants))


def members(hint: Any) -> tuple[Any, ...]:
    """The types of a union, each without its annotations; of another, the type alone."""
    if get_origin(hint) is Annotated:
        return members(get_args(hint)[0])
    of_union = _unions(hint)
    return tuple(inner for one in of_union for inner in members(one)) if of_union else (hint,)


def _unions(hint: Any) -> tuple[Any, ...]:
    return get_args(hint) if get_origin(hint) in (Union, types.UnionType) else ()


def fits(hint: Any, value: Any) -> bool:
    """Whether a value may be of one type.

    Args:
        hint: the type.
        value: any.
    """
    return _judge(hint, value)[0]


def _judge(hint: Any, value: Any) -> tuple[bool, str]:
    """Whether the value may be of this type, and how the type is called."""
    if hint is None or hint is type(None):
        return value is None, "None"
    if get_origin(hint) is Literal:
        return value in get_args(hint), " or ".join(map(repr, get_args(hint)))
    if hint in _ATOMS:
        accepted = (int, float) if hint is float else hint
        is_mistaken_bool = isinstance(value, bool) and hint in (int, float)
        return isinstance(value, accepted) and not is_mistaken_bool, _ATOMS[hint]
    kind = get_origin(hint) or hint
    if kind in (list, tuple, Sequence):  # a text is a sequence too; nobody means its letters
        of_texts = kind is Sequence and get_args(hint) == (str,)
        fits = isinstance(value, list | tuple)
        if fits and of_texts:
            fits = all(isinstance(item, str) for item in value)
        return fits, "a list of texts" if of_texts else "a list"
    if kind in (dict, Mapping) or is_typeddict(kind):
        return isinstance(value, Mapping), "a dict"
    return True, ""


def items(where: str, hint: Any, value: Any) -> Iterator[tuple[str, Any, Any]]:
    """Yield the place, the annotation and the value of each item of a list or dict.

    Args:
        where: the place of the value, dotted.
        hint: its annotation.
        value: a list or dict.
    """
    if is_typeddict(hint) and isinstance(value, Mapping):
        fields = get_type_hints(hint, include_extras=True)
        yield from ((f"{where}.{key}", fields[key], value[key]) for key in value if key in fields)
        return
    kind, args = get_origin(hint), get_args(hint)
    if kind in (dict, Mapping) and isinstance(value, Mapping):
        yield from ((f"{where}.{key}", args[1], item) for key, item in value.items())
    elif kind in (list, Sequence) and isinstance(value, list | tuple):
        yield from ((f"{where}.{at}", args[0], item) for at, item in enumerate(value))


def room_of(hint: Any) -> Registry | None:
    """The registry that an annotation names, or None."""
    for member in (hint, *_unions(hint)):
        noted = member.__metadata__ if get_origin(member) is Annotated else ()
        for one in noted:
            if isinstance(one, Registry):
                return one
    return None
