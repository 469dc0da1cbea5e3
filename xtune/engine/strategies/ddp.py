"""Several processes, each with the whole model: PyTorch's DistributedDataParallel."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import torch
from torch import Tensor
from torch.nn.parallel import DistributedDataParallel

from xtune.config.strategies import SHARDINGS
from xtune.engine.strategies.single import SingleStrategy
from xtune.models.algorithms.base import Algorithm
from xtune.models.precision import PrecisionName
from xtune.parallel.world import World, world_of_environment
from xtune.registry import STRATEGIES
from xtune.structures import Batch

__all__ = ["DDPStrategy", "device_of_process"]


@STRATEGIES.register_module()
class DDPStrategy(SingleStrategy):
    """Trains on one device for each process; gradients are exchanged once a step.

    Args:
        precision: as SingleStrategy's; the same on every process.
        device: 'cpu' or 'cuda'; None: the GPUs if there are any.
    """

    sharding = SHARDINGS["ddp"]

    def __init__(self, *, precision: PrecisionName = "auto", device: str | None = None) -> None:
        self.world = world_of_environment()
        super().__init__(precision=precision, device=device_of_process(self.world, device))

    def prepare(  # noqa: D102
        self, model: Algorithm, make_optimizer: Callable[[Algorithm], torch.optim.Optimizer]
    ) -> None:
        super().prepare(model, make_optimizer)
        self._replica: Any = DistributedDataParallel(
            model,
            device_ids=[self.device] if self.device.type == "cuda" else None,
            forward_sync_buffers=False,  # those of a rotary embedding are each replica's own
            gradient_as_bucket_view=True,
        )

    @property
    def _is_placed(self) -> bool:
        """Whether nothing is trained: no gradients, and no replica that exchanges them."""
        return "_replica" not in self.__dict__

    def forward(  # noqa: D102
        self, batch: Batch, *, normalizer: float, is_last: bool = True
    ) -> dict[str, Tensor]:
        # Gradients are exchanged in the backward pass of the step's last micro-batch alone.
        with nullcontext() if is_last or self._is_placed else self._replica.no_sync():
            return super().forward(batch, normalizer=normalizer)

    def backward(self, loss: Tensor) -> None:  # noqa: D102
        # The replicas' gradients are averaged, and the loss is a share of the sum over all.
        super().backward(loss * self.world.size)

    def release(self) -> None:  # noqa: D102
        super().release()
        self.__dict__.pop("_replica", None)

    def _run(self, batch: Batch, normalizer: float) -> dict[str, Tensor]:
        if torch.is_grad_enabled() and not self._is_placed:
            return self._replica(batch, normalizer=normalizer)
        return super()._run(batch, normalizer)


def device_of_process(world: World, wanted: str | None) -> str:
    """Return the device of this process, which is a GPU of its own.

    Args:
        world: which process this is.
        wanted: 'cpu' or 'cuda'; None: the GPUs if there are any.
    """
    kind = wanted or ("cuda" if torch.cuda.is_available() else "cpu")
    return f"cuda:{world.local_rank}" if kind == "cuda" else kind
