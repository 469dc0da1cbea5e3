"""`PromptDataset`: prompts, to each of which the model that is trained writes answers of its own.

    row                                            prompt               expected
    {messages: [user, assistant]}                  user                 assistant
    {prompt: [user]}                               user
    {prompt, chosen, rejected}                     prompt               chosen

What judges an answer is given the raw row too: a number, tests, a label.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING, Any, ClassVar, cast

import numpy as np

from xtune.data.formats import kind_of
from xtune.data.groups import bounds_of
from xtune.data.judged import answers_of
from xtune.data.loader import StepLoader
from xtune.data.map_fns import MapFn
from xtune.data.map_fns.base import UnusableRow
from xtune.data.map_fns.build import name_of
from xtune.data.mixture import Share, choose, shares_of
from xtune.data.packs import Packs
from xtune.data.pipeline import begun_with
from xtune.data.plain_text import PlainText
from xtune.data.recognise import map_fn_for
from xtune.data.report import DataReport
from xtune.data.row_reading import Makes, made_of
from xtune.data.sources import open_source
from xtune.data.sources.base import why_empty
from xtune.data.templates import Template, build_template
from xtune.data.templates.default_system import without_empty_system
from xtune.errors import DataError
from xtune.parallel.world import ALONE
from xtune.registry import DATASETS
from xtune.structures import IGNORE_INDEX, Conversation, Message, Sample

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

__all__ = ["PromptDataset", "PromptRow"]


@dataclass(frozen=True, slots=True)
class PromptRow:
    """A prompt, and what its row says of a good answer.

    Attributes:
        ids: tokens up to where the assistant begins to write.
        messages: the same, as messages, the system message included.
        tools: that may be called, in OpenAI's form.
        expected: the answer of the data; None where they have none.
        row: the raw row.
        where: it is, for messages.
    """

    ids: tuple[int, ...]
    messages: tuple[Message, ...]
    tools: tuple[dict[str, Any], ...] = ()
    expected: Message | None = None
    row: Mapping[str, Any] = field(default_factory=dict)
    where: str = ""


@DATASETS.register_module()
class PromptDataset(Packs):
    """Prompts, tokenised as chat renders them, in memory.

    Attributes:
        makes: 'prompts'.
        template: how the dialogues are rendered.
        report: what became of the rows.
        rows: all of them.
        max_length: see below.

    Args:
        data_path, tokenizer, map_fn, template, day, system, split, max_rows: as `SFTDataset` takes
            them; a mixture too.
        max_length: tokens that a prompt and its answer may have together.
        max_new_tokens: of an answer, at most: a prompt that leaves less room is left out.

    Raises:
        DataError: the data cannot be read, or make no prompt.
        TemplateError: the template does not fit the tokenizer.
    """

    makes: ClassVar[Makes] = "prompts"

    def __init__(
        self,
        *,
        data_path: str | Sequence[str | Mapping[str, Any]] | Mapping[str, Any],
        tokenizer: PreTrainedTokenizerBase,
        map_fn: str | MapFn | Mapping[str, Any],
        template: str = "auto",
        day: str | None = None,
        system: str = "",
        max_length: int,
        max_new_tokens: int,
        split: str = "train",
        max_rows: int | None = None,
    ) -> None:
        if not 0 < max_new_tokens < max_length:
            raise DataError(
                f"max_new_tokens={max_new_tokens} with max_length={max_length}: an answer has 1 "
                "token or more, and its prompt needs room too: give a larger max_length"
            )
        self.template: Template = build_template(template, tokenizer, day=day)
        self.max_length = max_length
        self.vectors: frozenset[str] = frozenset()
        self._tokenizer = tokenizer
        self._plain = PlainText(tokenizer, self.template.source)
        self._system = system
        self._room = max_length - max_new_tokens
        report = DataReport(template=self.template.name, stop_words=self.template.stop_words)
        shares = shares_of(data_path, map_fn=map_fn, split=split, max_rows=max_rows)
        read = [self._read(share, report) for share in shares]
        self.rows: list[PromptRow] = [row for rows in read for row in rows]
        lengths = np.array([len(row.ids) for row in self.rows], dtype=np.int64)
        before = np.cumsum([0, *map(len, read)])
        chosen = np.concatenate(
            [
                start + own
                for start, own in zip(before, choose(shares, list(map(len, read))), strict=False)
            ]
        )
        report.samples = report.groups = report.prompts = len(chosen)
        report.tokens = int(lengths[chosen].sum())
        super().__init__(
            report,
            lengths,
            bounds_of(np.zeros(len(lengths))),
            chosen=chosen,
            pack_length=None,
        )

    @property
    def identity(self) -> dict[str, int | str]:
        """What must be the same for a run to go on: above all a hash of prompts and their rows."""
        whole = hashlib.sha256(self._chosen.tobytes())
        for row in self.rows:
            said = [row.ids, row.expected, row.row]
            whole.update(json.dumps(said, sort_keys=True, default=repr).encode())
        return {"digest": whole.hexdigest()[:16], "items": len(self), "tokens": self.report.tokens}

    def largest_id(self) -> int:
        """Return the largest token id of all prompts."""
        return max(max(row.ids) for row in self.rows)

    def longest(self, count: int) -> list[int]:
        """Return the tokens of the longest rows that are trained: prompts with their answers.

        Args:
            count: of rows.
        """
        return [self.max_length] * count

    def sample(self, index: int) -> Sample:
        """Return a prompt; none of its tokens has a label."""
        ids = np.array(self.rows[index].ids, dtype=np.int32)
        return Sample(ids, np.full(len(ids), IGNORE_INDEX, dtype=np.int32))

    def loader(self, **settings: Any) -> StepLoader:
        """Return a loader that deals the same prompts to every process, one a micro-batch.

        Whoever asks for them shares them out.

        Args:
            **settings: `StepLoader`'s, of which `accumulative_counts` are the prompts of a draw.
        """
        return super().loader(**{**settings, "batch_size": 1, "num_workers": 0, "world": ALONE})

    def _read(self, share: Share, report: DataReport) -> list[PromptRow]:
        source = open_source(share.data_path, split=share.split)
        map_fn, report.recognised = map_fn_for(source, share.map_fn)
        rows = []
        for where, row in islice(source.rows(), share.max_rows):
            report.rows += 1
            try:
                made, _ = made_of(row, map_fn, where=where)
                conversation, expected = _prompt_of(made, where, map_fn)
                prompt = self._prompt(conversation)
            except UnusableRow as unusable:
                report.dropped[unusable.reason] += 1
                continue
            ids = self._tokenizer.encode(prompt, add_special_tokens=False)
            if len(ids) > self._room:
                report.dropped[f"prompt longer than {self._room} tokens"] += 1
                continue
            report.kept += 1
            said = begun_with(self._system, conversation)
            rows.append(
                PromptRow(
                    tuple(ids),
                    tuple(said["messages"]),
                    tuple(said.get("tools", ())),
                    expected,
                    row,
                    where,
                )
            )
        if not rows:
            reasons = "; ".join(f"{count:,} {why}" for why, count in report.dropped.most_common())
            raise DataError(
                f"no prompt can be made of {share.name}: {reasons or why_empty(source)}. Check "
                "map_fn, max_length and max_new_tokens"
            )
        return rows

    def _prompt(self, conversation: Conversation) -> str:
        """As `xtune chat` renders it; a test holds both equal."""
        said = begun_with(self._system, conversation)
        default = lambda: self.template.unwritten.default_system  # noqa: E731
        messages = self._plain(without_empty_system(said["messages"], default))
        return self.template.prompt({**said, "messages": messages})


def _prompt_of(
    made: Mapping[str, Any], where: str, map_fn: MapFn
) -> tuple[Conversation, Message | None]:
    """The dialogue up to the answer, and the answer of the data."""
    kind = kind_of(made)
    if kind == "dialogue":
        messages = list(made["messages"])
        answer = messages.pop() if messages[-1]["role"] == "assistant" else None
    elif kind in ("text", "tokens"):
        raise DataError(
            f"{where}: map_fn {name_of(map_fn)!r} makes {kind} of a row, and no prompt: name one "
            "that makes dialogues or prompts (xtune list-formats), or write one that returns "
            "{'prompt': [{'role': 'user', 'content': …}]}: map_fn='my_code.py:name'"
        )
    else:
        messages = list(made["prompt"])
        answer = answers_of(made)[0][-1] if kind != "prompt" else None
    if not messages or messages[-1]["role"] == "assistant":
        raise UnusableRow("nothing to answer")
    conversation: Conversation = {"messages": messages}
    if made.get("tools"):
        conversation["tools"] = made["tools"]
    return conversation, cast("Message | None", answer)
