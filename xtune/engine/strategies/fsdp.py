"""Several processes, each with a part of every weight: PyTorch's FSDP2 (`fully_shard`).

A layer's weights are put together when it runs, and parted again; gradients and the optimizer's
state exist in parts only. The embedding and the head stay together from the forward pass to the
end of the backward pass, since the loss uses the head apart from its module.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from types import MethodType
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import (
    CPUOffloadPolicy,
    MixedPrecisionPolicy,
    fully_shard,
    register_fsdp_forward_method,
)
from torch.distributed.tensor import DTensor, distribute_tensor

from xtune.checkpoint.parts import Part
from xtune.config.strategies import SHARDINGS
from xtune.engine.strategies.ddp import device_of_process
from xtune.engine.strategies.sharding import (
    cast_weights,
    quiet_deprecations,
    refuse_other_optimizers,
)
from xtune.engine.strategies.single import SingleStrategy
from xtune.errors import ConfigError
from xtune.models.algorithms.base import Algorithm
from xtune.models.head import ScoreHead
from xtune.models.precision import PrecisionName
from xtune.parallel.world import world_of_environment
from xtune.registry import STRATEGIES
from xtune.structures import Batch

__all__ = ["FSDPStrategy"]

T = TypeVar("T")


@STRATEGIES.register_module()
class FSDPStrategy(SingleStrategy):
    """Trains a model that is larger than one device, each process holding 1/N of it.

    A process reads the checkpoint through a memory map and casts it layer by layer, so that it
    never holds the whole in the dtype that is trained.

    Args:
        precision: as SingleStrategy's, but for 'fp16'; the same on every process. In bf16 weights
            are exchanged in bf16, gradients in fp32.
        device: 'cpu' or 'cuda'; None: the GPUs if there are any.
        reshard_after_forward: part a layer again between the forward and the backward pass. False
            holds all weights from the one to the other, and exchanges a third less.
        offload: keep weights, gradients and optimizer state in the host's memory.

    Raises:
        ConfigError: fp16; offload from a CPU.
    """

    def __init__(
        self,
        *,
        precision: PrecisionName = "auto",
        device: str | None = None,
        reshard_after_forward: bool = True,
        offload: bool = False,
    ) -> None:
        self.world = world_of_environment()
        super().__init__(precision=precision, device=device_of_process(self.world, device))
        self.reshard_after_forward = reshard_after_forward
        self.offload = offload
        self.sharding = SHARDINGS["fsdp+offload" if offload else "fsdp"]
        if self.precision.loss_scaling:
            raise ConfigError(
                "FSDPStrategy has no loss scaling, which fp16 needs: strategy.precision=bf16 or "
                "fp32, or DDPStrategy"
            )
        if offload and self.device.type == "cpu":
            raise ConfigError(
                "FSDPStrategy: offload moves weights from a GPU to the host's memory, and this run "
                "is on the CPU: leave it out"
            )

    def prepare(  # noqa: D102
        self, model: Algorithm, make_optimizer: Callable[[Algorithm], torch.optim.Optimizer]
    ) -> None:
        self.require_trainable(model)
        self.all_is_trained = not model.has_adapter
        self._shard(model)
        super().prepare(model, make_optimizer)
        refuse_other_optimizers(self.optimizer, self.sharding.type)

    def place(self, model: Algorithm) -> None:  # noqa: D102
        self.require_trainable(model)
        self.all_is_trained = False
        model.requires_grad_(False)  # before the weights are cast
        self._shard(model)
        super().place(model)

    def _shard(self, model: Algorithm) -> None:
        quiet_deprecations()
        bf16 = self.precision.compute_dtype == torch.bfloat16
        settings: dict[str, Any] = {
            "mesh": init_device_mesh(self.device.type, (self.world.size,)),
            # An adapter stays fp32, as on one device; its layers' frozen weights are bf16 anyway.
            "mp_policy": MixedPrecisionPolicy(
                param_dtype=torch.bfloat16 if bf16 and self.all_is_trained else None,
                reduce_dtype=torch.float32,
                cast_forward_inputs=False,  # autocast does
            ),
            "reshard_after_forward": self.reshard_after_forward,
            **({"offload_policy": CPUOffloadPolicy()} if self.offload else {}),
        }
        for layer in (layer for backbone in model.backbones() for layer in backbone.layers):
            self._place(layer)
            fully_shard(layer, **settings)
        self._place(model)
        together = {"reshard_after_forward": False}
        exact = {"mp_policy": MixedPrecisionPolicy(reduce_dtype=torch.float32)}
        for head in (backbone.head.module for backbone in model.backbones()):
            if isinstance(head, ScoreHead):  # scores are fp32, whatever the layers are
                fully_shard(head, **settings | together | exact)
        fully_shard(model, **settings | together)
        # A second forward pass, of whatever is run in it: it puts embedding and head together too.
        own: Any = model
        own.run_apart = MethodType(_call, model)
        register_fsdp_forward_method(own, "run_apart")

    def forward(  # noqa: D102
        self, batch: Batch, *, normalizer: float, is_last: bool = True
    ) -> dict[str, Tensor]:
        # An adapter's gradients are small, and exchanged once a step. Those of a whole model would
        # not fit: they are parted after every micro-batch.
        self.model.set_requires_gradient_sync(is_last or self.all_is_trained)
        return super().forward(batch, normalizer=normalizer)

    def backward(self, loss: Tensor) -> None:  # noqa: D102
        # Gradients are averaged over the processes, and the loss is a share of the sum over all.
        super().backward(loss * self.world.size)

    def clip_grad_norm(self, max_norm: float | None) -> Tensor:  # noqa: D102
        norm: Any = super().clip_grad_norm(max_norm)
        return norm.full_tensor() if isinstance(norm, DTensor) else norm

    def run_apart(self, function: Callable[[], T]) -> T:  # noqa: D102
        return super().run_apart(lambda: self.model.run_apart(function))

    def parts(self) -> dict[str, Part]:  # noqa: D102
        # After a forward pass without a backward one the model's own are still put together.
        every = dict(self.model.named_parameters()) | self.trainable
        held = {name: self._part(p) for name, p in every.items()}
        return {name: part for name, part in held.items() if part is not None}

    def _part(self, parameter: Any) -> Part | None:
        """The rows of a weight that are here: as torch.chunk divides them, and in the last less."""
        shape = tuple(parameter.shape)
        if not isinstance(parameter, DTensor):
            return Part(0, shape, parameter.flatten()) if self.world.is_main else None
        weight = parameter.to_local().flatten()
        if not len(weight):
            return None
        rows = math.ceil(shape[0] / self.world.size)
        state: dict[str, Any] = self.optimizer.state.get(parameter, {})
        return Part(
            self.world.rank * rows * math.prod(shape[1:]),
            shape,
            weight,
            {
                key: value.to_local().flatten() if isinstance(value, DTensor) else value
                for key, value in state.items()
            },
        )

    def _place(self, module: nn.Module) -> None:
        """Bring what is not parted yet to the device, in the dtypes that are trained."""
        cast_weights(module, frozen=self.precision.weight_dtype)
        if not any(isinstance(parameter, DTensor) for parameter in module.parameters()):
            module.to(self.device)  # with what bitsandbytes keeps next to a weight

    def _whole(self, value: Any) -> Any:
        if not isinstance(value, DTensor):
            return value
        part: Any = value.detach()
        whole = part.full_tensor()
        return whole.cpu() if self.world.is_main else whole.new_empty(0)

    def _share(self, value: Any, parameter: Tensor) -> Any:
        if not isinstance(value, Tensor) or value.shape != parameter.shape:
            return value  # Adam counts its steps
        own = parameter
        assert isinstance(own, DTensor)
        value = value.to(own.device)
        return distribute_tensor(value, own.device_mesh, own.placements, src_data_rank=None)


def _call(model: nn.Module, function: Callable[[], T]) -> T:
    return function()
