"""What a plug-in or a PEFT config can be called with, read from its source and not by importing it.

Checking a sheet asks what each name takes. The objects themselves would answer too, but to have
them is to import torch, transformers and PEFT: five seconds of a processor for a list of names.

    declared(HOOKS, 'CheckpointHook')      found by its decorator, @HOOKS.register_module()
    declared(ADAPTERS, 'peft.IA3Config')   found by following `from … import`
    declared(OPTIMIZERS, 'torch.optim.SGD')    None: not of xtune or PEFT, so it is imported

Whatever is written in a way that is not read here gives None too. tests/config/test_declared.py
holds every plug-in of xtune and every config of PEFT against the real object.
"""

from __future__ import annotations

import ast
import functools
import importlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from inspect import Parameter
from typing import Any, NamedTuple

from mmengine.registry import Registry

from xtune import registry as registries
from xtune.config.declared_hints import hint_of
from xtune.config.parsed import (
    READ,
    Definition,
    Found,
    Module,
    NotReadable,
    find_definition,
    module_named,
    paths_of,
)
from xtune.errors import RegistryError

__all__ = ["Declaration", "class_attribute", "declared", "declared_names"]


@dataclass(frozen=True)
class Declaration:
    """A class or function as its source declares it.

    Attributes:
        module: where it is defined.
        name: its own.
        parameters: what it can be called with, by name. A default is `...`, whatever it is.
        hints: by parameter: its type where it is made of built-in types and TypedDicts, 'Any' in
            each place where it names another. A registry that it is annotated with is kept.
    """

    module: str
    name: str
    parameters: Mapping[str, Parameter]
    hints: Mapping[str, Any]

    def imported(self) -> Any:
        """Return the class or function itself."""
        return getattr(importlib.import_module(self.module), self.name)


@functools.cache  # a check asks for each name a dozen times
def declared(registry: Registry, named: str) -> Declaration | None:
    """Read what a name of a sheet can be called with.

    Args:
        registry: where the name is looked up.
        named: a registered name, or 'package.module.name'.

    Returns:
        None where only the object itself can tell, and where there is no such thing.
    """
    found = _definition(registry, named)
    if found is None:
        return None
    try:
        arguments = list(_arguments(found.module, found.node))
        hints = {
            one.name: hint_of(one.module, one.annotation) for one in arguments if one.annotation
        }
    except NotReadable:
        return None
    parameters = {one.name: Parameter(one.name, one.kind, default=one.default) for one in arguments}
    return Declaration(found.module.name, found.node.name, parameters, hints)


def class_attribute(registry: Registry, named: Any, attribute: str) -> Any:
    """Return what a class that a sheet names says of itself: `learns_from`, `makes`.

    Args:
        registry: where the name is looked up.
        named: what a sheet's `type` is.
        attribute: of the class; in xtune's own classes it is written as a literal.

    Returns:
        None where the class does not say, where it is none, and where there is nothing of the name.
    """
    found = _definition(registry, named) if isinstance(named, str) else None
    if found is None:
        try:
            return getattr(registries.resolve(registry, named), attribute, None)
        except RegistryError:
            return None
    while found is not None and isinstance(found.node, ast.ClassDef):
        for one in found.node.body:
            targets = (
                [one.target] if isinstance(one, ast.AnnAssign) else getattr(one, "targets", [])
            )
            value = getattr(one, "value", None)
            if value is not None and attribute in map(ast.unparse, targets):
                return ast.literal_eval(value)
        found = _named(found.module, next(iter(found.node.bases), None))
    return None


def declared_names(registry: Registry) -> list[str]:
    """Return every name that is registered, or will be once the registry has looked; sorted."""
    return sorted({*_all_registered(registry), *registry.module_dict})


class _Argument(NamedTuple):
    name: str
    kind: Any
    default: Any
    module: Module
    annotation: ast.expr | None


