"""`JudgedSamples`: the answers of a row that were judged, as samples.

    makes       of a row
    pairs       one group: its answers to one prompt, the best first, cut as one
    unpaired    each answer by itself

What a row says of its answers becomes vectors of their documents. An answer of the same tokens as a
better one to the same prompt is left out, for nobody can learn which of the two is better; a row
that has no pair left, or is too long with its answers whole, is unusable.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from xtune.data.fit import fit_group
from xtune.data.groups import as_group
from xtune.data.judged import Judged
from xtune.data.map_fns.base import UnusableRow
from xtune.data.report import DataReport
from xtune.data.row_reading import Makes, RowReading
from xtune.data.templates.base import Template
from xtune.data.tokenize import Encoder
from xtune.structures import Conversation, Sample

__all__ = ["JudgedSamples"]

_REPEATED = "the same tokens as a better answer"


class JudgedSamples:
    """Makes the samples of rows, one by one.

    Args:
        report: told what the rows hold.
        template: renders the turns that are left when others are cut.
        encode: tokenises them.
        makes: 'pairs' or 'unpaired'; see above.
        max_length: tokens of a group.
    """

    def __init__(
        self,
        report: DataReport,
        template: Template,
        encode: Encoder,
        *,
        makes: Makes,
        max_length: int,
    ) -> None:
        self._report = report
        self._template = template
        self._encode = encode
        self._makes = makes
        self._max_length = max_length

    def __call__(
        self,
        reading: RowReading,
        conversations: Sequence[Conversation],
        made: Sequence[Sequence[Sample]],
    ) -> list[Sample]:
        """Return the samples of a row, and count them.

        Args:
            reading: of the row.
            conversations: its dialogues as they were rendered, one for each answer.
            made: the samples that the template made of each.

        Raises:
            UnusableRow: none can be learnt from.
        """
        judged = [
            answer._replace(conversation=rendered)
            for answer, rendered in zip(reading.judged, conversations, strict=True)
        ]
        samples = [_only(each) for each in made]
        left_out = Counter(reading.left_out)
        if self._makes == "pairs":
            groups = [self._together(judged, samples, left_out)]
        else:
            groups = self._each(judged, samples, left_out)
        counts = self._report.judged
        for answers in groups:
            counts.count(answers)
        counts.count_row(reading.made)
        if self._makes == "unpaired":
            counts.with_soft_label += reading.made.get("soft_label", 1) < 1
        counts.left_out.update(left_out)
        return [sample for answers in groups for _, sample in answers]

    def _together(
        self, judged: list[Judged], samples: list[Sample], left_out: Counter[str]
    ) -> list[tuple[Judged, Sample]]:
        """The answers as one group."""
        first = {sample.input_ids.tobytes(): n for n, sample in reversed([*enumerate(samples)])}
        kept = sorted(first.values())
        if len({judged[n].numbers.get("rank", n) for n in kept}) < 2:
            raise UnusableRow("chosen and rejected are the same tokens")
        if repeated := len(samples) - len(kept):
            left_out[_REPEATED] += repeated
        fitted = self._fitted([judged[n] for n in kept], [samples[n] for n in kept])
        numbered = as_group([sample for _, sample in fitted])
        return [(answer, sample) for (answer, _), sample in zip(fitted, numbered, strict=True)]

    def _each(
        self, judged: list[Judged], samples: list[Sample], left_out: Counter[str]
    ) -> list[list[tuple[Judged, Sample]]]:
        """The answers, each a group by itself; those that cannot be used are left out."""
        kept: list[list[tuple[Judged, Sample]]] = []
        lost: list[UnusableRow] = []
        for answer, sample in zip(judged, samples, strict=True):
            try:
                kept.append(self._fitted([answer], [sample]))
            except UnusableRow as unusable:
                lost.append(unusable)
        if not kept:
            raise lost[0]
        left_out.update(unusable.reason for unusable in lost)
        return kept

    def _fitted(self, judged: list[Judged], samples: list[Sample]) -> list[tuple[Judged, Sample]]:
        """Dialogues that begin alike, cut as one, with what the data say of their answers."""
        fitted = fit_group(
            [answer.conversation for answer in judged],
            samples,
            template=self._template,
            encode=self._encode,
            max_length=self._max_length,
            cut=self._report.cut,
        )
        return [
            (answer, replace(sample, per_document=dict(answer.numbers)))
            for answer, sample in zip(judged, fitted, strict=True)
        ]


def _only(samples: Sequence[Sample]) -> Sample:
    """The one sample of a dialogue."""
    if not samples or not all(map(len, samples)):
        raise UnusableRow("no trained answer")
    if len(samples) > 1:
        raise UnusableRow("the template cannot write an answer of several messages as one text")
    return samples[0]
