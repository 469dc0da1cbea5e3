"""Dicts with a `type` in arguments that have no annotation, so that no registry is named for them.

    class MyHook(Hook):
        def __init__(self, reward): ...       custom_hooks=[dict(type=MyHook, reward=dict(type=…))]

Whichever registry has the name says what it takes; a name that none has is a mistake, or a word of
the user's own, which an annotation would say.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any, NamedTuple

from mmengine.registry import Registry

from xtune import registry
from xtune.config.declared import declared_names
from xtune.config.signatures import Form
from xtune.config.slots import Slot, slot_in, slots
from xtune.errors import RegistryError, did_you_mean

__all__ = ["Unplaced", "unplaced"]


class Unplaced(NamedTuple):
    """A dict with a `type`, in an argument without an annotation.

    Attributes:
        key: where it stands.
        argument: its parameter.
        given: its keys without `type`.
        form: what its type may be given; None where no registry has it.
        near: "; did you mean 'x'?", or ''.
    """

    key: str
    argument: str
    given: Mapping[str, Any]
    form: Form | None
    near: str


def unplaced(values: Mapping[str, Any]) -> Iterator[Unplaced]:
    """Yield all of a sheet's, those in lists too.

    Args:
        values: the sheet's.
    """
    placed = list(slots(values))
    known = {slot.key for slot in placed}
    for slot in placed:
        for argument, value in _unannotated(slot):
            where = f"{slot.key}.{argument}"
            listed = value if isinstance(value, list | tuple) else ()
            inner = [(where, value), *((f"{where}.{at}", one) for at, one in enumerate(listed))]
            for key, cfg in inner:
                if isinstance(cfg, Mapping) and "type" in cfg and key not in known:
                    yield _looked_up(key, argument, cfg)


def _unannotated(slot: Slot) -> list[tuple[str, Any]]:
    with suppress(AttributeError, RegistryError, KeyError, TypeError):  # the check says so
        return list(slot.form().unannotated(slot.given))
    return []


def _looked_up(key: str, argument: str, cfg: Mapping[str, Any]) -> Unplaced:
    rooms = [one for one in vars(registry).values() if isinstance(one, Registry)]
    forms = []
    given = {name: value for name, value in cfg.items() if name != "type"}
    for room in rooms:
        with suppress(RegistryError):
            forms.append(slot_in(key, room, cfg).form())
    # A name that several have is of the one that it fits best
    best = min(forms, key=lambda form: len(list(form.misfits(given))), default=None)
    names = {name for room in rooms for name in declared_names(room)}
    near = "" if forms else did_you_mean(str(cfg["type"]), sorted(names))
    return Unplaced(key, argument, given, best, near)