def _definition(registry: Registry, named: str) -> Found | None:
    """Find where a name's class or function is written; None where it is the user's own."""
    if ".py:" in named:
        return None
    if "." not in named:
        return _registered(registry, named)
    module_name, _, name = named.rpartition(".")
    return find_definition(module_name, name) if named.split(".")[0] in READ else None


def _registered(registry: Registry, named: str) -> Found | None:
    """Find what is registered by a name, with `@ROOM.register_module()` or a call of it."""
    return _all_registered(registry).get(named)


@functools.cache
def _all_registered(registry: Registry) -> Mapping[str, Found]:
    room = _room(registry)
    found: dict[str, Found] = {}
    for location in registry._locations:
        for module in _modules_at(location):
            for name, one in _registrations(module, room):
                found.setdefault(name, one)
    return found


def _room(registry: Registry) -> str | None:
    """What a registry is called in `xtune.registry`."""
    return next((key for key, value in vars(registries).items() if value is registry), None)


def _modules_at(location: str) -> Iterator[Module]:
    """The modules that the registry would import."""
    module = module_named(location)
    if module is None:
        return
    yield module
    for folder in paths_of(location):
        for file in sorted(folder.glob("*.py")):
            if file.stem != "__init__" and (inner := module_named(f"{location}.{file.stem}")):
                yield inner


def _registrations(module: Module, room: str | None) -> Iterator[tuple[str, Found]]:
    if f"{room}.register_module(" not in module.text:
        return
    for node in module.body:
        if isinstance(node, Definition):
            for call in node.decorator_list:
                if _is_registration(call, room):
                    names = _registered_names(call) or [node.name]
                    yield from ((name, Found(module, node)) for name in names)
        elif isinstance(node, ast.Expr) and _is_registration(node.value, room):
            target = next(_given(node.value, "module"), None)
            if found := _named(module, target):
                for name in _registered_names(node.value) or [found.node.name]:
                    yield name, found


def _is_registration(node: ast.expr, room: str | None = None) -> bool:
    return (
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr == "register_module"
        and isinstance(node.func.value, ast.Name)
        and room in (None, node.func.value.id)
    )


def _registered_names(call: ast.expr) -> list[str]:
    """The name, or several, that `register_module` is given, first or as `name`."""
    assert isinstance(call, ast.Call)
    given = [*call.args[:1], *_given(call, "name")]
    nodes = [one for node in given for one in getattr(node, "elts", [node])]
    return [str(node.value) for node in nodes if isinstance(node, ast.Constant) and node.value]


def _given(call: ast.expr, name: str) -> Iterator[ast.expr]:
    assert isinstance(call, ast.Call)
    return (keyword.value for keyword in call.keywords if keyword.arg == name)


def _arguments(module: Module, node: Definition) -> Iterator[_Argument]:
    decorators = [one for one in node.decorator_list if not _is_registration(one)]
    if isinstance(node, ast.FunctionDef):
        if decorators:
            raise NotReadable
        yield from _of_function(module, node)
    elif len(decorators) == 1 and _is_dataclass(decorators[0]):
        yield from sorted(_fields(module, node).values(), key=lambda one: one.kind)
    elif decorators or node.keywords:
        raise NotReadable
    else:
        own = {one.name: one for one in node.body if isinstance(one, ast.FunctionDef)}
        makers = [own[name] for name in ("__new__", "__init__") if name in own]
        if len(makers) > 1 or any(maker.decorator_list for maker in makers):
            raise NotReadable
        if makers:
            _, *others = _of_function(module, makers[0])  # without cls or self
            yield from others
        elif (base := _that_makes_it(module, node)) is not None:
            yield from _arguments(*base)


