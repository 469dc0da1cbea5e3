"""`SFTDataset`: what a config calls a data set, ready to train on."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from xtune.data.loss_weights import Kind
from xtune.data.map_fns import MapFn
from xtune.data.mixed_caches import CachedSource, MixedCaches
from xtune.data.mixture import shares_of
from xtune.data.packs import Packs
from xtune.data.preparation import Preparation
from xtune.data.row_reading import Makes
from xtune.data.templates import Template, build_template
from xtune.data.tokenized import report_of, tokenized
from xtune.registry import DATASETS
from xtune.structures import Sample

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

__all__ = ["CachedDataset", "SFTDataset"]


class CachedDataset(Packs):
    """Rows as token samples, packed or not, from a cache on disk.

    Its items are packs, or single groups of samples when not packing.

    Attributes:
        makes: what a row becomes; see row_reading.py.
        template: how the dialogues are rendered.
        report: what became of the rows.
        vectors: names of the numbers that tokens or documents have besides their ids and labels.
        sources: whose samples it has, and in which token caches they are.
        loss_weights: how much thoughts, calls and answers count in the loss, where rows are
            dialogues.

    Args:
        data_path: a file, folder, list of files, registered source, hub id, or a source's dict;
            or a list of dicts, a mixture, each of them with a data_path and what mixture.py says.
        tokenizer: a tokenizer of transformers.
        map_fn: row to Conversation: a registered name, 'file.py:name', a function, a dict with
            one of these as `type` and the function's switches, or 'auto' for the registered one
            that the first rows fit.
        template: 'auto' for the tokenizer's own chat template, or a registered name.
        day: '2026-11-30', for a template that tells today's date; None: by the clock.
        system: put before every dialogue that does not begin with a system message of its own.
        max_length: tokens of the longest sample, or of the longest group, and of a pack.
        split: which part of the source, where it has parts.
        pack_to_max_length: put several samples into one item, up to `max_length` tokens.
        max_rows: read no more rows than this.

    Raises:
        DataError: the data cannot be read or make no sample.
        TemplateError: the template does not fit the tokenizer or the dialogues.
    """

    makes: ClassVar[Makes]
    loss_weights: Mapping[Kind, float] | None = None

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
        split: str = "train",
        pack_to_max_length: bool = True,
        max_rows: int | None = None,
    ) -> None:
        self.template: Template = build_template(template, tokenizer, day=day)
        preparation = Preparation(
            template=self.template,
            template_name=template,
            tokenizer=tokenizer,
            system=system,
            max_length=max_length,
            makes=self.makes,
            loss_weights=self.loss_weights,
        )
        shares = shares_of(data_path, map_fn=map_fn, split=split, max_rows=max_rows)
        made = [tokenized(share, preparation) for share in shares]
        self._mixed = MixedCaches(shares, [cache for cache, _ in made])
        self.vectors: frozenset[str] = self._mixed.vectors
        self.sources = [
            CachedSource(share.name, cache.key, share.epochs, share.weight, share.seed)
            for share, (cache, _) in zip(shares, made, strict=True)
        ]
        super().__init__(
            report_of(
                shares,
                self._mixed.caches,
                [report for _, report in made],
                self._mixed.chosen_of_each,
            ),
            self._mixed.lengths,
            self._mixed.bounds,
            chosen=self._mixed.chosen,
            pack_length=max_length if pack_to_max_length else None,
        )

    def largest_id(self) -> int:
        """Return the largest token id of all samples."""
        return max(cache.largest_id() for cache in self._mixed.caches)

    @property
    def tokens(self) -> int:
        """Tokens of an epoch."""
        return self.report.tokens

    @property
    def trained_tokens(self) -> int:
        """Tokens of an epoch that have a label."""
        return self.report.trained_tokens

    @property
    def identity(self) -> dict[str, int | str]:
        """What must be the same for a run to go on: above all a hash of an epoch's tokens."""
        whole = hashlib.sha256(repr([cache.checksums for cache in self._mixed.caches]).encode())
        whole.update(self._chosen.tobytes())
        return {
            "digest": whole.hexdigest()[:16],
            "items": len(self),
            "tokens": self.tokens,
            "trained_tokens": self.trained_tokens,
        }

    def sample(self, index: int) -> Sample:
        """Return one tokenised document."""
        return self._mixed.sample(index)


@DATASETS.register_module()
class SFTDataset(CachedDataset):
    """Dialogues or texts as token samples, packed or not, from a cache on disk.

    Args:
        data_path, tokenizer, map_fn, template, day, system, max_length, split, pack_to_max_length,
            max_rows: as `CachedDataset` takes them.
        loss_weights: how much thoughts, calls and answers count in the loss, dict(call=2.0); a kind
            that is not named counts once. See xtune/data/loss_weights.py.

    Raises:
        ConfigError: a weight is none, or of no kind that there is.
        DataError, TemplateError: as `CachedDataset`.
    """

    makes: ClassVar[Makes] = "dialogues"

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
        split: str = "train",
        pack_to_max_length: bool = True,
        max_rows: int | None = None,
        loss_weights: Mapping[Kind, float] | None = None,
    ) -> None:
        self.loss_weights = loss_weights
        super().__init__(
            data_path=data_path,
            tokenizer=tokenizer,
            map_fn=map_fn,
            template=template,
            day=day,
            system=system,
            max_length=max_length,
            split=split,
            pack_to_max_length=pack_to_max_length,
            max_rows=max_rows,
        )
