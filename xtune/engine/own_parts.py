"""What a run asks of hooks and loops before its first step, so that a slip in one costs no work."""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches
from inspect import signature
from typing import Any

from xtune.checkpoint.state import as_json
from xtune.engine.hooks.base import Hook
from xtune.engine.loops import Loop
from xtune.errors import ConfigError, did_you_mean

__all__ = ["require_both", "require_called", "require_writable"]


def require_called(name: str, hook: Any, moments: list[str]) -> None:
    """Refuse an object that is no hook, or has a method that nothing calls so.

    Args:
        name: of the hook, for messages.
        hook: what the sheet's type made.
        moments: at which a run calls its hooks.

    Raises:
        ConfigError: it is such.
    """
    if not isinstance(hook, Hook):
        raise ConfigError(
            f"hook {name}: {type(hook).__name__} is no Hook. Derive it from xtune's "
            f"(from xtune.engine.hooks.base import Hook); it is called at: {', '.join(moments)}"
        )
    for own in dir(hook):
        if hasattr(Hook, own) or own.startswith("_"):
            continue
        near = callable(getattr(hook, own)) and get_close_matches(own, moments, n=1, cutoff=0.9)
        if near or own.startswith(("before_", "after_")):
            raise ConfigError(
                f"hook {name}: nothing calls {own!r}{did_you_mean(own, moments)}; a hook is called "
                f"at: {', '.join(moments)}"
            )
    for moment in moments:
        given = list(signature(getattr(Hook, moment)).parameters)[1:]
        taken = signature(getattr(hook, moment))
        try:
            taken.bind(*given)
        except TypeError:
            raise ConfigError(
                f"hook {name}: {moment} takes {taken}, and is called with ({', '.join(given)})"
            ) from None


def require_both(name: str, made: Hook | Loop, base: type) -> None:
    """Refuse what saves a state that a resumed run does not give back, or the other way round.

    Args:
        name: where the sheet has it, for messages.
        made: a hook or a loop.
        base: Hook or Loop.

    Raises:
        ConfigError: it defines one of the two methods only.
    """
    pair = ("state_dict", "load_state_dict")
    own = [method for method in pair if getattr(type(made), method) is not getattr(base, method)]
    if len(own) == 1:
        (other,) = set(pair) - set(own)
        raise ConfigError(
            f"{name}: {type(made).__name__} has {own[0]} and no {other}: a resumed run goes on "
            "with its state only where it has both"
        )


def require_writable(states: Mapping[str, dict[str, Any]]) -> None:
    """Refuse, before the first step, a state that no checkpoint could hold.

    Args:
        states: what each `state_dict` gives, by whose it is.

    Raises:
        ConfigError: one holds something that is neither a JSON value nor a tensor.
    """
    for name, state in states.items():
        try:
            as_json(state)
        except (TypeError, ValueError) as error:
            raise ConfigError(
                f"{name}: its state_dict cannot be saved: {error}. A checkpoint holds dicts with "
                "keys of text, lists, numbers, texts, None and tensors"
            ) from error