def _that_makes_it(module: Module, node: ast.ClassDef) -> Found | None:
    """The first of a class's bases, left before right, that says what makes it; None: none does."""
    for base in node.bases:
        if ast.unparse(base) == "ABC":
            continue
        found = _named(module, base)
        if found is None or not isinstance(found.node, ast.ClassDef):
            raise NotReadable
        says = any(
            isinstance(one, ast.FunctionDef) and one.name in ("__init__", "__new__")
            for one in found.node.body
        )
        if (
            says
            or found.node.decorator_list
            or _that_makes_it(found.module, found.node) is not None
        ):
            return found
    return None


def _of_function(module: Module, node: ast.FunctionDef) -> Iterator[_Argument]:
    arguments = node.args
    by_place = [*arguments.posonlyargs, *arguments.args]
    first_default = len(by_place) - len(arguments.defaults)
    for place, one in enumerate(by_place):
        only = place < len(arguments.posonlyargs)
        kind = Parameter.POSITIONAL_ONLY if only else Parameter.POSITIONAL_OR_KEYWORD
        default = ... if place >= first_default else Parameter.empty
        yield _Argument(one.arg, kind, default, module, one.annotation)
    if (rest := arguments.vararg) is not None:
        yield _Argument(
            rest.arg, Parameter.VAR_POSITIONAL, Parameter.empty, module, rest.annotation
        )
    for one, value in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True):
        default = Parameter.empty if value is None else ...
        yield _Argument(one.arg, Parameter.KEYWORD_ONLY, default, module, one.annotation)
    if (rest := arguments.kwarg) is not None:
        yield _Argument(rest.arg, Parameter.VAR_KEYWORD, Parameter.empty, module, rest.annotation)


def _is_dataclass(node: ast.expr) -> bool:
    """Whether this is `@dataclass`, with settings that do not change how it is called."""
    if isinstance(node, ast.Call):
        harmless = {"frozen", "slots", "eq", "order", "repr", "unsafe_hash", "kw_only"}
        return {one.arg for one in node.keywords} <= harmless and _is_dataclass(node.func)
    return isinstance(node, ast.Name) and node.id == "dataclass"


def _all_by_name(node: ast.ClassDef) -> bool:
    """Whether this is `@dataclass(kw_only=True)`."""
    settings = [
        setting
        for one in node.decorator_list
        if _is_dataclass(one) and isinstance(one, ast.Call)
        for setting in one.keywords
    ]
    return any(
        setting.arg == "kw_only" and ast.unparse(setting.value) == "True" for setting in settings
    )


def _fields(module: Module, node: ast.ClassDef) -> dict[str, _Argument]:
    """The fields of a dataclass in the order of its signature; those of its bases come first."""
    fields: dict[str, _Argument] = {}
    for base in reversed(node.bases):
        found = _named(module, base)
        if found is not None and isinstance(found.node, ast.ClassDef):
            is_one = any(map(_is_dataclass, found.node.decorator_list))
            fields |= _fields(found.module, found.node) if is_one else {}
    for one in node.body:
        if not isinstance(one, ast.AnnAssign) or not isinstance(one.target, ast.Name):
            continue
        if "ClassVar" in ast.unparse(one.annotation):
            continue
        if "InitVar" in ast.unparse(one.annotation):
            raise NotReadable
        name, value = one.target.id, one.value
        settings = {}
        if isinstance(value, ast.Call) and ast.unparse(value.func).endswith("field"):
            settings = {setting.arg: setting.value for setting in value.keywords}
            value = settings.get("default", settings.get("default_factory"))
        if isinstance(init := settings.get("init"), ast.Constant) and init.value is False:
            fields.pop(name, None)
            continue
        by_name = "kw_only" in settings or _all_by_name(node)
        kind = Parameter.KEYWORD_ONLY if by_name else Parameter.POSITIONAL_OR_KEYWORD
        default = Parameter.empty if value is None else ...
        fields[name] = _Argument(name, kind, default, module, one.annotation)
    return fields


def _named(module: Module, node: ast.expr | None) -> Found | None:
    return find_definition(module.name, node.id) if isinstance(node, ast.Name) else None
