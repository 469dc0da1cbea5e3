"""Perplexity and bits per byte of a text of one's own: how well does a model foresee it?

Form: completion. Shots: none. Scoring: perplexity, by windows of the model's context, the first of
which begins after BOS or else EOS and each later one after the token before it. Bits per byte (of
UTF-8) compare models whatever their tokenizer and language; perplexity per word (parted by white
space) says nothing of Chinese. Both are over all texts together, as lm_eval 0.4.13 has them.

Source: any .txt files (each is a text), or rows with a field `text`.
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from xtune.data.sources.files import FilesSource, find_files
from xtune.errors import DataError, UsageError
from xtune.eval.published import DATA_VARIABLE, field
from xtune.eval.tasks.base import Form, Item, Response, Rolling, RollingLikelihood, Score, Task
from xtune.local_path import not_there
from xtune.registry import EVALUATIONS

__all__ = ["Perplexity"]

_SHOWN = 400  # characters of a text, as its question


@EVALUATIONS.register_module()
class Perplexity(Task):
    """How likely texts are; see the module.

    Args:
        data_path: a file, folder or glob: .txt, each file a text; or .jsonl, .json, .csv, .parquet
            with a field `text`; or a folder with `perplexity/` in it. None: $XTUNE_EVAL_DATA.
        text: the field of a row that holds the text.
    """

    name = "perplexity"
    scoring = "perplexity"
    headline = "bits_per_byte"
    forms = ("completion",)
    lower_is_better = True

    def __init__(self, *, data_path: str | None = None, text: str = "text") -> None:
        given = data_path or os.environ.get(DATA_VARIABLE) or ""
        if not given:
            raise UsageError("perplexity needs a text: data_path='FILE.txt', or rows with `text`")
        own = Path(given).expanduser() / self.name  # in a folder of benchmarks
        place = str(own) if own.is_dir() else given
        if not find_files(place):
            raise UsageError(f"perplexity: {not_there(place, 'text at')}")
        self.source = FilesSource(place, sample_by="file")
        self.text = text

    def items(self) -> Sequence[Item]:
        """Return an item a text; its question is how the text begins; see `Task`."""
        return self._items

    def ask(self, item: Item, form: Form) -> Rolling:
        """Return the whole text.

        Args: as `Task.ask`.
        """
        return Rolling(item.fields["text"])

    def score(self, item: Item, response: Response) -> Score:
        """Return bits per byte; perplexities, whose means say nothing, are in `overall`.

        Args: as `Task.score`.
        """
        if not isinstance(response, RollingLikelihood):
            raise TypeError(f"a text is scored by {RollingLikelihood.__name__}, not {response!r}")
        text = item.fields["text"]
        sizes = {
            "nats": -response.log_prob,
            "bytes": len(text.encode()),
            "words": len(text.split()),
            "tokens": response.tokens,
        }
        bits = _measures(sizes)["bits_per_byte"]
        return Score({"bits_per_byte": bits}, got=f"{bits:.4f}", expected="", notes=sizes)

    def overall(self, items: Sequence[Item], scores: Sequence[Score]) -> dict[str, float]:
        """Return the measures of all texts together.

        Args: as `Task.overall`.
        """
        names = ("nats", "bytes", "words", "tokens")
        return _measures({name: sum(score.notes[name] for score in scores) for name in names})

    def settings(self) -> dict[str, Any]:
        """Return the field and how much text there is; see `Task`."""
        texts = [item.fields["text"] for item in self._items]
        return {
            "text": self.text,
            "texts": len(texts),
            "bytes": sum(len(text.encode()) for text in texts),
        }

    @cached_property
    def _items(self) -> list[Item]:
        made = []
        for number, (where, row) in enumerate(self.source.rows()):
            text = field(row, where, self.text)
            if not text.strip():
                raise DataError(f"{where}: the text is blank: take the row out")
            shown = text if len(text) <= _SHOWN else text[:_SHOWN] + " …"
            made.append(Item(str(number), shown, None, where=where, fields={"text": text}))
        if not made:
            raise UsageError(f"perplexity: {self.source.why_empty()}")
        return made


def _measures(sizes: Mapping[str, float]) -> dict[str, float]:
    nats = sizes["nats"]
    return {
        "bits_per_byte": nats / sizes["bytes"] / math.log(2),
        "word_perplexity": _exp(nats / sizes["words"]),
        "token_perplexity": _exp(nats / sizes["tokens"]),
    }


def _exp(value: float) -> float:
    """The exponential, or about the largest number: a line of Chinese is one word."""
    return math.exp(min(value, 700.0))
