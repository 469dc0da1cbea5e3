"""What a class or function can be called with, read from its signature.

What lies inside an argument is judged by its annotation:

    rewards: Annotated[Sequence[dict], REWARDS]     names, and dicts with a type, of a registry
    tools: Mapping[Annotated[str, TOOLS], dict]     names, each with its options
    quantization: Quantization                      a TypedDict: its keys and their values
    loss_weights: Mapping[Kind, float]              each key and each value
"""

from __future__ import annotations

import inspect
import types
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from functools import cached_property
from typing import Any, Literal, NamedTuple, get_args, get_origin, get_type_hints, is_typeddict

from mmengine.registry import Registry

from xtune.config.declared import Declaration
from xtune.config.hints import fits, items, members, misfit_of_type, room_of
from xtune.errors import did_you_mean

__all__ = ["Form", "Misfit", "Placed"]

_LISTS = (list, tuple, set, Sequence, Iterable)


class Misfit(NamedTuple):
    """An argument that does not fit.

    Attributes:
        argument: its name; dotted where the fault lies inside it.
        message: what is wrong.
        hint: what would be right; may be ''.
        is_value: whether its value is wrong, and not that it is there or missing.
    """

    argument: str
    message: str
    hint: str = ""
    is_value: bool = False


class Placed(NamedTuple):
    """A value that is looked up in a registry, since the annotation of its place says so."""

    argument: str
    registry: Registry
    value: Any


class Form:
    """The arguments that a config may give to `target`.

    Args:
        target: a class or a function; or what its source declares.
        supplied: arguments that the builder passes itself.
        defaults: arguments that the builder passes where the config does not.
    """

    def __init__(
        self,
        target: Callable[..., Any] | Declaration,
        supplied: Collection[str] = (),
        defaults: Collection[str] = (),
    ) -> None:
        self.target = target
        self.supplied = frozenset(supplied)
        self.defaults = frozenset(defaults)

    @cached_property
    def _parameters(self) -> Mapping[str, inspect.Parameter]:
        if isinstance(self.target, Declaration):
            return self.target.parameters
        return _signature(self.target)

    @cached_property
    def open(self) -> bool:
        """Whether it takes arguments of any name."""
        return any(p.kind is p.VAR_KEYWORD for p in self._parameters.values())

    @cached_property
    def arguments(self) -> list[str]:
        """The names a config may set, in the order of the signature."""
        by_name = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
        return [
            name
            for name, parameter in self._parameters.items()
            if parameter.kind in by_name and name not in self.supplied
        ]

    @property
    def usual(self) -> dict[str, Any]:
        """What is taken for each argument that a config may leave out.

        A declaration does not tell: what it is of is imported.
        """
        target = self.target.imported() if isinstance(self.target, Declaration) else self.target
        parameters = _signature(target)
        given = ((name, parameters[name].default) for name in self.arguments)
        return {name: value for name, value in given if value is not inspect.Parameter.empty}

    @cached_property
    def _hints(self) -> Mapping[str, Any]:
        if isinstance(self.target, Declaration):
            return self.target.hints
        function = _maker(self.target)
        known: dict[str, Any] = {}
        for name, annotation in self._annotations.items():
            alone = types.SimpleNamespace(__annotations__={name: annotation})
            # A name that is imported for type checkers only hides its own parameter's type.
            with suppress(NameError, TypeError, AttributeError):
                scope = getattr(function, "__globals__", {})
                known |= get_type_hints(alone, globalns=scope, include_extras=True)
        return known

    @property
    def _annotations(self) -> Mapping[str, Any]:
        """What stands at each parameter that has one, be it a name that only type checkers see."""
        if isinstance(self.target, Declaration):
            return self.target.hints
        function = _maker(self.target)
        return getattr(function, "__annotations__", {})

    def keys_of(self, argument: str) -> list[str]:
        """Return the keys that an argument which is a dict takes; [] where any, or nobody knows."""
        hints = members(self._hints.get(argument))
        return [key for hint in hints if is_typeddict(hint) for key in get_type_hints(hint)]

    def takes_list(self, argument: str) -> bool:
        """Whether an argument's annotation says that it may be a list."""
        kinds = [get_origin(hint) or hint for hint in members(self._hints.get(argument))]
        return any(kind in _LISTS for kind in kinds)

    def misfits(self, given: Mapping[str, Any]) -> Iterable[Misfit]:
        """Yield what is wrong with the arguments `given` (without `type`)."""
        is_read = isinstance(self.target, Declaration)
        name = getattr(self.target, "name" if is_read else "__name__", str(self.target))
        for key, value in given.items():
            if key in self.arguments:
                wrong = misfit_of_type(self._hints.get(key, Any), value)
                if wrong:
                    yield Misfit(key, f"must be {wrong}", is_value=True)
                else:
                    yield from _misfits_inside(key, self._hints.get(key, Any), value)
            elif key in self.supplied:
                yield Misfit(key, f"{name} gets {key!r} from xtune: leave it out")
            elif not self.open:
                near = did_you_mean(key, self.arguments)
                hint = near.removeprefix("; ") or f"it takes: {', '.join(self.arguments)}"
                yield Misfit(key, f"{name} takes no {key!r}", hint)
        for key in self.arguments:
            is_needed = self._parameters[key].default is inspect.Parameter.empty
            if is_needed and key not in given and key not in self.defaults:
                yield Misfit(key, f"{name} needs {key!r}, which is not given")

    def placed(self, given: Mapping[str, Any]) -> Iterable[Placed]:
        """Yield whatever in the arguments `given` the signature names a registry for."""
        for key, value in given.items():
            yield from _placed(key, self._hints.get(key, Any), value)

    def unannotated(self, given: Mapping[str, Any]) -> Iterable[tuple[str, Any]]:
        """Yield which of the arguments `given` the signature says nothing of, and their values."""
        known = self._annotations
        return ((name, given[name]) for name in self.arguments if name in {*given} - {*known})


