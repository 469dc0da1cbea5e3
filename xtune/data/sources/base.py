"""Where rows come from: the protocol that every source follows."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol

__all__ = ["Source", "name_of_source", "why_empty"]


class Source(Protocol):
    """Raw rows, in a fixed order, that can be read again and again.

    A source whose data have splits takes `split: str` in its constructor; `open_source` passes
    the data set's split to it. Whatever can be found missing is found by the constructor.
    """

    def rows(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """Yield each row with where it stands ('data.jsonl:12'), for messages.

        Raises:
            DataError: the data cannot be read; names the file and the line or row.
        """
        ...

    def fingerprint(self) -> str:
        """Return a hash of the content: equal for two sources exactly when their rows are."""
        ...


def name_of_source(source: object) -> str:
    """Return what a source reads, for messages: 'a.jsonl and 2 more files', 'owner/name[train]'."""
    files = getattr(source, "files", None)
    if isinstance(files, list) and files:
        more = len(files) - 1
        others = f" and {more} more file{'s' if more > 1 else ''}" if more else ""
        return f"{files[0]}{others}"
    path, split = getattr(source, "path", None), getattr(source, "split", None)
    return f"{path}[{split}]" if path and split else str(path or type(source).__name__)


def why_empty(source: object) -> str:
    """Return why a source has no rows, as far as it can tell."""
    own = getattr(source, "why_empty", None)
    return str(own()) if callable(own) else f"{name_of_source(source)} has no rows"
