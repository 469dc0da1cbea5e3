"""Rows to samples, in the order of the data's way: source, map_fn, template, tokenizer, fit."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from xtune.data.fit import fit
from xtune.data.judged_samples import JudgedSamples
from xtune.data.loss_weights import Kind, LossWeights
from xtune.data.map_fns.base import MapFn, UnusableRow, require_unicode
from xtune.data.plain_text import PlainText
from xtune.data.recognise import look_of, other_choice
from xtune.data.report import DataReport
from xtune.data.row_reading import JUDGED, Makes, Mismatch, RowReading, reading_of
from xtune.data.sources.base import Source, name_of_source, why_empty
from xtune.data.templates.base import Template, tool_templates
from xtune.data.templates.default_system import without_empty_system
from xtune.data.templates.end_of_turn import special_tokens
from xtune.data.templates.unwritten import TOOL_PARTS
from xtune.data.tokenize import Encoder, sample_of
from xtune.errors import DataError, TemplateError
from xtune.structures import IGNORE_INDEX, Conversation, Message, Sample, Span

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

__all__ = ["NothingUsable", "Pipeline", "begun_with"]

_CHUNK = 1024  # rows; two chunks are in memory at once


class NothingUsable(DataError):
    """No row of all that were read makes a sample."""


class _Dialogue(NamedTuple):
    conversation: Conversation
    samples: list[list[Span]]
    has_special_text: bool = False  # the row's own text holds the text of a special token
    tokenized: Sample | None = None  # in place of samples, for a row that is tokens already
    lost_empty_system: bool = False


class _Rendered(NamedTuple):
    reading: RowReading
    dialogues: list[_Dialogue]  # of each that the row holds
    unread: tuple[str, ...]  # keys of the row that its function and the template do not read


class Pipeline:
    """Reads a source once and makes samples of it, chunk by chunk.

    Attributes:
        report: counts; whole when `chunks` has been read to its end.

    Args:
        source: the rows.
        map_fn: row to Conversation, or to a Preference, Ranking or UnpairedPreference.
        template: Conversation to text.
        tokenizer: text to ids.
        system: put before every dialogue that does not begin with a system message.
        max_length: tokens of the longest sample that may be made, or of the longest group.
        max_rows: read no more than this; None for all.
        makes: what a row is to become; see row_reading.py.
        loss_weights: of thoughts, calls and answers; see loss_weights.py.
    """

    def __init__(
        self,
        source: Source,
        map_fn: MapFn,
        template: Template,
        tokenizer: PreTrainedTokenizerBase,
        *,
        system: str = "",
        max_length: int,
        max_rows: int | None,
        makes: Makes = "dialogues",
        loss_weights: Mapping[Kind, float] | None = None,
    ) -> None:
        self.report = DataReport(template=template.name, stop_words=template.stop_words)
        self._source = source
        self._map_fn = map_fn
        self._makes = makes
        self._template = template
        self._unwritten = template.unwritten
        self.report.default_system = self._unwritten.default_system
        self._weigh = LossWeights(loss_weights or {}, template) or None
        self._encode = Encoder(tokenizer, weigh=self._weigh)
        self._system = system
        self._max_length = max_length
        self._judged: JudgedSamples | None = None
        if makes in JUDGED:
            self._judged = JudgedSamples(
                self.report, template, self._encode, makes=makes, max_length=max_length
            )
        self._max_rows = max_rows
        self._tokenizer = tokenizer
        self._vocabulary = len(tokenizer)
        self._plain = PlainText(tokenizer, template.source)
        special = special_tokens(tokenizer)
        self._special_text = re.compile("|".join(map(re.escape, special)) or "(?!)")
        self._end_ids = np.array(tokenizer.convert_tokens_to_ids(list(template.end_tokens)))

    def chunks(self) -> Iterator[list[Sample]]:
        """Yield the samples.

        One thread renders a chunk while another tokenises the one before: the first is Python,
        the second is not.

        Raises:
            DataError: a row lacks a field that the map_fn reads, or all rows together make no
                sample; says where, or why by reason.
        """
        rows = islice(self._source.rows(), self._max_rows)
        with ThreadPoolExecutor(max_workers=1) as tokenising:
            before: Future[list[Sample]] | None = None
            while chunk := list(islice(rows, _CHUNK)):
                rendered = [self._render(where, row) for where, row in chunk]
                if before is not None:
                    yield before.result()
                before = tokenising.submit(self._samples_of, rendered)
            if before is not None:
                yield before.result()
        lost = [*self.report.unwritten, *self.report.dropped]
        if any(part in what for what in lost for part in TOOL_PARTS):
            self.report.tool_templates = tool_templates(self._tokenizer)
        if not self.report.samples:
            raise NothingUsable(self._nothing_left())

    def by_row(self) -> Iterator[tuple[str, RowReading, list[Sample]]]:
        """Yield where each row that can be used is, what it holds, and its samples.

        Raises:
            DataError: as of `chunks`.
        """
        for where, row in islice(self._source.rows(), self._max_rows):
            rendered = self._render(where, row)
            samples = self._samples_of([rendered])
            if samples and isinstance(rendered, _Rendered):
                yield where, rendered.reading, samples
        if not self.report.samples:
            raise NothingUsable(self._nothing_left())

    def _nothing_left(self) -> str:
        report = self.report
        if not report.rows:
            none = f"max_rows={self._max_rows} leaves none of {name_of_source(self._source)}"
            return (
                f"the data set is empty: {none if self._max_rows == 0 else why_empty(self._source)}"
            )
        reasons = "; ".join(f"{count:,} {why}" for why, count in report.dropped.most_common())
        rows = "the one row" if report.rows == 1 else f"the {report.rows:,} rows"
        other = other_choice(self._source.rows(), self._map_fn)
        advice = f" (map_fn={other.format.name!r} reads them)" if other else ""
        return (
            f"no sample can be made of {rows} of {name_of_source(self._source)}: {reasons}. "
            f"Check map_fn{advice}, prompt_template and max_length"
            + (f"; {report.tool_advice}" if report.tool_templates else "")
        )

    def _render(self, where: str, row: dict[str, Any]) -> _Rendered | UnusableRow:
        try:
            reading = self._reading(where, row)
            unread = reading.unread
            dialogues = []
            for conversation in reading.dialogues:
                if unread:
                    unread = _unread_by(self._template.source, conversation, unread)
                dialogues.append(self._dialogue(where, conversation))
        except UnusableRow as unusable:
            return unusable
        except TemplateError as error:
            raise TemplateError(f"{where}: {error}") from error
        return _Rendered(reading, dialogues, unread)

    def _dialogue(self, where: str, conversation: Conversation) -> _Dialogue:
        conversation = begun_with(self._system, conversation)
        if self._weigh is not None:
            _require_answers(conversation, where)
        if "input_ids" in conversation:
            tokenized = self._tokenized(conversation, where)
            return _Dialogue(conversation, [], tokenized=tokenized)
        special_text = any(map(self._special_text.search, _texts(conversation)))
        lost_empty_system = False
        if "messages" in conversation:
            written = conversation["messages"]
            messages = without_empty_system(written, lambda: self._unwritten.default_system)
            lost_empty_system = len(messages) < len(written)
            conversation = {**conversation, "messages": self._plain(messages)}
        samples = self._template.samples_of(conversation)
        for spans in samples:
            for span in spans:
                require_unicode(span.text)
        return _Dialogue(conversation, samples, special_text, lost_empty_system=lost_empty_system)

    def _reading(self, where: str, row: dict[str, Any]) -> RowReading:
        try:
            return reading_of(row, self._map_fn, where=where, makes=self._makes)
        except Mismatch as error:
            look = look_of(self._source.rows(), self._map_fn)
            raise DataError(f"{error}\n{look}") from error

    def _tokenized(self, conversation: Conversation, where: str) -> Sample:
        ids = conversation["input_ids"]
        if not 0 <= min(ids) <= max(ids) < self._vocabulary:
            raise DataError(
                f"{where}: tokens {min(ids)} to {max(ids)}, but this tokenizer has 0 to "
                f"{self._vocabulary - 1}: they were made with another one"
            )
        return sample_of(np.array(ids, dtype=np.int32), np.array(conversation["trained"]))

    def _samples_of(self, rows: list[_Rendered | UnusableRow]) -> list[Sample]:
        read = [row for row in rows if isinstance(row, _Rendered)]
        encoded = iter(self._encode([s for row in read for d in row.dialogues for s in d.samples]))
        kept: list[Sample] = []
        for row in rows:
            self.report.rows += 1
            try:
                if isinstance(row, UnusableRow):
                    raise row
                made = [_made_of(dialogue, encoded) for dialogue in row.dialogues]
                conversations = [dialogue.conversation for dialogue in row.dialogues]
                if self._judged is None:
                    kept += self._alone(conversations[0], made[0])
                else:
                    kept += self._judged(row.reading, conversations, made)
            except UnusableRow as unusable:
                self.report.dropped[unusable.reason] += 1
            else:
                self._count_row(row)
        self._count(kept)
        return kept

    def _count_row(self, row: _Rendered) -> None:
        report, dialogues = self.report, row.dialogues
        report.kept += 1
        report.dialogues += "messages" in dialogues[0].conversation
        report.special_text_rows += any(one.has_special_text for one in dialogues)
        report.empty_system_rows += any(one.lost_empty_system for one in dialogues)
        report.unread.update(row.unread)
        with_messages = [d.conversation for d in dialogues if d.conversation.get("messages")]
        report.unwritten.update(set[str]().union(*map(self._unwritten.of, with_messages)))
        if with_messages and report.default_system:
            report.default_system_rows += with_messages[0]["messages"][0]["role"] != "system"

    def _alone(self, conversation: Conversation, samples: list[Sample]) -> list[Sample]:
        """The samples of a row's one dialogue."""
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
        return [sample for sample in samples if len(sample)]

    def _count(self, samples: list[Sample]) -> None:
        if not samples:
            return
        ids = np.concatenate([sample.input_ids for sample in samples])
        trained = np.concatenate([sample.labels for sample in samples]) != IGNORE_INDEX
        # The first token of a sample is never trained: what ends a sample ends its answer.
        ends = trained & ~np.append(trained[1:], False)
        report = self.report
        report.samples += len(samples)
        report.groups += sum(not sample.per_document.get("side") for sample in samples)
        report.tokens += len(ids)
        report.trained_tokens += int(trained.sum())
        report.answers += int(ends.sum())
        report.ended_answers += int(np.isin(ids[ends], self._end_ids).sum())


