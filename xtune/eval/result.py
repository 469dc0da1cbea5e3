"""What an evaluation found: rows, each right or wrong, and the rates they make."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, NamedTuple

__all__ = ["EvaluationResult", "EvaluationRow", "Share"]


class Share(NamedTuple):
    """So many of so many."""

    right: int
    total: int

    @property
    def rate(self) -> float | None:
        """The share as a number from 0 to 1; None of nothing."""
        return self.right / self.total if self.total else None

    def __str__(self) -> str:
        rate = self.rate
        return "none" if rate is None else f"{self.right} of {self.total} ({100 * rate:.0f} %)"


@dataclass(frozen=True, slots=True)
class EvaluationRow:
    """One request, what should be answered and what was.

    Attributes:
        request: the last message of the prompt.
        expected: the answer in the data.
        got: the model's.
        kind: of request, for the table.
        needs_call: whether a tool call is expected, rather than plain text.
        right: the expected call exactly; or no call where none is needed.
        parts: what else was measured of it, by name.
    """

    request: str
    expected: str
    got: str
    kind: str
    needs_call: bool
    right: bool
    parts: Mapping[str, bool] = field(default_factory=dict)


@dataclass(slots=True)
class EvaluationResult:
    """All rows of an evaluation, in the data's order, and how many unusable ones were skipped."""

    rows: list[EvaluationRow] = field(default_factory=list)
    skipped: int = 0

    @property
    def exact_calls(self) -> Share:
        """Of the requests that need a call: how many were answered by exactly that call."""
        return _share(row for row in self.rows if row.needs_call)

    @property
    def no_needless_calls(self) -> Share:
        """Of the requests that need no call: how many were answered without one."""
        return _share(row for row in self.rows if not row.needs_call)

    @property
    def by_kind(self) -> dict[str, Share]:
        """The share right of each kind, kinds in the order of their first row."""
        kinds = dict.fromkeys(row.kind for row in self.rows)
        return {kind: _share(row for row in self.rows if row.kind == kind) for kind in kinds}

    @property
    def measures(self) -> dict[str, Share]:
        """The share right of each part, of the rows that have it, in the order of the first."""
        parts = [part for row in self.rows for part in row.parts.items()]
        return {
            each: _share_of([ok for name, ok in parts if name == each])
            for each in dict.fromkeys(name for name, _ in parts)
        }

    def to_dict(self) -> dict[str, Any]:
        """Return rates, counts and rows as plain JSON values."""
        return {
            "exact_calls": _plain(self.exact_calls),
            "no_needless_calls": _plain(self.no_needless_calls),
            "by_kind": {kind: _plain(share) for kind, share in self.by_kind.items()},
            "skipped": self.skipped,
            "rows": [asdict(row) for row in self.rows],
        }


def _share(rows: Iterable[EvaluationRow]) -> Share:
    return _share_of([row.right for row in rows])


def _share_of(right: list[bool]) -> Share:
    return Share(sum(right), len(right))


def _plain(share: Share) -> dict[str, Any]:
    return {"right": share.right, "total": share.total, "rate": share.rate}