def _maker(target: Any) -> Any:
    """The function whose annotations say what a class or function is called with."""
    if not inspect.isclass(target):
        return target
    return target.__new__ if target.__init__ is object.__init__ else target.__init__


def _placed(where: str, hint: Any, value: Any) -> Iterable[Placed]:
    if value is None:
        return
    room = room_of(hint)
    if room is not None:  # it is falsy as long as it is empty
        if isinstance(value, list | tuple):
            yield from (Placed(f"{where}.{at}", room, item) for at, item in enumerate(value))
        else:
            yield Placed(where, room, value)
        return
    for member in members(hint):
        args = get_args(member)
        room = room_of(args[0]) if isinstance(value, Mapping) and len(args) == 2 else None
        if room is not None:  # its keys are names, as those of tools
            yield from (Placed(f"{where}.{key}", room, key) for key in value)
        for inner, its_hint, item in items(where, member, value):
            yield from _placed(inner, its_hint, item)


def _misfits_inside(where: str, hint: Any, value: Any) -> Iterable[Misfit]:
    """Yield what is wrong with the keys and items of a value that is itself of the right type."""
    if room_of(hint) is not None:
        return  # what its registry has for it says more
    of_each = []
    for member in members(hint):
        if fits(member, value):
            of_each.append(list(_misfits_in_member(where, member, value)))
    yield from min(of_each, key=len, default=[])  # of a union, the member that fits best


def _misfits_in_member(where: str, hint: Any, value: Any) -> Iterable[Misfit]:
    if isinstance(value, Mapping):
        yield from _misfits_of_keys(where, hint, value)
    for inner, its_hint, item in items(where, hint, value):
        if wrong := misfit_of_type(its_hint, item):
            yield Misfit(inner, f"must be {wrong}", is_value=True)
        else:
            yield from _misfits_inside(inner, its_hint, item)


def _misfits_of_keys(where: str, hint: Any, value: Mapping[str, Any]) -> Iterable[Misfit]:
    needed: Iterable[str] = ()
    if is_typeddict(hint):
        allowed, needed = list(get_type_hints(hint)), hint.__required_keys__
    elif (args := get_args(hint)) and get_origin(args[0]) is Literal:
        allowed = list(get_args(args[0]))
    else:
        return
    name = where.rpartition(".")[2]
    for key in value:
        if key not in allowed:
            near = did_you_mean(key, allowed).removeprefix("; ")
            hint_text = near or f"it takes: {', '.join(allowed)}"
            yield Misfit(f"{where}.{key}", f"{name} takes no {key!r}", hint_text)
    for key in needed:
        if key not in value:
            yield Misfit(f"{where}.{key}", f"{name} needs {key!r}, which is not given")


def _signature(target: Callable[..., Any]) -> Mapping[str, inspect.Parameter]:
    try:
        return inspect.signature(target).parameters
    except (TypeError, ValueError):  # some built-ins have none: anything goes
        return {"kwargs": inspect.Parameter("kwargs", inspect.Parameter.VAR_KEYWORD)}
