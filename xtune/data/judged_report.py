"""`JudgedCounts`: what a data report says of pairs, rankings and judged answers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from itertools import combinations
from typing import Any

from xtune.data.judged import Judged
from xtune.structures import IGNORE_INDEX, Sample

__all__ = ["JudgedCounts"]

_SOURCES = 8  # shown


@dataclass(slots=True)
class JudgedCounts:
    """Counts of answers that were judged, over the rows that are kept.

    Attributes:
        pairs: two answers to one prompt, of which one is better, or as good by its soft label.
        ties: pairs of answers that are equally good: those of equal rank make no pair, those of
            soft label 0.5 are among `pairs`.
        with_margin: pairs whose answers differ in `score`.
        with_soft_label: pairs that are not sure; rows with such, where answers are judged alone.
        chosen_tokens: trained tokens of the better answers of all pairs.
        rejected_tokens: of the worse ones.
        longer: pairs whose better answer has more tokens.
        shorter: pairs whose better answer has fewer.
        chosen_begins: pairs whose better answer's text is the beginning of the worse one's.
        rejected_begins: the other way round.
        good: answers that were judged alone, and are good.
        bad: others.
        left_out: answers of kept rows that are no sample, by reason.
        forms: rows by how the prompt was found; see `Preference`.
        sources: rows by where they come from.
    """

    pairs: int = 0
    ties: int = 0
    with_margin: int = 0
    with_soft_label: int = 0
    chosen_tokens: int = 0
    rejected_tokens: int = 0
    longer: int = 0
    shorter: int = 0
    chosen_begins: int = 0
    rejected_begins: int = 0
    good: int = 0
    bad: int = 0
    left_out: Counter[str] = field(default_factory=Counter)
    forms: Counter[str] = field(default_factory=Counter)
    sources: Counter[str] = field(default_factory=Counter)

    def __add__(self, other: JudgedCounts) -> JudgedCounts:
        both = {
            one.name: getattr(self, one.name) + getattr(other, one.name) for one in fields(self)
        }
        return JudgedCounts(**both)

    @property
    def length_ratio(self) -> float:
        """Tokens of the better answers over those of the worse ones; 0 where there are no pairs."""
        return self.chosen_tokens / max(self.rejected_tokens, 1)

    def count_row(self, made: Mapping[str, Any]) -> None:
        """Count a kept row by its form and source."""
        if "form" in made:
            self.forms[made["form"]] += 1
        if "source" in made:
            self.sources[made["source"]] += 1

    def count(self, answers: Sequence[tuple[Judged, Sample]]) -> None:
        """Count the answers to one prompt, or one that was judged alone.

        Args:
            answers: each with its sample, the best first.
        """
        places = [
            sample.per_document.get("rank", place) for place, (_, sample) in enumerate(answers)
        ]
        for place, (better, worse) in zip(
            combinations(places, 2), combinations(answers, 2), strict=True
        ):
            if place[0] == place[1]:
                self.ties += 1
            else:
                self._count_pair(*better, *worse)
        for _, sample in answers:
            if (desirable := sample.per_document.get("desirable")) is not None:
                self.good += desirable == 1
                self.bad += desirable == 0

    def _count_pair(self, better: Judged, chosen: Sample, worse: Judged, rejected: Sample) -> None:
        lengths = [int((one.labels != IGNORE_INDEX).sum()) for one in (chosen, rejected)]
        numbers = chosen.per_document, rejected.per_document
        self.pairs += 1
        self.chosen_tokens += lengths[0]
        self.rejected_tokens += lengths[1]
        self.longer += lengths[0] > lengths[1]
        self.shorter += lengths[0] < lengths[1]
        self.with_margin += len({one.get("score", 0) for one in numbers}) > 1
        soft = numbers[0].get("soft_label", 1)
        self.with_soft_label += soft < 1
        self.ties += soft == 0.5
        if better.text != worse.text:
            self.chosen_begins += worse.text.startswith(better.text)
            self.rejected_begins += better.text.startswith(worse.text)

    def lines(self) -> Iterator[str]:
        """Say it to a reader; nothing where no answer was judged."""
        if self.pairs:
            more = [
                f"{count:,} {what}"
                for count, what in (
                    (self.with_margin, "with a margin"),
                    (self.with_soft_label, "with a soft label"),
                    (self.ties, "ties"),
                )
                if count
            ]
            yield f"pairs     {', '.join([f'{self.pairs:,}', *more])}"
            each = 1 / self.pairs
            yield (
                f"lengths   chosen {self.chosen_tokens * each:,.1f} tokens, rejected "
                f"{self.rejected_tokens * each:,.1f}: ratio {self.length_ratio:.2f}; the chosen "
                f"one is longer in {100 * self.longer * each:.0f} % of the pairs, shorter in "
                f"{100 * self.shorter * each:.0f} %"
            )
        if self.good or self.bad:
            yield f"judged    {self.good:,} good answers, {self.bad:,} bad ones"
            if self.with_soft_label:
                yield (
                    f"note      {self.with_soft_label:,} rows have a soft label, which answers "
                    "that are judged alone do not use: each is taken as certain"
                )
        for count, which, other in (
            (self.chosen_begins, "chosen", "rejected"),
            (self.rejected_begins, "rejected", "chosen"),
        ):
            if count:
                yield f"note      {count:,} pairs: the {which} answer is how the {other} one begins"
        for reason, count in self.left_out.most_common():
            yield f"left out  {count:,} answers of rows that are kept: {reason}"
        if self.sources:
            told = [f"{name} {count:,}" for name, count in self.sources.most_common(_SOURCES)]
            rest = len(self.sources) - len(told)
            yield f"from      {', '.join(told)}{f' and {rest:,} more' if rest else ''}"
        for form, count in self.forms.most_common():
            yield f"prompt    {count:,} rows: {form}"

    def to_dict(self) -> dict[str, Any]:
        """All counts, for JSON."""
        values = {one.name: getattr(self, one.name) for one in fields(self)}
        return {
            name: dict(value.most_common()) if isinstance(value, Counter) else value
            for name, value in values.items()
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> JudgedCounts:
        """Read what `to_dict` wrote."""
        read: dict[str, Any] = {
            name: Counter(value) if isinstance(value, Mapping) else value
            for name, value in values.items()
        }
        return cls(**read)
