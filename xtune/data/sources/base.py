"""Where rows come from: the protocol that every source follows."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol

__all__ = ["Source"]


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
