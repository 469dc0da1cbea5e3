"""The verbs that every strategy has, whatever it runs on.

Wrapping, sharding, autocast, loss scaling and accumulation live behind them and nowhere else.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, Literal, TypeVar

import torch
from torch import Tensor

from xtune.checkpoint.parts import Part
from xtune.models.algorithms.base import Algorithm
from xtune.parallel.world import ALONE, World
from xtune.structures import Batch

__all__ = ["Strategy"]

T = TypeVar("T")


class Strategy(ABC):
    """Runs one model on the devices of one kind of machine.

    Attributes:
        device: where this process computes.
        precision: an `xtune.models.precision.Precision`, what it computes in.
        world: the processes that it runs on.
        processes: how many it is for.
        shards_model: whether a process holds a part of the model's weights only, so that all must
            take part in whatever the model computes.
        divides_state: whether each process holds a part of the training state only: it takes a
            model from the CPU's memory, in the checkpoint's dtypes, casts and moves what a process
            holds itself, and has `parts`.
    """

    device: torch.device
    precision: Any
    world: World = ALONE
    processes: Literal["one", "several", "any"] = "one"
    shards_model: bool = False
    divides_state: bool = False

    @property
    def loads_on(self) -> torch.device:
        """Where the model is built."""
        return torch.device("cpu") if self.divides_state else self.device

    @abstractmethod
    def prepare(
        self, model: Algorithm, make_optimizer: Callable[[Algorithm], torch.optim.Optimizer]
    ) -> None:
        """Take the model, on `loads_on`, and give it its optimizer.

        Raises:
            ConfigError: it cannot run this model, or with this optimizer.
        """

    @abstractmethod
    def forward(
        self, batch: Batch, *, normalizer: float, is_last: bool = True
    ) -> dict[str, Tensor]:
        """Run the model on one micro-batch.

        Args:
            batch: on any device.
            normalizer: the sum of `Algorithm.weight` over the micro-batches of the whole optimizer
                step, on all processes.
            is_last: whether it is the step's last micro-batch here.

        Returns:
            What the model returns: 'loss', an fp32 scalar, and other metrics, scalars too. Each is
            a share of a sum over the step's micro-batches and all processes, such as a count
            divided by `normalizer`; see `xtune.engine.update`. Where processes share a row, what
            each of them has computed of the whole row is divided by how many they are.
        """

    @abstractmethod
    def backward(self, loss: Tensor) -> None:
        """Add the gradients of `loss` to those of the micro-batches before it."""

    @abstractmethod
    def clip_grad_norm(self, max_norm: float | None) -> Tensor:
        """Scale the gradients to a 2-norm of at most `max_norm`; return the norm before, a scalar.

        None: only measure.
        """

    @abstractmethod
    def step(self, lr_factor: float) -> None:
        """Let the optimizer step with its base learning rates times `lr_factor`; drop gradients."""

    @abstractmethod
    def state_dict(self) -> dict[str, Any]:
        """What a resumed run needs besides the model: a nested dict of tensors and values."""

    @abstractmethod
    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from what `state_dict` returned.

        Raises:
            CheckpointError: it belongs to another model or optimizer.
        """

    @abstractmethod
    def gather_adapter(self) -> dict[str, Tensor]:
        """Return the whole adapter under PEFT's names, on the CPU; on the main process alone.

        All processes call it, as `state_dict`.
        """

    def whole_model(self) -> Any:
        """Return the language model with all its weights, of a strategy without `parts`.

        It is the model itself where that is on the CPU, and otherwise a copy there.
        """
        raise NotImplementedError

    def parts(self) -> dict[str, Part] | None:
        """Return what this process holds of the weights and of the optimizer's state, by name.

        None where it holds the whole. The parts of all processes are the whole, with no part twice;
        they are where they are computed with, and the next step changes them.
        """
        return None

    def run_apart(self, function: Callable[[], T]) -> T:
        """Call a function that runs the language model by itself, without gradients.

        Where the model is sharded all processes call it, with the same function.
        """
        return function()

    def release(self) -> None:  # noqa: B027 - a strategy may hold no model
        """Let go of the model and its optimizer, after an error, so that their memory is free."""

    def close(self) -> None:  # noqa: B027 - most strategies have nothing to give back
        """Give back what belongs to the process, such as the processor's rounding mode."""
