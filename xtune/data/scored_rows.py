"""Rows whose answers are to be scored: pairs, rankings, judged answers, dialogues.

    {prompt, chosen, rejected}     two answers, ranks 0 and 1
    {prompt, answers}              as many, by their ranks
    {prompt, completion, label}    one
    {messages}                     one, its last

Tokens are those of training: same template, same end. A row's answers stay together, with where it
comes from.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping
from itertools import islice
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from xtune.data.formats import kind_of
from xtune.data.map_fns import MapFn
from xtune.data.map_fns.base import UnusableRow
from xtune.data.pipeline import Pipeline
from xtune.data.recognise import map_fn_for
from xtune.data.report import DataReport
from xtune.data.row_reading import JUDGED, Makes
from xtune.data.sources import open_source
from xtune.data.templates import build_template
from xtune.errors import DataError
from xtune.structures import Conversation, Message, Sample

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

__all__ = ["AnsweredRow", "AnsweredRows"]

_LOOKED_AT = 100  # rows, to find out what they become
_NO_LIMIT = 2**30  # tokens: a model's own limit is the caller's to mind


class AnsweredRow(NamedTuple):
    """A row with its answers.

    Attributes:
        where: it is: 'data.jsonl:3'.
        source: where it comes from, by its own words; '' if it does not say.
        prompt: what is answered, for people.
        samples: prompt and answer, one for each; the answer's tokens have labels.
        ranks: the answers' places, 0 the best.
    """

    where: str
    source: str
    prompt: str
    samples: list[Sample]
    ranks: list[int]


class AnsweredRows:
    """Reads the rows of a source.

    Attributes:
        report: counts; whole when the rows have been read to their end.
        recognised: the map_fn that 'auto' has found, in words; '' if it was named.

    Args:
        data_path: a file, folder, hub id or registered source, as `SFTDataset` takes it.
        tokenizer: of the model.
        map_fn: reads the rows, as `SFTDataset` takes it.
        template: writes them, likewise.
        system: put before every prompt that does not begin with a system message of its own.
        split: which part of the source, where it has parts.
        max_rows: read no more rows than this.

    Raises:
        DataError: nothing is there, or rows have no answers.
        TemplateError: the template does not fit the tokenizer.
    """

    def __init__(
        self,
        data_path: str,
        *,
        tokenizer: PreTrainedTokenizerBase,
        map_fn: str = "auto",
        template: str = "auto",
        system: str = "",
        split: str = "train",
        max_rows: int | None = None,
    ) -> None:
        source = open_source(data_path, split=split)
        reads, self.recognised = map_fn_for(source, map_fn)
        makes = _makes_of(source.rows(), reads)
        self._pipeline = Pipeline(
            source,
            _of_last_answer(reads) if makes == "dialogues" else reads,
            build_template(template, tokenizer),
            tokenizer,
            system=system,
            max_length=_NO_LIMIT,
            max_rows=max_rows,
            makes=makes,
        )

    @property
    def report(self) -> DataReport:
        """What became of the rows."""
        return self._pipeline.report

    def __iter__(self) -> Iterator[AnsweredRow]:
        """Yield the rows that can be used.

        Raises:
            DataError: a row cannot be read, or none can be used.
        """
        for where, reading, samples in self._pipeline.by_row():
            yield AnsweredRow(
                where,
                str(reading.made.get("source") or ""),
                _asked(reading.made),
                samples,
                [_rank(sample) for sample in samples],
            )


def _makes_of(rows: Iterator[tuple[str, dict[str, Any]]], map_fn: MapFn) -> Makes:
    """What rows become, by the first that can be used; of the others the pipeline asks the same."""
    for where, row in islice(rows, _LOOKED_AT):
        try:
            kind = kind_of(map_fn(row))
        except UnusableRow:
            continue
        except Exception:  # noqa: S112 - the pipeline says so, with the fields of the row
            continue
        if kind == "prompt":
            raise DataError(
                f"{where} is a prompt without an answer, and answers are what is scored. Let a "
                "model answer first, or name the map_fn that reads the answers: --map-fn NAME "
                "(xtune list-formats)"
            )
        if kind in JUDGED["pairs"]:
            return "pairs"
        return "unpaired" if kind in JUDGED["unpaired"] else "dialogues"
    return "dialogues"


def _of_last_answer(map_fn: MapFn) -> MapFn:
    """Read dialogues, and let the last answer alone have labels."""

    @functools.wraps(map_fn)
    def reads(row: dict[str, Any]) -> Any:
        made = cast(Conversation, map_fn(row))
        if "messages" not in made:
            raise UnusableRow("no dialogue, whose answer could be scored")
        messages = list(made["messages"])
        places = [at for at, one in enumerate(messages) if one["role"] == "assistant"]
        if not places:
            raise UnusableRow("no answer")
        last = places[-1]
        marked = [
            cast(Message, {**message, "loss": at == last})
            if message["role"] == "assistant"
            else message
            for at, message in enumerate(messages[: last + 1])
        ]
        rest = {key: value for key, value in made.items() if key != "train_on_inputs"}
        return {**rest, "messages": marked}

    return cast(MapFn, reads)


def _asked(made: Mapping[str, Any]) -> str:
    """The last thing that was asked, for people."""
    messages = made.get("prompt") or made.get("messages") or ()
    asked = [one.get("content") or "" for one in messages if one["role"] in ("user", "tool")]
    return asked[-1] if asked else ""


def _rank(sample: Sample) -> int:
    given = sample.per_document
    return int(given.get("rank", given.get("side", 0)))
