"""`UnpairedPreferenceDataset`: answers that were judged one by one, good or bad.

    {prompt, completion, label}      a sample, `desirable` 1 or 0
    {prompt, chosen, rejected}       two: the chosen answer is good, the rejected one bad
    {prompt, answers}                one for each that is better, or worse, than most of the others

No sample knows of the others: they are packed, shuffled and shared out one by one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from xtune.data.dataset import CachedDataset
from xtune.data.map_fns import MapFn
from xtune.data.row_reading import Makes
from xtune.data.streaming import StreamedDataset
from xtune.registry import DATASETS

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

__all__ = ["StreamedUnpairedPreferenceDataset", "UnpairedPreferenceDataset"]


@DATASETS.register_module()
class UnpairedPreferenceDataset(CachedDataset):
    """Judged answers as token samples, packed or not, from a cache on disk.

    Args:
        data_path: as `SFTDataset` takes it.
        tokenizer: a tokenizer of transformers.
        map_fn: row to UnpairedPreference, Preference or Ranking, named as `SFTDataset` takes it.
        template: as `SFTDataset` takes it.
        day: '2026-11-30', for a template that tells today's date; None: by the clock.
        system: put before every prompt that does not begin with a system message of its own.
        max_length: tokens of the longest dialogue, and of a pack.
        split: which part of the source, where it has parts.
        pack_to_max_length: put several dialogues into one item, up to `max_length` tokens.
        max_rows: read no more rows than this.

    Raises:
        DataError: the data cannot be read or make no sample.
        TemplateError: the template does not fit the tokenizer or the dialogues.
    """

    makes: ClassVar[Makes] = "unpaired"

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


@DATASETS.register_module()
class StreamedUnpairedPreferenceDataset(StreamedDataset):
    """What `UnpairedPreferenceDataset` is, read window by window; the run needs `max_steps`.

    Args:
        data_path: as `StreamedSFTDataset` takes it.
        tokenizer: a tokenizer of transformers.
        map_fn: as `UnpairedPreferenceDataset` takes it.
        template: as `SFTDataset` takes it.
        day: '2026-11-30', for a template that tells today's date; None: by the clock.
        system: put before every prompt that does not begin with a system message of its own.
        max_length: tokens of the longest dialogue, and of a pack.
        split: which part of the source, where it has parts.
        pack_to_max_length: put several dialogues into one item, up to `max_length` tokens.
        window_rows: rows of a window.

    Raises:
        DataError: the data cannot be read, or are a mixture.
        TemplateError: the template does not fit the tokenizer.
    """

    makes: ClassVar[Makes] = "unpaired"

    def __init__(
        self,
        *,
        data_path: str | Sequence[str] | Mapping[str, Any],
        tokenizer: PreTrainedTokenizerBase,
        map_fn: str | MapFn | Mapping[str, Any],
        template: str = "auto",
        day: str | None = None,
        system: str = "",
        max_length: int,
        split: str = "train",
        pack_to_max_length: bool = True,
        window_rows: int = 10_000,
    ) -> None:
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
            window_rows=window_rows,
        )
