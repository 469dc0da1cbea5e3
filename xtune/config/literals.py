"""Find the expression that sets a dotted key: `optimizer.lr`, `custom_hooks.0.interval`.

A key is followed through `dict(...)`, `{...}`, lists and tuples, through plain names, and into the
dicts that a dict begins with: in

    lora = dict(r=16)
    algorithm = dict(type='SupervisedFinetune')
    model = dict(algorithm, adapter=lora)

the key `model.adapter.r` leads to the 16, and `model.type` to the text in `algorithm`.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence
from typing import NamedTuple

__all__ = ["Binding", "Found", "dict_entries", "find", "is_set", "last_entry", "top_level"]


class Binding(NamedTuple):
    """A statement at the top level that sets a key: `lr = ...` or `optimizer['lr'] = ...`."""

    key: tuple[str, ...]
    value: ast.expr
    statement: ast.stmt


class Found(NamedTuple):
    """How far a key could be followed.

    Attributes:
        node: the deepest expression reached.
        rest: the parts of the key that lie beyond it; empty when it was reached.
        keys: the key, and its other names at the statements where plain names led to.
    """

    node: ast.expr
    rest: tuple[str, ...]
    keys: tuple[str, ...]


def top_level(tree: ast.Module) -> list[Binding]:
    """Return what the sheet sets by plain assignments at its top level, in order."""
    bindings = []
    for node in tree.body:
        if isinstance(node, ast.Assign):
            targets, value = node.targets, node.value
        elif isinstance(node, ast.AnnAssign) and node.value is not None:
            targets, value = [node.target], node.value
        else:
            continue
        for target in targets:
            key = _key_of(target)
            if key:
                bindings.append(Binding(key, value, node))
    return bindings


def is_set(tree: ast.Module, name: str) -> ast.Name | None:
    """Return where `name` is set in any way at all, inside an `if` or a loop too, or None.

    Args:
        tree: of a sheet.
        name: without dots.
    """
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and node.id == name and isinstance(node.ctx, ast.Store):
            return node
    return None


def find(bindings: Sequence[Binding], key: str, *, through_last: bool) -> Found | None:
    """Follow a dotted key to the expression that sets it.

    Args:
        bindings: what `top_level` returned.
        key: the dotted key.
        through_last: when the key's own expression is a plain name, go on to where that is set.

    Returns:
        None when nothing at the top level sets the key's first name.
    """
    keys, parts = [key], tuple(key.split("."))
    before = len(bindings)
    while True:
        # The last statement that sets the key, or something that the key lies in
        reached = [
            at
            for at, binding in enumerate(bindings[:before])
            if parts[: len(binding.key)] == binding.key
        ]
        if not reached:
            return None
        at = reached[-1]
        node, rest = bindings[at].value, parts[len(bindings[at].key) :]
        while rest and (inner := _child(node, rest[0], bindings[:at])) is not None:
            node = inner.node
            if inner.is_merged:
                break
            rest = rest[1:]
        if not isinstance(node, ast.Name) or not (rest or through_last):
            return Found(node, rest, tuple(keys))
        if not any(binding.key == (node.id,) for binding in bindings[:at]):
            return Found(node, rest, tuple(keys))
        parts, before = (node.id, *rest), at
        keys.append(".".join(parts))


class _Child(NamedTuple):
    node: ast.expr
    is_merged: bool = False  # the key lies in it, and is not what it stands under


def _child(node: ast.expr, part: str, bindings: Sequence[Binding]) -> _Child | None:
    """Return what stands under `part` of a literal dict, list or tuple, or None.

    Where a dict has `part` from another dict, this is a plain name that `bindings` set.
    """
    if isinstance(node, ast.List | ast.Tuple):
        starred = any(isinstance(item, ast.Starred) for item in node.elts)
        if part.isdigit() and int(part) < len(node.elts) and not starred:
            return _Child(node.elts[int(part)])
        return None
    for key, value in reversed(list(dict_entries(node))):  # the last one holds
        if key == part:
            return _Child(value)
        if key is None:
            if not isinstance(value, ast.Name):
                return None  # it may have the part
            found = find(bindings, f"{value.id}.{part}", through_last=False)
            if found is not None and not found.rest:
                return _Child(value, is_merged=True)
            if found is None or not _is_literal(found.node):
                return None
    return None


def dict_entries(node: ast.expr) -> Iterator[tuple[str | None, ast.expr]]:
    """Yield the keys and expressions of `dict(a=1)` or `{'a': 1}`; nothing for any other.

    `dict(base, a=1)`, `dict(**base, a=1)` and `{**base, 'a': 1}` have None as the key of `base`.
    """
    if isinstance(node, ast.Dict):
        for key, value in zip(node.keys, node.values, strict=True):
            if key is None:
                yield None, value
            elif isinstance(key, ast.Constant):
                yield str(key.value), value
    elif _is_literal(node):
        assert isinstance(node, ast.Call)
        for value in node.args:
            yield None, value
        for keyword in node.keywords:
            yield keyword.arg, keyword.value


def _is_literal(node: ast.expr) -> bool:
    """Whether this is a dict that is written out."""
    if isinstance(node, ast.Call):
        return isinstance(node.func, ast.Name) and node.func.id == "dict"
    return isinstance(node, ast.Dict)


def last_entry(node: ast.expr) -> ast.keyword | ast.expr | None:
    """Return where the last entry of a literal dict begins, or None for an empty or other one."""
    if isinstance(node, ast.Dict):
        return next((key for key in reversed(node.keys) if key is not None), None)
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "dict":
        return node.keywords[-1] if node.keywords else None
    return None


def _key_of(target: ast.expr) -> tuple[str, ...]:
    if isinstance(target, ast.Name):
        return (target.id,)
    if isinstance(target, ast.Subscript) and isinstance(target.slice, ast.Constant):
        outer = _key_of(target.value)
        return (*outer, str(target.slice.value)) if outer else ()
    return ()
