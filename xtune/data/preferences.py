"""`PreferenceDataset`: answers to one prompt that were held against each other, each row one group.

    of a pair       chosen      prompt + better answer      side 0
                    rejected    prompt + worse answer       side 1
    of a ranking    prompt + each of its K answers          side 0 to K - 1, the best first

All have the same tokens before their answers, whatever was cut, and are never parted: a pack, a
micro-batch and a process have all of them or none.
"""

from __future__ import annotations

from typing import ClassVar

from xtune.data.dataset import CachedDataset
from xtune.data.row_reading import Makes
from xtune.data.streaming import StreamedDataset
from xtune.registry import DATASETS

__all__ = ["PreferenceDataset", "StreamedPreferenceDataset"]


@DATASETS.register_module()
class PreferenceDataset(CachedDataset):
    """Pairs and rankings as groups of token samples, packed or not, from a cache on disk.

    `map_fn` makes a Preference or a Ranking of a row, `max_length` is that of the longest group,
    all its answers together, and what is packed is whole groups.
    """

    makes: ClassVar[Makes] = "pairs"


@DATASETS.register_module()
class StreamedPreferenceDataset(StreamedDataset):
    """What `PreferenceDataset` is, read window by window; the run needs `max_steps`."""

    makes: ClassVar[Makes] = "pairs"