def _made_of(dialogue: _Dialogue, encoded: Iterator[Sample]) -> list[Sample]:
    if dialogue.tokenized is not None:
        return [dialogue.tokenized]
    return list(islice(encoded, len(dialogue.samples)))


def _unread_by(jinja: str, conversation: Conversation, unread: tuple[str, ...]) -> tuple[str, ...]:
    """What is left where a function hands messages on with keys that the template asks for."""
    messages = conversation.get("messages", ())
    own = {key for message in messages for key in message} - Message.__annotations__.keys()
    handed_on = {f"messages.{key}" for key in own if key in jinja}
    return tuple(key for key in unread if key not in handed_on)


def _require_answers(conversation: Conversation, where: str) -> None:
    if "messages" not in conversation or conversation.get("train_on_inputs"):
        raise DataError(
            f"{where}: loss_weights are of answers, and of this row more is trained: it is plain "
            "text, tokens, or has train_on_inputs. Leave loss_weights out, or name a map_fn that "
            "makes dialogues"
        )


def begun_with(system: str, conversation: Conversation) -> Conversation:
    """Return a dialogue that begins with a system message: its own, or else this one.

    Args:
        system: the text; '' for none.
        conversation: with messages, or it comes back as it is.
    """
    messages = conversation.get("messages")
    if not system or not messages:
        return conversation
    if messages[0]["role"] == "system":
        if messages[0]["content"]:
            return conversation
        messages = messages[1:]  # an empty one gives way to what the config says
    return {**conversation, "messages": [{"role": "system", "content": system}, *messages]}


def _texts(conversation: Conversation) -> Iterator[str]:
    if "text" in conversation:
        yield conversation["text"]
    for message in conversation.get("messages", ()):
        yield message.get("content") or ""
