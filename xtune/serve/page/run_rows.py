"""`RunRows`: the rows of a run's token cache, as training sees them.

A row is a group: a dialogue or a text, or the answers to one prompt. Rows are numbered as an epoch
has them before it is shuffled; one that an epoch shows twice is there twice. Nothing of the run's
config is executed, and no token is made anew: what is shown is what lies in the cache.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from xtune.checkpoint.folder import list_checkpoints
from xtune.data.groups import totals
from xtune.data.mixed_caches import CachedSource, MixedCaches
from xtune.data.shown import shown_sample
from xtune.engine.identity import vocabulary_digest
from xtune.engine.run_record import RunRecord
from xtune.errors import DataError, ModelError, XtuneError
from xtune.hub import cached_config
from xtune.models import load_tokenizer
from xtune.names import Kind, kind_of
from xtune.serve.page.run_folder import within

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

__all__ = ["Choice", "RunRows", "tokenizer_of"]

_BARS = 24  # of the histogram of lengths


class Choice(NamedTuple):
    """Which rows, in which order.

    Attributes:
        source: of this source alone; None: of all.
        longest_first: else as they are numbered.
        untrained: those alone that have no trained token.
    """

    source: int | None = None
    longest_first: bool = False
    untrained: bool = False


class RunRows:
    """The rows of one part of a run's data.

    Args:
        sources: whose caches the run has noted.
        tokenizer: that made the tokens.

    Raises:
        DataError: a cache is no longer there, or is damaged.
    """

    def __init__(self, sources: Sequence[CachedSource], tokenizer: PreTrainedTokenizerBase) -> None:
        self._tokenizer = tokenizer
        self._mixed = mixed = MixedCaches.read(sources)
        self._groups = mixed.chosen
        self._tokens = totals(mixed.lengths, mixed.bounds)[mixed.chosen]
        self._trained = totals(mixed.trained_lengths, mixed.bounds)[mixed.chosen]
        self._source = mixed.source_of(mixed.chosen)
        self.names = [source.name for source in sources]

    def about(self) -> dict[str, Any]:
        """Return counts of all rows: by source, by length, those without a trained token."""
        counts, edges = np.histogram(self._tokens, bins=_edges(int(self._tokens.max(initial=0))))
        sources = [
            {
                "name": name,
                "rows": int(mine.sum()),
                "tokens": int(self._tokens[mine].sum()),
                "trained_tokens": int(self._trained[mine].sum()),
            }
            for name, mine in ((n, self._source == at) for at, n in enumerate(self.names))
        ]
        return {
            "rows": len(self._groups),
            "tokens": int(self._tokens.sum()),
            "trained_tokens": int(self._trained.sum()),
            "untrained_rows": int((self._trained == 0).sum()),
            "sources": sources,
            "lengths": {"edges": edges.tolist(), "rows": counts.tolist()},
            "special_ids": sorted(self._special_ids()),
        }

    def chosen(self, choice: Choice) -> np.ndarray:
        """Return the numbers of rows: int64.

        Args:
            choice: which.
        """
        rows = np.arange(len(self._groups))
        if choice.source is not None:
            rows = rows[self._source[rows] == choice.source]
        if choice.untrained:
            rows = rows[self._trained[rows] == 0]
        if choice.longest_first:
            rows = rows[np.argsort(-self._tokens[rows], kind="stable")]
        return rows

    def row(self, number: int) -> dict[str, Any]:
        """Return a row: its source, its counts, and its documents token by token.

        Args:
            number: of the row.
        """
        group = int(self._groups[number])
        bounds = self._mixed.bounds
        samples = range(int(bounds[group]), int(bounds[group + 1]))
        return {
            "row": number,
            "source": self.names[int(self._source[number])],
            "tokens": int(self._tokens[number]),
            "trained_tokens": int(self._trained[number]),
            "documents": [
                shown_sample(sample, self._mixed.sample(sample), self._tokenizer)
                for sample in samples
            ],
        }

    def _special_ids(self) -> set[int]:
        added = self._tokenizer.added_tokens_decoder
        return {*self._tokenizer.all_special_ids, *(i for i, t in added.items() if t.special)}


def tokenizer_of(folder: Path, record: RunRecord) -> PreTrainedTokenizerBase:
    """Return the tokenizer that made a run's tokens: its newest checkpoint's, or the one it names.

    Args:
        folder: of the run.
        record: what the run says of itself.

    Raises:
        DataError: neither is here.
    """
    places = [
        str(saved)
        for _, checkpoint in reversed(list_checkpoints(folder / "checkpoints"))
        for kind in ("adapter", "model")
        if (saved := within(folder, str(checkpoint.relative_to(folder) / kind)))
    ]
    if kind_of(record.tokenizer) is not Kind.HUB or cached_config(record.tokenizer) is not None:
        places.append(record.tokenizer)
    for place in places:
        try:
            tokenizer = load_tokenizer(place)
        except (ModelError, XtuneError):
            continue
        if vocabulary_digest(tokenizer) == record.vocabulary:
            return tokenizer
    raise DataError(
        f"the tokenizer of this run is not here: {record.tokenizer!r} cannot be read or has "
        "other tokens, and the run has no checkpoint yet. Look again after its first checkpoint"
    )


def _edges(longest: int) -> list[int]:
    width = max(1, -(-(longest + 1) // _BARS))
    return list(range(0, longest + width + 1, width))
