"""Data larger than memory or disk: rows are tokenised and packed window by window, as they come.

    rows       0 ............ 9,999 | 10,000 ......... 19,999 | 20,000 ....
    window           0: packs       |       1: packs          |
               the steps of this one   is made meanwhile by a thread of its own

Two windows are held at a time, and nothing is written to the token cache. A window is a function
of where it begins, so that a run goes on exactly where it was: at a row, and a step after it. The
order within a window follows from the seed and the epoch, and is another one in each epoch.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cached_property
from itertools import islice
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from xtune.data.fingerprint import fingerprint_source
from xtune.data.groups import bounds_of
from xtune.data.loader import StepLoader
from xtune.data.loss_weights import Kind
from xtune.data.map_fns import MapFn
from xtune.data.mixture import is_mixture
from xtune.data.packs import Packs
from xtune.data.pipeline import NothingUsable
from xtune.data.preparation import Preparation
from xtune.data.recognise import map_fn_for
from xtune.data.report import DataReport
from xtune.data.row_reading import Makes
from xtune.data.sources import open_source
from xtune.data.sources.base import name_of_source, why_empty
from xtune.data.templates import Template, build_template
from xtune.errors import DataError
from xtune.registry import DATASETS
from xtune.structures import Batch, Sample

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

__all__ = ["StreamLoader", "StreamedDataset", "StreamedSFTDataset", "Window"]

logger = logging.getLogger(__name__)


class Window(Packs):
    """Packs of the samples of some rows.

    Attributes:
        epoch: passes over the source before it.
        row: of the source, where it begins.
        samples: its documents.

    Args:
        epoch: see above.
        row: see above.
        samples: see above.
        report: what became of its rows.
        pack_length: tokens that a pack has room for; None: each group is an item.
    """

    def __init__(
        self,
        epoch: int,
        row: int,
        samples: list[Sample],
        report: DataReport,
        *,
        pack_length: int | None,
    ) -> None:
        self.epoch = epoch
        self.row = row
        self.samples = samples
        bounds = bounds_of(sample.per_document.get("side", 0) for sample in samples)
        super().__init__(report, np.array([*map(len, samples)]), bounds, pack_length=pack_length)

    def sample(self, index: int) -> Sample:
        """Return one tokenised document."""
        return self.samples[index]


class StreamedDataset:
    """Rows as token samples, read window by window; the run needs `max_steps`.

    Attributes:
        makes: what a row becomes; see row_reading.py.
        template: how the dialogues are rendered.
        loss_weights: as `CachedDataset` has them.

    Args:
        data_path: as `SFTDataset` takes it, but no mixture. A hub data set that shall not be
            downloaded whole is dict(type='hub', path=..., streaming=True).
        tokenizer: a tokenizer of transformers.
        map_fn: as `SFTDataset` takes it.
        template: as `SFTDataset` takes it.
        day: '2026-11-30', for a template that tells today's date; None: by the clock.
        system: put before every dialogue that does not begin with a system message of its own.
        max_length: tokens of the longest sample, or of the longest group, and of a pack.
        split: which part of the source, where it has parts.
        pack_to_max_length: put several samples into one item, up to `max_length` tokens.
        window_rows: rows of a window. More fill packs better and shuffle further, and take longer
            until the first step.

    Raises:
        DataError: the data cannot be read, or are a mixture.
        TemplateError: the template does not fit the tokenizer.
    """

    makes: ClassVar[Makes]
    loss_weights: Mapping[Kind, float] | None = None

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
        if is_mixture(data_path):
            raise DataError("a streamed data set has one source; mixtures are SFTDataset's")
        if window_rows < 1:
            raise DataError(f"window_rows={window_rows} must be at least 1")
        self._data_path = data_path
        self._source = open_source(data_path, split=split)
        self._map_fn, self._recognised = map_fn_for(self._source, map_fn)
        self.template: Template = build_template(template, tokenizer, day=day)
        self._preparation = Preparation(
            template=self.template,
            template_name=template,
            tokenizer=tokenizer,
            system=system,
            max_length=max_length,
            makes=self.makes,
            loss_weights=self.loss_weights,
        )
        self._pack_length = max_length if pack_to_max_length else None
        self._window_rows = window_rows
        # Before any row is read: a function may keep something of the rows that it has seen
        self._code = self._preparation.code(self._map_fn)

    @cached_property
    def identity(self) -> dict[str, int | str]:
        """What must be the same for a run to go on."""
        source = fingerprint_source(self._source, self._data_path)
        return {"source": source, "window_rows": self._window_rows, "code": self._code}

    @cached_property
    def report(self) -> DataReport:
        """What becomes of the rows of the first window, for a plan."""
        return self.preview().report

    def largest_id(self) -> None:
        """Return nothing: nobody has seen all tokens."""

    def loader(self, **settings: Any) -> StreamLoader:
        """Return the micro-batches of each step; `settings` are `StepLoader`'s."""
        return StreamLoader(self, **settings)

    def preview(self) -> Window:
        """Return the first window."""
        return next(self.windows())

    def windows(self, epoch: int = 0, row: int = 0) -> Iterator[Window]:
        """Yield one window after the other, for ever: after the last row comes the first.

        A window no row of which can be used is passed over with a warning.

        Args:
            epoch: to begin in, from 0.
            row: of the source, to begin at in that epoch.

        Raises:
            DataError: no row of a whole epoch can be used.
        """
        while True:
            rows = islice(self._source.rows(), row, None)
            unusable: DataError | None = None
            found = False
            while some := list(islice(rows, self._window_rows)):
                try:
                    yield self._window(epoch, row, some)
                    found = True
                except NothingUsable as error:
                    logger.warning("rows %d to %d: %s", row, row + len(some) - 1, error)
                    unusable = error
                row += len(some)
            if not found and not row:
                raise DataError(f"the data set is empty: {why_empty(self._source)}")
            if not found and unusable is not None:
                raise unusable
            epoch, row = epoch + 1, 0

    def _window(self, epoch: int, row: int, rows: list[tuple[str, dict[str, Any]]]) -> Window:
        read = _Rows(rows, name_of_source(self._source))
        pipeline = self._preparation.pipeline(read, self._map_fn)
        samples = [sample for chunk in pipeline.chunks() for sample in chunk]
        pipeline.report.recognised = self._recognised
        return Window(epoch, row, samples, pipeline.report, pack_length=self._pack_length)


