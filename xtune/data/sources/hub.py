"""Rows of a data set on the Hugging Face hub, through the `datasets` library."""

from __future__ import annotations

import itertools
import logging
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xtune.data.sources.columns import rows_of_batch
from xtune.errors import DataError
from xtune.hub import why_not
from xtune.registry import SOURCES

if TYPE_CHECKING:
    from datasets import Dataset

__all__ = ["HubSource", "rows_of"]

logger = logging.getLogger(__name__)

_ROWS_AT_ONCE = 1000  # row by row, `datasets` is many times slower


@SOURCES.register_module("hub")
class HubSource:
    """One split of a hub data set, downloaded on first use into the cache of `datasets`.

    Args:
        path: the hub id, 'owner/name'.
        split: 'train', 'validation', or a slice of one: 'train[:1000]'.
        name: which of the data set's configurations, where it has several.
        streaming: fetch rows as they are read, and keep none; for a StreamedSFTDataset.
    """

    def __init__(
        self, path: str, *, split: str, name: str | None = None, streaming: bool = False
    ) -> None:
        self.path = path
        self.split = split
        self.name = name
        self.streaming = streaming

    def rows(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """Yield each row with its place: 'owner/name[train] row 12'."""
        yield from rows_of(self._dataset, f"{self.path}[{self.split}]")

    def fingerprint(self) -> str:
        """Return the fingerprint that `datasets` keeps of the data, its version and the split."""
        if self.streaming:  # nobody has seen them all
            return f"{self.path}-{self.name}-{self.split}-streamed"
        return f"{self.path}-{self.name}-{self.split}-{self._dataset._fingerprint}"

    @cached_property
    def _dataset(self) -> Dataset:
        import datasets  # half a second, and only needed here

        on_disk = Path(self.path).expanduser().exists()
        reason = None if on_disk else why_not(self.path, "dataset")
        if reason and not _is_cached(self.path):
            raise DataError(f"cannot load the data set {self.path!r}: {reason}")
        try:
            if reason:
                logger.warning("%s is read from the cache: %s", self.path, reason.split(". ")[0])
                return self._from_cache()
            return datasets.load_dataset(
                self.path, self.name, split=self.split, streaming=self.streaming
            )
        # Unknown names, splits and configurations, and what the network can do, are a dozen
        # types from three libraries.
        except Exception as error:
            raise DataError(
                f"cannot load split {self.split!r} of {self.path!r} from the hub: "
                f"{type(error).__name__}: {str(error).splitlines()[0]} "
                f"Without network: save it on a machine that has one, "
                f"datasets.load_dataset({self.path!r}, split={self.split!r})"
                f".to_parquet('data.parquet'), and give that file's path"
            ) from error

    def _from_cache(self) -> Dataset:
        """What was fetched before; `load_dataset` would ask the hub for half a minute first."""
        from datasets.packaged_modules.cache.cache import Cache

        kept = Cache(
            repo_id=self.path,
            dataset_name=self.path.split("/")[-1],
            config_name=self.name,
            version="auto",
            hash="auto",
        )
        read = kept.as_streaming_dataset if self.streaming else kept.as_dataset
        return read(split=self.split)


def _is_cached(path: str) -> bool:
    import datasets
    from datasets.naming import camelcase_to_snakecase

    *owner, name = path.split("/")
    prefix = "___".join([*owner, camelcase_to_snakecase(name)])
    return any(Path(datasets.config.HF_DATASETS_CACHE).glob(f"{prefix}/*"))


def rows_of(dataset: Dataset, name: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield each row of a data set of `datasets` with its place: 'name row 12'.

    Args:
        dataset: of the library `datasets`.
        name: for the places.
    """
    number = itertools.count(1)
    for table in dataset.with_format("arrow").iter(batch_size=_ROWS_AT_ONCE):
        for batch in table.to_batches():
            for row in rows_of_batch(batch):
                yield f"{name} row {next(number)}", row
