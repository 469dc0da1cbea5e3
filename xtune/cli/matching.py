"""What a pattern means: part of a name, however its parts are joined; and names near to it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from difflib import get_close_matches

__all__ = ["matches", "nothing_matches"]


def matches(pattern: str, texts: Iterable[str]) -> bool:
    """Whether a text contains the pattern, case and the signs between words left out.

    Args:
        pattern: as it is typed.
        texts: names and descriptions.

    >>> matches('Llama-2-7B', ['llama2_7b_qlora_alpaca']), matches('qwen', ['llama2_7b'])
    (True, False)
    """
    wanted = _bare(pattern)
    return any(pattern.lower() in text.lower() or wanted in _bare(text) for text in texts) and (
        bool(wanted) or not pattern.strip()
    )


def nothing_matches(what: str, pattern: str, names: Mapping[str, Iterable[str]], all_: str) -> str:
    """Return what to say where no name matches.

    Args:
        what: what is listed: 'config'.
        pattern: what was looked for.
        names: name -> the texts that are searched for it.
        all_: the command that lists them all.
    """
    words = {_bare(name): name for name in names}
    for name, texts in names.items():
        for text in (name, *texts):
            for part in re.split(r"[^a-z0-9.]+", text.lower()):
                words.setdefault(_bare(part), name)
    near = [words[word] for word in get_close_matches(_bare(pattern), words, n=4, cutoff=0.6)]
    listed = ", ".join(dict.fromkeys(near))
    return f"no {what} matches {pattern!r}{listed and f'; near: {listed}'}. All: {all_}"


def _bare(text: str) -> str:
    return re.sub(r"[\W_]+", "", text.lower())
