"""Rows to samples, in the order of the data's way: source, map_fn, template, tokenizer, fit."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np

from xtune.data.fit import fit
from xtune.data.map_fns.base import MapFn, UnusableRow
from xtune.data.report import DataReport
from xtune.data.sources.base import Source
from xtune.data.templates.base import Template
from xtune.data.templates.end_of_turn import special_tokens
from xtune.data.tokenize import Encoder
from xtune.errors import DataError, TemplateError
from xtune.structures import IGNORE_INDEX, Conversation, Sample, Span

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

__all__ = ["Pipeline"]

_CHUNK = 1024  # rows that are in memory at once


class Pipeline:
    """Reads a source once and makes samples of it, chunk by chunk.

    Attributes:
        report: counts; whole when `chunks` has been read to its end.

    Args:
        source: the rows.
        map_fn: row to Conversation.
        template: Conversation to text.
        tokenizer: text to ids.
        max_length: tokens of the longest sample that may be made.
        max_rows: read no more than this; None for all.
    """

    def __init__(
        self,
        source: Source,
        map_fn: MapFn,
        template: Template,
        tokenizer: PreTrainedTokenizerBase,
        *,
        max_length: int,
        max_rows: int | None,
    ) -> None:
        self.report = DataReport(template=template.name, stop_words=template.stop_words)
        self._source = source
        self._map_fn = map_fn
        self._template = template
        self._encode = Encoder(tokenizer)
        self._max_length = max_length
        self._max_rows = max_rows
        special = special_tokens(tokenizer)
        self._special_text = re.compile("|".join(map(re.escape, special)) or "(?!)")
        self._end_ids = np.array(tokenizer.convert_tokens_to_ids(list(template.end_tokens)))

    def chunks(self) -> Iterator[list[Sample]]:
        """Yield the samples.

        Raises:
            DataError: a row lacks a field that the map_fn reads, or all rows together make no
                sample; says where, or why by reason.
        """
        rows = islice(self._source.rows(), self._max_rows)
        while chunk := list(islice(rows, _CHUNK)):
            yield self._samples_of(chunk)
        if not self.report.samples:
            raise DataError(_nothing_left(self.report))

    def _samples_of(self, rows: list[tuple[str, dict[str, Any]]]) -> list[Sample]:
        rendered: list[tuple[Conversation, list[list[Span]]]] = []
        for where, row in rows:
            self.report.rows += 1
            try:
                rendered.append(self._render(where, row))
            except UnusableRow as unusable:
                self.report.dropped[unusable.reason] += 1
        encoded = iter(self._encode([spans for _, samples in rendered for spans in samples]))
        kept: list[Sample] = []
        for conversation, spans in rendered:
            try:
                kept += self._fitted(conversation, list(islice(encoded, len(spans))))
            except UnusableRow as unusable:
                self.report.dropped[unusable.reason] += 1
        return kept

    def _render(self, where: str, row: dict[str, Any]) -> tuple[Conversation, list[list[Span]]]:
        conversation = _conversation(self._map_fn, where, row)
        try:
            samples = self._template.samples_of(conversation)
        except UnusableRow:
            raise
        except TemplateError as error:
            raise TemplateError(f"{where}: {error}") from error
        for spans in samples:
            for span in spans:
                _require_unicode(span.text)
        if any(map(self._special_text.search, _texts(conversation))):
            self.report.special_text_rows += 1
        return conversation, samples

    def _fitted(self, conversation: Conversation, samples: list[Sample]) -> list[Sample]:
        if not any(len(sample) for sample in samples):
            raise UnusableRow("no trained answer")
        samples = fit(
            conversation,
            samples,
            template=self._template,
            encode=self._encode,
            max_length=self._max_length,
            cut=self.report.cut,
        )
        self.report.kept += 1
        for sample in samples:
            self._count(sample)
        return samples

    def _count(self, sample: Sample) -> None:
        trained = sample.labels != IGNORE_INDEX
        ends = trained & ~np.append(trained[1:], False)
        report = self.report
        report.samples += 1
        report.tokens += len(sample)
        report.trained_tokens += int(trained.sum())
        report.answers += int(ends.sum())
        report.ended_answers += int(np.isin(sample.input_ids[ends], self._end_ids).sum())


def _conversation(map_fn: MapFn, where: str, row: dict[str, Any]) -> Conversation:
    name = getattr(map_fn, "__name__", repr(map_fn))
    try:
        conversation = map_fn(row)
    except UnusableRow:
        raise
    except DataError as error:
        raise DataError(f"{where}: map_fn {name!r}: {error}") from error
    except Exception as error:  # a user's own function may fail in any way
        fields = ", ".join(map(repr, row)) or "none"
        raise DataError(
            f"{where}: map_fn {name!r} fails with {type(error).__name__}: {error}. "
            f"Fields of the row: {fields}"
        ) from error
    if isinstance(conversation, dict) and ("messages" in conversation or "text" in conversation):
        return conversation
    raise DataError(
        f"{where}: map_fn {name!r} returns {type(conversation).__name__} "
        f"{str(conversation)[:80]!r}; it must return {{'messages': [...]}} or {{'text': '...'}}"
    )


def _texts(conversation: Conversation) -> Iterator[str]:
    if "text" in conversation:
        yield conversation["text"]
    for message in conversation.get("messages", ()):
        yield message.get("content") or ""


def _require_unicode(text: str) -> None:
    # A broken escape in JSON ("\\ud83d" alone) makes a string that no tokenizer takes.
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError as error:
            raise UnusableRow("half a surrogate pair, which is no character") from error


def _nothing_left(report: DataReport) -> str:
    if not report.rows:
        return "the data set is empty: its source has no rows"
    reasons = "; ".join(f"{count:,} {why}" for why, count in report.dropped.most_common())
    return (
        f"no sample can be made of {report.rows:,} rows: {reasons}. "
        "Check map_fn, prompt_template and max_length"
    )