@DATASETS.register_module()
class StreamedSFTDataset(StreamedDataset):
    """What `SFTDataset` is, read window by window; the run needs `max_steps`.

    Args:
        data_path, tokenizer, map_fn, template, day, system, max_length, split, pack_to_max_length,
            window_rows: as `StreamedDataset` takes them.
        loss_weights: as `SFTDataset` takes it.

    Raises:
        ConfigError: a weight is none, or of no kind that there is.
        DataError, TemplateError: as `StreamedDataset`.
    """

    makes: ClassVar[Makes] = "dialogues"

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
        loss_weights: Mapping[Kind, float] | None = None,
        window_rows: int = 10_000,
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
            window_rows=window_rows,
        )


class _Rows:
    """Rows that have been read already, as a source."""

    def __init__(self, rows: list[tuple[str, dict[str, Any]]], path: str) -> None:
        self._rows = rows
        self.path = path

    def rows(self) -> Iterator[tuple[str, dict[str, Any]]]:
        return iter(self._rows)

    def fingerprint(self) -> str:
        return ""  # nothing of a window is kept


class StreamLoader:
    """The micro-batches of each optimizer step of a streamed data set.

    Steps must be asked for in order, from the first or from where `load_state_dict` has set it.
    The last step of a window takes the items that are left, as an epoch's does in `StepLoader`.

    Attributes:
        steps_per_epoch: None: nobody has counted the rows.
        items_per_step: packs, or documents, that all processes take in a step.
        window: the one that the current step is of.
        report: what became of its rows.

    Args:
        dataset: gives the windows.
        settings: of the `StepLoader` of each window.
    """

    steps_per_epoch = None

    def __init__(self, dataset: StreamedDataset, **settings: Any) -> None:
        self._dataset = dataset
        self._settings = settings
        self._first_step = 0
        self._begin(epoch=0, row=0)
        self.items_per_step = self._inner.items_per_step

    def step(self, step: int) -> list[Batch]:
        """Return the micro-batches of a step."""
        while step - self._first_step >= self._inner.steps_per_epoch:
            self._first_step += self._inner.steps_per_epoch
            self._enter(self._following().result())
        self._following()
        return self._inner.step(step - self._first_step)

    def state_dict(self) -> dict[str, int]:
        """Return where the current window begins, in rows and in steps."""
        return {
            "epoch": self.window.epoch,
            "row": self.window.row,
            "first_step": self._first_step,
        }

    def load_state_dict(self, state: Mapping[str, int]) -> None:
        """Go on in the window of a saved state."""
        self._first_step = state["first_step"]
        self._begin(epoch=state["epoch"], row=state["row"])

    def _begin(self, *, epoch: int, row: int) -> None:
        self._windows = self._dataset.windows(epoch, row)
        self._thread = ThreadPoolExecutor(max_workers=1)
        self._enter(next(self._windows))

    def _enter(self, window: Window) -> None:
        self.window = window
        self.report = window.report
        logger.info(
            "epoch %d, rows from %d on: %s",
            window.epoch,
            window.row,
            "; ".join(
                " ".join(line.split())
                for line in [*self.report.lines()[:3], *self.report.untrained_lines()]
            ),
        )
        self._inner = StepLoader(window, first_epoch=window.epoch, **self._settings)
        self._next: Future[Window] | None = None

    def _following(self) -> Future[Window]:
        """The next window, begun by the first step of this one: a resumed run leaves the window
        that it was built with before any step, and would have made the one after it in vain.
        """
        if self._next is None:
            self._next = self._thread.submit(next, self._windows)
        return self._next
