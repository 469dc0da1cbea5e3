"""Rows of a data set on ModelScope, through the `modelscope` library."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from typing import TYPE_CHECKING, Any

from xtune.data.sources.hub import rows_of
from xtune.errors import DataError
from xtune.hub import why_not_modelscope
from xtune.names import MODELSCOPE
from xtune.registry import SOURCES

if TYPE_CHECKING:
    from datasets import Dataset

__all__ = ["ModelScopeSource"]


@SOURCES.register_module("modelscope")
class ModelScopeSource:
    """One split of a data set on ModelScope, downloaded on first use into the library's cache.

    In a config: `data_path='modelscope:owner/name'`. Needs `pip install '.[modelscope]'`.

    Args:
        path: the id, 'owner/name'.
        split: 'train', 'validation', …
        name: which of the data set's subsets, where it has several.
    """

    def __init__(self, path: str, *, split: str, name: str | None = None) -> None:
        self.path = path
        self.split = split
        self.name = name

    def rows(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """Yield each row with its place: 'modelscope:owner/name[train] row 12'."""
        yield from rows_of(self._dataset, f"{MODELSCOPE}{self.path}[{self.split}]")

    def fingerprint(self) -> str:
        """Return the fingerprint that `datasets` keeps of what was downloaded."""
        return f"{MODELSCOPE}{self.path}-{self.name}-{self.split}-{self._dataset._fingerprint}"

    @cached_property
    def _dataset(self) -> Dataset:
        try:
            from modelscope.msdatasets import MsDataset
        except ImportError as error:
            raise DataError(
                f"'{MODELSCOPE}{self.path}' needs the modelscope library: "
                f"pip install '.[modelscope]' ({error})"
            ) from error
        if reason := why_not_modelscope():
            raise DataError(
                f"cannot load split {self.split!r} of {self.path!r} from ModelScope: {reason}"
            )
        try:
            loaded = MsDataset.load(self.path, subset_name=self.name, split=self.split)
        # What the network and a script in the repository can do is of any type.
        except Exception as error:
            raise DataError(
                f"cannot load split {self.split!r} of {self.path!r} from ModelScope: "
                f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
            ) from error
        return loaded.to_hf_dataset() if hasattr(loaded, "to_hf_dataset") else loaded
