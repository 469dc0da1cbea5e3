"""`Preparation`: how a data set's rows become samples, wherever the rows lie."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from xtune.data.fingerprint import (
    cache_key,
    fingerprint_function,
    fingerprint_source,
    fingerprint_template,
    fingerprint_tokenizer,
)
from xtune.data.loss_weights import Kind
from xtune.data.map_fns import MapFn
from xtune.data.pipeline import Pipeline
from xtune.data.row_reading import Makes
from xtune.data.sources.base import Source
from xtune.data.templates import Template

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

__all__ = ["Preparation"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Preparation:
    """What a data set says of its rows.

    Attributes:
        template: renders the dialogues.
        template_name: what the config calls it.
        tokenizer: makes the ids.
        system: put before every dialogue that does not begin with a system message of its own.
        max_length: tokens of the longest sample, or of the longest group.
        makes: what a row becomes; see row_reading.py.
        loss_weights: of thoughts, calls and answers; see loss_weights.py.
    """

    template: Template
    template_name: str
    tokenizer: PreTrainedTokenizerBase
    system: str
    max_length: int
    makes: Makes
    loss_weights: Mapping[Kind, float] | None = None

    def pipeline(self, source: Source, map_fn: MapFn, *, max_rows: int | None = None) -> Pipeline:
        """Return what makes samples of a source's rows.

        Args:
            source: the rows.
            map_fn: reads them.
            max_rows: no more than this; None for all.
        """
        return Pipeline(
            source,
            map_fn,
            self.template,
            self.tokenizer,
            system=self.system,
            max_length=self.max_length,
            max_rows=max_rows,
            makes=self.makes,
            loss_weights=self.loss_weights,
        )

    def key(self, source: Source, map_fn: MapFn, *, data_path: object, max_rows: int | None) -> str:
        """Hash all that the samples depend on.

        Args:
            source: the rows.
            map_fn: reads them.
            data_path: as the config names the source.
            max_rows: no more than this; None for all.
        """
        # Dialogues were all that there was when the first caches were written; those of pairs that
        # were written before version 2 do not count ties and lengths
        grouped: dict[str, Any] = (
            {} if self.makes == "dialogues" else {"makes": self.makes, "version": 2}
        )
        return cache_key(
            source=fingerprint_source(source, data_path),
            map_fn=fingerprint_function(map_fn),
            template=fingerprint_template(self.template_name, self.template),
            tokenizer=fingerprint_tokenizer(self.tokenizer),
            system=self.system,
            max_length=self.max_length,
            max_rows=max_rows,
            loss_weights={kind: w for kind, w in (self.loss_weights or {}).items() if w != 1},
            **grouped,
        )

    def code(self, map_fn: MapFn) -> str:
        """Hash what map_fn and template do, for rows that are read as they come."""
        return cache_key(
            map_fn=fingerprint_function(map_fn),
            template=fingerprint_template(self.template_name, self.template),
        )
