"""The verbs that every strategy has, whatever it runs on.

Wrapping, sharding, autocast, loss scaling and accumulation live behind them and nowhere else.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, TypeVar

import torch
from torch import Tensor

from xtune.checkpoint.parts import Part
from xtune.config.strategies import SHARDINGS, Sharding
from xtune.errors import ConfigError
from xtune.models.algorithms.base import Algorithm
from xtune.parallel.world import ALONE, World
from xtune.planning.weight_shards import refusal_of
from xtune.structures import Batch

__all__ = ["Strategy"]

T = TypeVar("T")


class Strategy(ABC):
    """Runs one model on the devices of one kind of machine, trained or only placed there.

    Another model of the same process has a strategy of its own; see machine.py.

    Attributes:
        device: where this process computes.
        precision: an `xtune.models.precision.Precision`, what it computes in.
        world: the processes that it runs on.
        sharding: what it divides among them, and what it refuses to train.
    """

    device: torch.device
    precision: Any
    world: World = ALONE
    sharding: Sharding = SHARDINGS["single"]

    @property
    def shards_model(self) -> bool:
        """Whether a process holds a part of the weights only: all take part in what it computes."""
        return "weights" in self.sharding.divided

    @property
    def divides_state(self) -> bool:
        """Whether each process holds a part of the training state only.

        Such a strategy takes a model from the CPU's memory, in the checkpoint's dtypes, casts and
        moves what a process holds itself, and has `parts`.
        """
        return bool(self.sharding.divided)

    def require_trainable(self, model: Algorithm) -> None:
        """Refuse a model that the strategy cannot run, before it is touched.

        Args:
            model: in memory.

        Raises:
            ConfigError: it cannot; why, and what to do.
        """
        why = refusal_of(self.sharding, model)
        if why is not None:
            raise ConfigError(str(why))

    @property
    def loads_on(self) -> torch.device:
        """Where the model is built."""
        return torch.device("cpu") if self.divides_state else self.device

    @abstractmethod
    def prepare(
        self, model: Algorithm, make_optimizer: Callable[[Algorithm], torch.optim.Optimizer]
    ) -> None:
        """Take the model, on `loads_on`, and give it its optimizer.

        Args:
            model: the algorithm.
            make_optimizer: returns its optimizer, once its weights are where they are trained.

        Raises:
            ConfigError: it cannot run this model, or with this optimizer.
        """

    @abstractmethod
    def place(self, model: Algorithm) -> None:
        """Take a model that is never trained, on `loads_on`: instead of `prepare`.

        All its weights are frozen, and divided as those of a trained model are, in the precision's
        `weight_dtype`; a strategy that leaves them whole leaves them in the formats that they were
        loaded in. Afterwards `forward` and `run_apart` run it, and it has no state.

        Raises:
            ConfigError: it cannot run this model.
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

    @abstractmethod
    def gather_part(self, name: str) -> dict[str, Tensor]:
        """Return the whole state of a part, by its module's own names; on the main process alone.

        All processes call it, as `state_dict`. What is trained is as exact as the optimizer has it.

        Args:
            name: of `Algorithm.parts()`; a part that is saved as weights.
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

    @abstractmethod
    def run_apart(self, function: Callable[[], T]) -> T:
        """Call a function that runs the model, or what it is made of, without gradients.

        It computes in the formats that `forward` computes in, so that its logits are those of
        training. Where the model is sharded all processes call it, with the same function; weights
        outside the layers, such as the head's, are whole meanwhile.
        """

    def release(self) -> None:  # noqa: B027 - a strategy may hold no model
        """Let go of the model and its optimizer, after an error, so that their memory is free."""

    def close(self) -> None:  # noqa: B027 - most strategies have nothing to give back
        """Give back what belongs to the process, such as the processor's rounding mode."""
