"""What a class or function can be called with, read from its signature."""

from __future__ import annotations

import inspect
import types
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from functools import cached_property
from typing import Any, Literal, NamedTuple, Union, get_args, get_origin, get_type_hints

from xtune.config.declared import Declaration
from xtune.errors import did_you_mean

__all__ = ["Form", "Misfit", "misfit_of_type"]

_LISTS = (list, tuple, set, Sequence, Iterable)
_ATOMS = {int: "an integer", float: "a number", str: "a string", bool: "True or False"}


class Misfit(NamedTuple):
    """An argument that does not fit.

    Attributes:
        argument: its name.
        message: what is wrong.
        hint: what would be right; may be ''.
        is_value: whether its value is wrong, and not that it is there or missing.
    """

    argument: str
    message: str
    hint: str = ""
    is_value: bool = False


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
        function: Any = self.target.__init__ if inspect.isclass(self.target) else self.target
        known: dict[str, Any] = {}
        for name, annotation in getattr(function, "__annotations__", {}).items():
            alone = types.SimpleNamespace(__annotations__={name: annotation})
            # A name that is imported for type checkers only hides its own parameter's type.
            with suppress(NameError, TypeError, AttributeError):
                known |= get_type_hints(alone, globalns=getattr(function, "__globals__", {}))
        return known

    def takes_list(self, argument: str) -> bool:
        """Whether an argument's annotation says that it may be a list."""
        kinds = [get_origin(hint) or hint for hint in _members(self._hints.get(argument))]
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


def _signature(target: Callable[..., Any]) -> Mapping[str, inspect.Parameter]:
    try:
        return inspect.signature(target).parameters
    except (TypeError, ValueError):  # some built-ins have none: anything goes
        return {"kwargs": inspect.Parameter("kwargs", inspect.Parameter.VAR_KEYWORD)}


def misfit_of_type(hint: Any, value: Any) -> str | None:
    """Say what a value should be when it obviously is not what the annotation says.

    Only simple annotations are judged: int, float, str, bool, None, Literal, lists, tuples, dicts
    and unions of these. A value of an annotation that says more passes.

    >>> misfit_of_type(int, '8')
    'an integer'
    >>> misfit_of_type(float | None, None), misfit_of_type(float, 1)
    (None, None)
    """
    wants: list[str] = []
    for member in _members(hint):
        fits, wanted = _judge(member, value)
        if fits:
            return None
        wants.append(wanted)
    return " or ".join(dict.fromkeys(wants))


def _members(hint: Any) -> tuple[Any, ...]:
    return get_args(hint) if get_origin(hint) in (Union, types.UnionType) else (hint,)


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
    if kind is dict:
        return isinstance(value, Mapping), "a dict"
    return True, ""
