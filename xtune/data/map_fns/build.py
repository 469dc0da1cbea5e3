"""What a config's `map_fn` stands for."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any, cast

from xtune.data.map_fns.base import MapFn
from xtune.data.map_fns.dialogue import ROLES
from xtune.data.map_fns.judgement import require_judgement
from xtune.data.map_fns.turns import turns_map_fn
from xtune.errors import DataError, did_you_mean
from xtune.registry import MAP_FNS, resolve

_PARTS = ("messages", "prompt", "chosen", "rejected", "completion")

__all__ = ["build_map_fn", "checked_return", "name_of", "noted_name"]


def build_map_fn(map_fn: str | MapFn | Mapping[str, Any]) -> MapFn:
    """Turn a config's `map_fn` into the function.

    >>> name_of(build_map_fn({'type': 'prompt_output', 'train_on_inputs': True}))
    'prompt_output_map_fn'

    Args:
        map_fn: a registered name, 'path/to/file.py:name', a function, or a dict with one of these
            as `type` and the function's switches.

    Raises:
        RegistryError: nothing has that name.
    """
    if not isinstance(map_fn, Mapping):
        return resolve(MAP_FNS, map_fn)
    switches = dict(map_fn)
    return functools.partial(resolve(MAP_FNS, switches.pop("type", None)), **switches)


def name_of(map_fn: Callable[..., Any]) -> str:
    """Return the function's own name, for messages."""
    inner = map_fn.func if isinstance(map_fn, functools.partial) else map_fn
    return getattr(inner, "__name__", repr(inner))


def checked_return(made: object) -> dict[str, Any]:
    """Return what a map_fn has returned, if it is of the form that structures.py describes.

    A function of the user's own may return anything; ours are tested. XTuner's turns become
    messages here, so that its functions do as they are:

    >>> checked_return({'conversation': [{'input': 'Hi', 'output': 'Hello.'}]})['messages'][0]
    {'role': 'user', 'content': 'Hi'}

    Raises:
        UnusableRow: turns that hold nothing to learn from.
        DataError: it is of another form.
    """
    if isinstance(made, dict):
        if "conversation" in made and "messages" not in made:
            return cast(dict[str, Any], turns_map_fn(made))
        if isinstance(made.get("text"), str) or _are_tokens(made):
            return made
        parts = {key: made[key] for key in _PARTS if key in made}
        if isinstance(answers := made.get("answers"), list):
            parts |= {f"answers[{place}]": answer for place, answer in enumerate(answers)}
        if parts and all(map(_are_messages, parts.values())):
            for key, messages in parts.items():
                _require_text(messages, key)
            require_judgement(made)
            return made
    raise DataError(
        f"the function returns {str(made)[:100]!r}; it must return "
        "{'messages': [{'role': ..., 'content': ...}, ...]}, "
        "{'conversation': [{'input': ..., 'output': ...}, ...]} or {'text': '...'}"
    )


def _are_messages(value: object) -> bool:
    return isinstance(value, list) and all(
        isinstance(message, dict) and isinstance(message.get("role"), str) for message in value
    )


def _require_text(messages: list[dict[str, Any]], key: str) -> None:
    """Refuse a role that no template knows, and content that is no text."""
    for place, message in enumerate(messages):
        role, content = message["role"], message.get("content")
        if role not in ROLES:
            raise DataError(
                f"{key}[{place}] of what the function returns has the role {role!r}"
                f"{did_you_mean(role, ROLES) or ';'} allowed: {', '.join(ROLES)}"
            )
        if not isinstance(content, str | None):
            raise DataError(
                f"{key}[{place}]['content'] of what the function returns is {content!r}; it is a "
                "text"
            )


def _are_tokens(made: dict[str, Any]) -> bool:
    ids, trained = made.get("input_ids"), made.get("trained")
    return isinstance(ids, list) and isinstance(trained, list) and 0 < len(ids) == len(trained)


def noted_name(dataset: Mapping[str, Any], recognised: str) -> str:
    """Return what a data set's rows are read with, for notes; '' where that has no name.

    Args:
        dataset: of a config.
        recognised: what its report says of map_fn='auto'.
    """
    map_fn = dataset.get("map_fn")
    if isinstance(map_fn, Mapping):
        map_fn = map_fn.get("type")
    if map_fn == "auto":
        map_fn = recognised.partition(":")[0]
    return map_fn if isinstance(map_fn, str) else ""
