"""The sections of a sheet that have no `type`, each as a function of the keys that it may have."""

from __future__ import annotations

from typing import Any, Literal

__all__ = [
    "clip_grad",
    "env_cfg",
    "mixture_source",
    "parallel",
    "paramwise_cfg",
    "randomness",
    "train_dataloader",
    "vocabulary",
]


def train_dataloader(*, batch_size: int, num_workers: int = 0, shuffle: bool = True) -> None:
    """Micro-batches of `batch_size` packs on each device.

    Args:
        batch_size: packs of a micro-batch.
        num_workers: threads that prepare the next steps; 0 for none.
        shuffle: visit the packs in another order each epoch.
    """


def mixture_source(
    *,
    data_path: Any,
    map_fn: Any = None,
    split: str = "train",
    max_rows: int | None = None,
    epochs: float | None = None,
    weight: float | None = None,
    seed: int = 0,
) -> None:
    """One source of a mixture; see xtune/data/mixture.py.

    Args:
        data_path: of the source; what a data set's is, but no mixture.
        map_fn: of its rows; None: the data set's.
        split: which part of it, where it has parts.
        max_rows: read no more rows than this.
        epochs: how often an epoch shows each of its samples.
        weight: its samples in an epoch, in proportion to those of the other sources.
        seed: of which samples are shown where not all are.
    """


def vocabulary(
    *, init: Literal["subtokens", "mean"] = "subtokens", pad_to_multiple_of: int | None = None
) -> None:
    """How the rows of added tokens begin, and what the number of rows is a multiple of.

    Args:
        init: what rows begin as: 'subtokens', the mean of those that the token was before, or
            'mean', that of all rows.
        pad_to_multiple_of: what the number of rows is a multiple of; None: of nothing.
    """


def clip_grad(*, max_norm: float) -> None:
    """Gradients are scaled down to this norm."""


def paramwise_cfg(*, custom_keys: dict[str, dict[Literal["lr_mult", "decay_mult"], float]]) -> None:
    """Per part of a parameter's name: `lr_mult`, `decay_mult`."""


def parallel(*, sequence_parallel_size: int = 1) -> None:
    """How many processes share each row of tokens; 1: each has rows of its own."""


def env_cfg(*, hang_timeout: float | None = 600.0) -> None:
    """Seconds that one process of several may stand still before all end; None: for ever."""


def randomness(*, seed: int) -> None:
    """The one seed of data order, adapter weights and dropout."""
