"""`PreferenceDataset`: answers to one prompt that were held against each other, each row one group.

    of a pair       chosen      prompt + better answer      side 0
                    rejected    prompt + worse answer       side 1
    of a ranking    prompt + each of its K answers          side 0 to K - 1, the best first

All have the same tokens before their answers, whatever was cut, and are never parted: a pack, a
micro-batch and a process have all of them or none.
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

__all__ = ["PreferenceDataset", "StreamedPreferenceDataset"]


@DATASETS.register_module()
class PreferenceDataset(CachedDataset):
    """Pairs and rankings as groups of token samples, packed or not, from a cache on disk.

    Args:
        data_path: as `SFTDataset` takes it.
        tokenizer: a tokenizer of transformers.
        map_fn: row to Preference or Ranking, named as `SFTDataset` takes it.
        template: as `SFTDataset` takes it.
        day: '2026-11-30', for a template that tells today's date; None: by the clock.
        system: put before every prompt that does not begin with a system message of its own.
        max_length: tokens of the longest group, all its answers together, and of a pack.
        split: which part of the source, where it has parts.
        pack_to_max_length: put several groups into one item, up to `max_length` tokens.
        max_rows: read no more rows than this.

    Raises:
        DataError: the data cannot be read or make no pair.
        TemplateError: the template does not fit the tokenizer or the dialogues.
    """

    makes: ClassVar[Makes] = "pairs"

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
class StreamedPreferenceDataset(StreamedDataset):
    """What `PreferenceDataset` is, read window by window; the run needs `max_steps`.

    Args:
        data_path: as `StreamedSFTDataset` takes it.
        tokenizer: a tokenizer of transformers.
        map_fn: row to Preference or Ranking, named as `SFTDataset` takes it.
        template: as `SFTDataset` takes it.
        day: '2026-11-30', for a template that tells today's date; None: by the clock.
        system: put before every prompt that does not begin with a system message of its own.
        max_length: tokens of the longest group, all its answers together, and of a pack.
        split: which part of the source, where it has parts.
        pack_to_max_length: put several groups into one item, up to `max_length` tokens.
        window_rows: rows of a window.

    Raises:
        DataError: the data cannot be read, or are a mixture.
        TemplateError: the template does not fit the tokenizer.
    """

    makes: ClassVar[Makes] = "pairs"

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
