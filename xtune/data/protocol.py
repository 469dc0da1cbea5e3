"""What a run asks of a data set, whatever it reads: `Dataset`, and the `Loader` that it gives.

A data set of one's own has these names; one that has its samples by number, and packs them, takes
`loader`, `preview` and `batch` from `Packs` (packs.py).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from inspect import getattr_static
from typing import TYPE_CHECKING, Any, Protocol

from xtune.data.report import DataReport
from xtune.parallel.world import World
from xtune.structures import Batch, Sample

if TYPE_CHECKING:
    from xtune.data.templates import Template

__all__ = ["Dataset", "Items", "Loader", "ShownItems", "missing_names"]


class Items(Protocol):
    """What a micro-batch is made of: packs, or single groups of samples."""

    report: DataReport

    def __len__(self) -> int:
        """How many there are in an epoch."""
        ...

    def batch(self, indices: Sequence[int]) -> Batch:
        """Return the documents of these items end to end, each group whole."""
        ...

    def item_tokens(self, index: int) -> int:
        """Return how many tokens an item has."""
        ...


class ShownItems(Items, Protocol):
    """Items that can be looked at document by document."""

    def pack(self, index: int) -> list[int]:
        """Return the samples of an item."""
        ...

    def sample(self, index: int) -> Sample:
        """Return one tokenised document."""
        ...


class Loader(Protocol):
    """The micro-batches of each optimizer step.

    Attributes:
        steps_per_epoch: optimizer steps; None where the end of the data is not known.
        items_per_step: items that all processes take in a step.
        report: what became of the rows that it is at.
    """

    steps_per_epoch: int | None
    items_per_step: int
    report: DataReport

    def step(self, step: int) -> list[Batch]:
        """Return this process's micro-batches of a step, counted from 0 over all epochs."""
        ...

    def state_dict(self) -> dict[str, int]:
        """Return what a resumed run needs besides the number of its step."""
        ...

    def load_state_dict(self, state: Mapping[str, int]) -> None:
        """Take what `state_dict` gave."""
        ...


class Dataset(Protocol):
    """What a config's `train_dataset` and `val_dataset` name."""

    @property
    def makes(self) -> str:
        """What its groups are: 'dialogues', 'pairs' or 'unpaired'; see row_reading.py."""
        ...

    @property
    def template(self) -> Template:
        """How dialogues are rendered; it is saved with the trained weights."""
        ...

    @property
    def report(self) -> DataReport:
        """What became of the rows; where they are not all read yet, of the first ones."""
        ...

    @property
    def identity(self) -> Mapping[str, int | str]:
        """What must be the same for a run to go on."""
        ...

    def largest_id(self) -> int | None:
        """Return the largest token id; None where not all tokens are known."""
        ...

    def loader(
        self,
        *,
        batch_size: int,
        accumulative_counts: int,
        seed: int,
        shuffle: bool = True,
        num_workers: int = 0,
        world: World = ...,
    ) -> Loader:
        """Return the micro-batches of each step.

        Args:
            batch_size: items of a micro-batch.
            accumulative_counts: micro-batches of a step.
            seed: of the order.
            shuffle: visit in another order each epoch, or always from first to last.
            num_workers: threads that prepare the next steps; 0 for none.
            world: the processes that share the steps.
        """
        ...

    def preview(self) -> ShownItems:
        """Return items to look at: all, or the first of those that are not all read yet."""
        ...


def missing_names(made: Any) -> list[str]:
    """Return what of `Dataset` an object lacks; nothing of it is called."""
    names = [name for name in vars(Dataset) if not name.startswith("_")]
    return [name for name in names if getattr_static(made, name, None) is None]
