"""`UnpairedPreferenceDataset`: answers that were judged one by one, good or bad.

    {prompt, completion, label}      a sample, `desirable` 1 or 0
    {prompt, chosen, rejected}       two: the chosen answer is good, the rejected one bad
    {prompt, answers}                one for each that is better, or worse, than most of the others

No sample knows of the others: they are packed, shuffled and shared out one by one.
"""

from __future__ import annotations

from typing import ClassVar

from xtune.data.dataset import CachedDataset
from xtune.data.row_reading import Makes
from xtune.data.streaming import StreamedDataset
from xtune.registry import DATASETS

__all__ = ["StreamedUnpairedPreferenceDataset", "UnpairedPreferenceDataset"]


@DATASETS.register_module()
class UnpairedPreferenceDataset(CachedDataset):
    """Judged answers as token samples, packed or not, from a cache on disk.

    `map_fn` makes an UnpairedPreference, a Preference or a Ranking of a row.
    """

    makes: ClassVar[Makes] = "unpaired"


@DATASETS.register_module()
class StreamedUnpairedPreferenceDataset(StreamedDataset):
    """What `UnpairedPreferenceDataset` is, read window by window; the run needs `max_steps`."""

    makes: ClassVar[Makes] = "unpaired"
