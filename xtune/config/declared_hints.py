"""The types that annotations mean, read from source: see declared.py."""

from __future__ import annotations

import ast
import importlib
import typing
from typing import Any

from mmengine.registry import Registry

from xtune import registry as registries
from xtune.config.parsed import Definition, Module, NotReadable, module_named

__all__ = ["hint_of"]

_BUILTINS = {
    kind.__name__: kind for kind in (bool, bytes, dict, float, int, list, set, str, tuple, type)
}


def hint_of(module: Module, node: ast.expr | None) -> Any:
    """The type that an annotation means; Any in each place where it names a class.

    Args:
        module: in which the annotation stands.
        node: the annotation; None means None.
    """
    if isinstance(node, ast.Constant):
        if isinstance(node.value, str):  # a type in quotes
            return hint_of(module, ast.parse(node.value, mode="eval").body)
        return type(None) if node.value is None else Any
    if isinstance(node, ast.BinOp):
        return typing.Union[hint_of(module, node.left), hint_of(module, node.right)]  # noqa: UP007
    if isinstance(node, ast.Name):
        return _named_hint(module, node.id)
    if isinstance(node, ast.Subscript):
        inner = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
        origin = hint_of(module, node.value)
        if origin is typing.Literal:
            return _literal(inner)
        if origin is typing.Annotated:
            rooms = [_room(module, node) for node in inner[1:]]
            return typing.Annotated[(hint_of(module, inner[0]), *rooms)]
        if origin is typing.Any or origin is typing.Callable:
            return Any
        return _subscripted(origin, tuple(_item(module, one) for one in inner))
    if isinstance(node, ast.Attribute) and ast.unparse(node.value) in ("typing", "t"):
        return getattr(typing, node.attr, Any)
    return Any


def _named_hint(module: Module, name: str) -> Any:
    if name in module.values:  # Layout = Literal['transformers', 'original']
        return hint_of(module, module.values[name])
    if name in module.definitions:
        return _typed_dict(module, module.definitions[name])
    if name in module.imports:
        source, original = module.imports[name]
        if source == "typing":
            return getattr(typing, original, Any)
        if source == "collections.abc":
            return getattr(importlib.import_module(source), original, Any)
        other = module_named(source)
        return Any if other is None else _named_hint(other, original)
    return _BUILTINS.get(name, Any)


def _room(module: Module, node: ast.expr) -> Registry:
    """The registry that an annotation names."""
    source, name = module.imports.get(node.id, ("", "")) if isinstance(node, ast.Name) else ("", "")
    found = getattr(registries, name, None) if source == registries.__name__ else None
    if not isinstance(found, Registry):
        raise NotReadable
    return found


def _typed_dict(module: Module, node: Definition) -> Any:
    """The TypedDict that a class is; Any for any other class."""
    bases = [ast.unparse(base) for base in getattr(node, "bases", ())]
    if bases != ["TypedDict"]:
        return Any
    assert isinstance(node, ast.ClassDef)
    fields = {
        one.target.id: hint_of(module, one.annotation)
        for one in node.body
        if isinstance(one, ast.AnnAssign) and isinstance(one.target, ast.Name)
    }
    settings = {str(one.arg): ast.literal_eval(one.value) for one in node.keywords}
    return typing.TypedDict(node.name, fields, **settings)  # type: ignore[operator]


def _literal(inner: list[ast.expr]) -> Any:
    try:
        return typing.Literal[tuple(ast.literal_eval(one) for one in inner)]
    except ValueError:
        return Any


def _item(module: Module, node: ast.expr) -> Any:
    is_dots = isinstance(node, ast.Constant) and node.value is ...
    return ... if is_dots else hint_of(module, node)


def _subscripted(origin: Any, inner: tuple[Any, ...]) -> Any:
    try:
        return origin[inner if len(inner) > 1 else inner[0]]
    except TypeError:
        return Any
