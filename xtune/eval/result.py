"""What an evaluation found: rows, each right or wrong, and the rates they make."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, NamedTuple

from xtune.eval.loss_curve import LossCurve

__all__ = ["EvaluationResult", "EvaluationRow", "Report", "Share"]


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
        checks: what `right` is made of, by name, where it is more than one thing.
        needless: calls that were made beyond the expected ones.
    """

    request: str
    expected: str
    got: str
    kind: str
    needs_call: bool
    right: bool
    checks: Mapping[str, bool] = field(default_factory=dict)
    needless: int = 0


@dataclass(slots=True)
class EvaluationResult:
    """All rows of an evaluation, in the data's order, and how many unusable ones were skipped."""

    rows: list[EvaluationRow] = field(default_factory=list)
    skipped: int = 0

    @property
    def exact_calls(self) -> Share:
        """How many of the requests that need a call were answered by exactly that call."""
        return _share(row for row in self.rows if row.needs_call)

    @property
    def no_needless_calls(self) -> Share:
        """How many of the requests that need no call were answered without one."""
        return _share(row for row in self.rows if not row.needs_call)

    @property
    def checks(self) -> list[str]:
        """The names of what `right` is made of, in order; none where it is one thing."""
        return list(dict.fromkeys(name for row in self.rows for name in row.checks))

    @property
    def checked_kinds(self) -> list[str]:
        """The kinds that have checks: not those that need no call."""
        return list(dict.fromkeys(row.kind for row in self.rows if row.checks))

    @property
    def needless(self) -> int:
        """How many calls were made beyond the expected ones."""
        return sum(row.needless for row in self.rows)

    def check(self, name: str, kind: str | None = None) -> Share:
        """How many rows pass a check, out of those that have it: all, or those of a kind.

        Args:
            name: of the check.
            kind: of the rows; None for all.
        """
        passed = [
            row.checks[name] for row in self.rows if kind in (None, row.kind) and name in row.checks
        ]
        return Share(sum(passed), len(passed))

    @property
    def by_kind(self) -> dict[str, Share]:
        """The share right of each kind, kinds in the order of their first row."""
        kinds = dict.fromkeys(row.kind for row in self.rows)
        return {kind: _share(row for row in self.rows if row.kind == kind) for kind in kinds}

    def to_dict(self) -> dict[str, Any]:
        """Return rates, counts and rows as plain JSON values."""
        return {
            "exact_calls": _plain(self.exact_calls),
            "no_needless_calls": _plain(self.no_needless_calls),
            "by_kind": {kind: _plain(share) for kind, share in self.by_kind.items()},
            "checks": {
                kind: {name: _plain(self.check(name, kind)) for name in self.checks}
                for kind in self.checked_kinds
            },
            "needless_calls": self.needless,
            "skipped": self.skipped,
            "rows": [asdict(row) for row in self.rows],
        }


def _share(rows: Iterable[EvaluationRow]) -> Share:
    right = [row.right for row in rows]
    return Share(sum(right), len(right))


def _plain(share: Share) -> dict[str, Any]:
    return {"right": share.right, "total": share.total, "rate": share.rate}


@dataclass(frozen=True, slots=True)
class Report:
    """The same requests before and after training.

    Attributes:
        title: of the page.
        model: the model that was trained.
        trained: the adapter or model folder that the training made.
        date: when this was measured.
        before: of the untouched model.
        after: with what was trained.
        curve: the run's losses.
    """

    title: str
    model: str
    trained: str
    date: str
    before: EvaluationResult
    after: EvaluationResult
    curve: LossCurve

    @property
    def totals(self) -> list[tuple[str, Share, Share]]:
        """Name, before and after of each rate over all kinds; those that count no row left out."""
        both = [
            ("exact calls", self.before.exact_calls, self.after.exact_calls),
            ("no needless call", self.before.no_needless_calls, self.after.no_needless_calls),
        ]
        return [each for each in both if each[2].total]
