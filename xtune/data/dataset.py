"""`SFTDataset`: what a config calls a data set, ready to train on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from xtune.data.cache import open_cache
from xtune.data.collate import collate
from xtune.data.fingerprint import cache_key, fingerprint_function, fingerprint_tokenizer
from xtune.data.map_fns import MapFn, build_map_fn
from xtune.data.pack import pack
from xtune.data.pipeline import Pipeline
from xtune.data.recognise import recognise
from xtune.data.report import DataReport
from xtune.data.sources import open_source
from xtune.data.templates import Template, build_template
from xtune.registry import DATASETS
from xtune.structures import Batch, Sample

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

__all__ = ["SFTDataset"]


@DATASETS.register_module()
class SFTDataset:
    """Dialogues or texts as token samples, packed or not, from a cache on disk.

    Its items are packs, or single samples when not packing; item i is `pack(i)`, a list of sample
    indices.

    Attributes:
        template: how the dialogues are rendered.
        report: what became of the rows.

    Args:
        data_path: a file, folder, list of files, registered source, hub id, or a source's dict.
        tokenizer: a tokenizer of transformers.
        map_fn: row to Conversation: a registered name, 'file.py:name', a function, a dict with
            one of these as `type` and the function's switches, or 'auto' for the registered one
            that the first rows fit.
        template: 'auto' for the tokenizer's own chat template, or a registered name.
        system: put before every dialogue that does not begin with a system message of its own.
        max_length: tokens of the longest sample, and of a pack.
        split: which part of the source, where it has parts.
        pack_to_max_length: put several samples into one item, up to `max_length` tokens.
        max_rows: read no more rows than this.

    Raises:
        DataError: the data cannot be read or make no sample.
        TemplateError: the template does not fit the tokenizer or the dialogues.
    """

    def __init__(
        self,
        *,
        data_path: str | list[str] | Mapping[str, Any],
        tokenizer: PreTrainedTokenizerBase,
        map_fn: str | MapFn | Mapping[str, Any],
        template: str = "auto",
        system: str = "",
        max_length: int,
        split: str = "train",
        pack_to_max_length: bool = True,
        max_rows: int | None = None,
    ) -> None:
        source = open_source(data_path, split=split)
        recognised = ""
        if map_fn == "auto":
            choice = recognise(source.rows())
            function, recognised = choice.format.map_fn, f"{choice.format.name}: {choice.why}"
        else:
            function = build_map_fn(map_fn)
        self.template: Template = build_template(template, tokenizer)
        pipeline = Pipeline(
            source,
            function,
            self.template,
            tokenizer,
            system=system,
            max_length=max_length,
            max_rows=max_rows,
        )
        key = cache_key(
            source=source.fingerprint(),
            map_fn=fingerprint_function(function),
            template=[self.template.name, self.template.jinja, self.template.stop_words],
            tokenizer=fingerprint_tokenizer(tokenizer),
            system=system,
            max_length=max_length,
            max_rows=max_rows,
        )
        self._cache = open_cache(key, pipeline.chunks, lambda: pipeline.report.to_dict())
        self.report = DataReport.from_dict(self._cache.report)
        self.report.recognised = recognised
        self._packs: list[list[int]] | None = None
        if pack_to_max_length:
            self._packs = pack(self._cache.lengths, length=max_length)
            self.report.packs = len(self._packs)
            self.report.pack_length = max_length

    def __len__(self) -> int:
        return len(self._cache) if self._packs is None else len(self._packs)

    @property
    def tokens(self) -> int:
        """Tokens of all samples."""
        return self.report.tokens

    @property
    def trained_tokens(self) -> int:
        """Tokens that have a label, of all samples."""
        return self.report.trained_tokens

    def pack(self, index: int) -> list[int]:
        """Return the samples of item `index`."""
        return [index] if self._packs is None else self._packs[index]

    def sample(self, index: int) -> Sample:
        """Return one tokenised document."""
        return self._cache.sample(index)

    def batch(self, indices: Sequence[int]) -> Batch:
        """Return the documents of these items end to end."""
        samples = [sample for index in indices for sample in self.pack(index)]
        return collate([self.sample(index) for index in samples], samples)
