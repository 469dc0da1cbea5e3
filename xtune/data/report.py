"""`DataReport`: what became of the rows, from the file to the packs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from xtune.data.judged_report import JudgedCounts
from xtune.data.templates.unwritten import TOOL_PARTS
from xtune.data.unread import unread_lines

__all__ = ["DataReport", "SourceReport"]


@dataclass(slots=True)
class SourceReport:
    """What one source of a mixture gives.

    Attributes:
        name: its path or hub id.
        format: with map_fn='auto' the format that was chosen, and why.
        rows: rows read.
        kept: rows that made at least one sample.
        samples: documents that it has.
        shown: documents of it in an epoch, repetitions too.
        tokens: of an epoch.
        trained_tokens: of these, the ones that have a label.
    """

    name: str
    format: str
    rows: int
    kept: int
    samples: int
    shown: int
    tokens: int
    trained_tokens: int

    def line(self, trained_tokens: int) -> str:
        """For a reader; `trained_tokens` are those of the whole mixture."""
        share = 100 * self.trained_tokens / max(trained_tokens, 1)
        return (
            f"{self.name}: {self.rows:,} rows, {self.samples:,} samples shown "
            f"{self.shown / max(self.samples, 1):.2f} times an epoch, {share:.1f} % of the trained "
            "tokens" + (f"; {self.format}" if self.format else "")
        )


_COUNTS = (
    *("rows", "kept", "dropped", "cut", "samples", "groups", "tokens", "trained_tokens"),
    *("answers", "ended_answers", "dialogues", "special_text_rows"),
    *("unread", "unwritten", "default_system_rows", "empty_system_rows", "judged", "prompts"),
)


@dataclass(slots=True)
class DataReport:
    """Counts of one data set. No row vanishes: rows = kept + the sum of dropped.

    Attributes:
        rows: rows read.
        kept: rows that made at least one sample.
        dropped: rows by the reason why they made none.
        cut: what was cut because it was longer than max_length, by kind; see fit.py.
        samples: documents.
        groups: samples that belong together counted as one: pairs, rankings; see groups.py. As
            many as samples where each stands alone.
        tokens: of all samples.
        trained_tokens: of these, the ones that have a label.
        answers: unbroken stretches of trained tokens.
        ended_answers: of these, the ones whose end-of-turn token is trained.
        dialogues: kept rows that the template has rendered, neither text nor tokens.
        special_text_rows: rows whose own text holds a special token's text. In requests and results
            it is made plain (plain_text.py); in answers, system prompts and texts the tokenizer
            reads it as that token, as `apply_chat_template` does.
        unread: kept rows by what they hold in a key that the map_fn does not read: 'images', or
            'messages.mood' of an object inside; see unread.py.
        unwritten: kept rows by the part of them that the template does not write; see
            templates/unwritten.py.
        default_system: the system text that the template gives to a dialogue without one.
        default_system_rows: rows that got it.
        empty_system_rows: rows with an empty system message that was left out; see
            templates/default_system.py.
        tool_templates: where the template leaves out tools, those that fit the tokenizer and
            write them.
        judged: of answers that were judged: pairs, ties, lengths; see judged_report.py.
        prompts: rows that are prompts, whose answers the model writes itself; see prompts.py.
        recognised: with map_fn='auto' the format that was chosen, and why.
        template: its name.
        stop_words: the tokens that end an answer.
        packs: 0 when samples are not packed.
        pack_length: tokens that a pack has room for.
        sources: of a mixture, one by one; samples and tokens above are then those of an epoch,
            rows and answers those of all that was read.
    """

    rows: int = 0
    kept: int = 0
    dropped: Counter[str] = field(default_factory=Counter)
    cut: Counter[str] = field(default_factory=Counter)
    samples: int = 0
    groups: int = 0
    tokens: int = 0
    trained_tokens: int = 0
    answers: int = 0
    ended_answers: int = 0
    dialogues: int = 0
    special_text_rows: int = 0
    unread: Counter[str] = field(default_factory=Counter)
    unwritten: Counter[str] = field(default_factory=Counter)
    default_system: str = ""
    default_system_rows: int = 0
    empty_system_rows: int = 0
    tool_templates: tuple[str, ...] = ()
    judged: JudgedCounts = field(default_factory=JudgedCounts)
    prompts: int = 0
    recognised: str = ""
    template: str = ""
    stop_words: tuple[str, ...] = ()
    packs: int = 0
    pack_length: int = 0
    sources: list[SourceReport] = field(default_factory=list)

    def __str__(self) -> str:
        return "\n".join(self.lines())

    @property
    def trained_percent(self) -> float:
        """Trained tokens per hundred tokens."""
        return 100 * self.trained_tokens / max(self.tokens, 1)

    @property
    def fill(self) -> float:
        """The share of the packs' room that holds tokens, 0 to 1; 0 when not packed."""
        return self.tokens / max(self.packs * self.pack_length, 1) if self.packs else 0.0

    @property
    def failures(self) -> list[str]:
        """Why nothing good can be learnt from these data; empty if it can."""
        if self.prompts:
            return []  # the rewards say what is good
        if not self.trained_tokens:
            return ["no token is trained"]
        if not self.dialogues:
            return []  # text, or tokens: what ends it is its own affair
        if not self.stop_words:
            return [
                f"template {self.template!r} writes no end-of-turn token: a model trained so never "
                "stops. Name a registered template whose end token the tokenizer has "
                "(prompt_template='default' ends with its EOS), or correct its chat_template"
            ]
        if not self.ended_answers:
            return [f"the end-of-turn token {self.stop_words[0]!r} is never trained"]
        return []

    def lines(self) -> list[str]:
        """The report for a reader, line by line."""
        lines = [f"format    {self.recognised}"] if self.recognised else []
        lines += [f"source    {source.line(self.trained_tokens)}" for source in self.sources]
        lines.append(f"rows      {self.rows:,} read, {self.kept:,} kept")
        lines += [f"dropped   {count:,}: {why}" for why, count in self.dropped.most_common()]
        lines += [f"too long  {count:,}: {what}" for what, count in self.cut.most_common()]
        if self.prompts:
            lines.append(f"prompts   {self.prompts:,} of {self.tokens:,} tokens")
            return lines
        grouped = f" in {self.groups:,} groups" if 0 < self.groups < self.samples else ""
        lines.append(f"samples   {self.samples:,}{grouped}")
        lines += self.judged.lines()
        if self.packs:
            lines.append(
                f"packs     {self.packs:,} of {self.pack_length:,} tokens, "
                f"{100 * self.fill:.1f} % full"
            )
        lines.append(
            f"tokens    {self.tokens:,}, of which trained {self.trained_tokens:,} "
            f"({self.trained_percent:.1f} %)"
        )
        stop = " or ".join(map(repr, self.stop_words)) or "no token"
        unended = self.answers - self.ended_answers
        lines.append(
            f"answers   {self.answers:,}{' in all that was read' if self.sources else ''}, "
            f"ended by {stop}"
            + (f"; {unended:,} of them are NOT trained to end" if unended else " every time")
        )
        if self.special_text_rows:
            lines.append(
                f"note      {self.special_text_rows:,} rows hold the text of a special token: "
                "read as that token in answers and system prompts, made plain elsewhere"
            )
        lines += self.untrained_lines()
        if self.default_system_rows:
            short = self.default_system
            short = short if len(short) <= 80 else short[:79] + "…"
            lines.append(
                f"note      template {self.template!r} begins {self.default_system_rows:,} "
                f"dialogues without a system text with its own, {short!r}: SYSTEM='…' puts yours "
                "there, a row's own empty system message none"
            )
        if self.empty_system_rows:
            lines.append(
                f"note      {self.empty_system_rows:,} rows have an empty system message: left "
                f"out, as template {self.template!r} writes no text of its own for it to replace"
            )
        return lines + [f"FAILURE   {failure}" for failure in self.failures]

    def untrained_lines(self) -> list[str]:
        """Say what the rows hold that is not trained on, because nobody reads or writes it."""
        lines = [f"unread    {line}" for line in unread_lines(self.unread)]
        return lines + [
            f"unwritten {count:,}: {part}, which template {self.template!r} leaves out"
            + (f"; {self.tool_advice}" if part in TOOL_PARTS and self.tool_templates else "")
            for part, count in self.unwritten.most_common()
        ]

    @property
    def tool_advice(self) -> str:
        """Which templates write what this one leaves out of rows with tools."""
        return f"prompt_template = {' | '.join(self.tool_templates)} writes tools"

    def to_dict(self) -> dict[str, Any]:
        """All counts and what follows from them, for JSON."""
        return {
            **{name: getattr(self, name) for name in self.__slots__},
            "sources": [asdict(source) for source in self.sources],
            "judged": self.judged.to_dict(),
            "dropped": dict(self.dropped.most_common()),
            "cut": dict(self.cut.most_common()),
            "unread": dict(self.unread.most_common()),
            "unwritten": dict(self.unwritten.most_common()),
            "trained_percent": round(self.trained_percent, 3),
            "fill": round(self.fill, 4),
            "failures": self.failures,
        }

    @classmethod
    def sum_of(cls, reports: Sequence[DataReport]) -> DataReport:
        """Add the counts of several data sets that share a template."""
        first = reports[0]
        whole = cls(
            template=first.template,
            stop_words=first.stop_words,
            default_system=first.default_system,
            tool_templates=next((r.tool_templates for r in reports if r.tool_templates), ()),
        )
        for report in reports:
            for name in _COUNTS:
                setattr(whole, name, getattr(whole, name) + getattr(report, name))
        return whole

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> DataReport:
        """Read what `to_dict` wrote."""
        # A cache of before there were groups, and judged answers, does not tell of them
        told = {"groups": values["samples"], "judged": {}, "prompts": 0, **values}
        given = {name: told[name] for name in cls.__slots__}
        given["sources"] = [SourceReport(**source) for source in given["sources"]]
        given["judged"] = JudgedCounts.from_dict(given["judged"])
        for name in ("dropped", "cut", "unread", "unwritten"):
            given[name] = Counter(given[name])
        for name in ("stop_words", "tool_templates"):
            given[name] = tuple(given[name])
        return cls(**given)
