"""Lists as they are typed on a command line, `[q_proj,v_proj]` or `q_proj,v_proj`.

MMEngine's `--cfg-options` reads both as lists of words. Here they are where a list may stand, and
stay text where only text may.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from xtune.config.literals import Binding, find
from xtune.config.signatures import Form
from xtune.config.slots import Slot, form_of, plain, slots
from xtune.errors import RegistryError

__all__ = ["may_be_a_list", "typed_list"]

_QUOTED = r"'[^']*'|\"[^\"]*\""
_WORD = re.compile(rf"(?:{_QUOTED}|[^\s,'\"\[\](){{}}|]+)")


def typed_list(text: str, value_of: Callable[[str], Any]) -> list[Any] | None:
    """Read `[a, b]`, which may lie in each other, or `a,b`; None if the text is neither.

    >>> typed_list('[q_proj, "v_proj"]', lambda word: word.strip('"'))
    ['q_proj', 'v_proj']
    >>> typed_list('a,b', str), typed_list('one, two words', str), typed_list('[ab]c', str)
    (['a', 'b'], None, None)

    Args:
        text: what stands behind the `=`.
        value_of: an item's text to its value.
    """
    text = text.strip()
    if text.startswith("[") and text.endswith("]"):
        parts = list(_parts(text[1:-1]))
        if "".join(parts).count("[") != "".join(parts).count("]"):
            return None
        lists = [typed_list(part, value_of) if part.startswith("[") else None for part in parts]
        return [
            value_of(part) if inner is None else inner
            for part, inner in zip(parts, lists, strict=True)
        ]
    parts = list(_parts(text))
    if (
        len(parts) > 1
        and not re.search(r"\s", text)
        and all(_WORD.fullmatch(part) for part in parts)
    ):
        return None if Path(text).expanduser().exists() else [value_of(part) for part in parts]
    return None


def may_be_a_list(key: str, values: Mapping[str, Any], bindings: Sequence[Binding]) -> bool:
    """Whether a list may stand at a dotted key of a sheet: one does, or an argument takes one.

    Args:
        key: of an option, 'lora.target_modules' or 'data_path'.
        values: what the sheet sets.
        bindings: how: see `literals.top_level`.
    """
    *above, last = key.split(".")
    owner: Any = values
    for part in above:
        owner = owner.get(part) if isinstance(owner, Mapping) else None
    if not isinstance(owner, Mapping):
        return False
    if isinstance(owner.get(last), list | tuple):
        return True
    if above:
        form = form_of(values, owner)
        return form is not None and form.takes_list(last)
    return any(_flows_into(values, bindings, key))


def _flows_into(
    values: Mapping[str, Any], bindings: Sequence[Binding], knob: str
) -> Iterator[bool]:
    """For each argument whose value a knob is: whether it takes a list."""
    places: list[tuple[str, Any, Form | Slot]] = [(s.key, s.cfg, s) for s in slots(values)]
    places += plain(values)
    for place, cfg, form in places:
        for argument in cfg if isinstance(cfg, Mapping) else ():
            found = find(bindings, f"{place}.{argument}", through_last=True)
            if found is not None and knob in found.keys:  # noqa: SIM118
                try:
                    form = form.form() if isinstance(form, Slot) else form
                    yield form.takes_list(argument)
                except (RegistryError, KeyError):  # the check says so
                    yield False


def _parts(text: str) -> Iterator[str]:
    """Cut at the commas that lie in no quotes and no brackets."""
    depth, quote, start = 0, "", 0
    for place, letter in enumerate(text):
        if quote:
            quote = "" if letter == quote else quote
        elif letter in "'\"":
            quote = letter
        elif letter in "[({":
            depth += 1
        elif letter in "])}":
            depth -= 1
        elif letter == "," and depth == 0:
            yield text[start:place].strip()
            start = place + 1
    if text[start:].strip():
        yield text[start:].strip()
