"""One process, one device: the CPU or one GPU."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import torch
from peft import get_peft_model_state_dict
from torch import Tensor, nn

from xtune.engine.strategies.base import Strategy
from xtune.engine.strategies.machine import Machine
from xtune.engine.strategies.sharding import with_weights
from xtune.errors import CheckpointError
from xtune.models.algorithms.base import Algorithm
from xtune.models.generation import checkpoints_layers
from xtune.models.precision import PrecisionName
from xtune.registry import STRATEGIES
from xtune.structures import Batch

__all__ = ["SingleStrategy"]

T = TypeVar("T")


@STRATEGIES.register_module()
class SingleStrategy(Strategy):
    """Trains on one device, in the best precision that it has.

    Threads are torch's own choice: set OMP_NUM_THREADS to change it.

    Args:
        precision: 'auto' (measured), 'fp32', 'bf16' or 'fp16'. fp16 scales the loss.
        device: 'cpu', 'cuda', 'cuda:1'; None: the GPU if there is one.
    """

    def __init__(self, *, precision: PrecisionName = "auto", device: str | None = None) -> None:
        self.machine = Machine(self.world, precision=precision, device=device)
        self.device, self.precision = self.machine.device, self.machine.precision
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=self.precision.loss_scaling)

    def prepare(  # noqa: D102
        self, model: Algorithm, make_optimizer: Callable[[Algorithm], torch.optim.Optimizer]
    ) -> None:
        self._take(model)
        self.optimizer = make_optimizer(model)
        self.trainable: dict[str, Tensor] = {
            name: p for name, p in model.named_parameters() if p.requires_grad
        }

    def place(self, model: Algorithm) -> None:  # noqa: D102
        model.requires_grad_(False)
        self._take(model)
        model.eval()

    def _take(self, model: Algorithm) -> None:
        self.machine.open()
        self.model: Any = model
        # A layer that is recomputed casts its weights again: copies of all would only be held.
        self._checkpoints = checkpoints_layers(model)

    def forward(  # noqa: D102
        self, batch: Batch, *, normalizer: float, is_last: bool = True
    ) -> dict[str, Tensor]:
        with self._autocast():
            return self._run(batch.to(self.device), normalizer)

    def backward(self, loss: Tensor) -> None:  # noqa: D102
        self.scaler.scale(loss).backward()

    def clip_grad_norm(self, max_norm: float | None) -> Tensor:  # noqa: D102
        self.scaler.unscale_(self.optimizer)
        limit = float("inf") if max_norm is None else max_norm
        return nn.utils.clip_grad_norm_(self.trainable.values(), limit)

    def step(self, lr_factor: float) -> None:  # noqa: D102
        for group in self.optimizer.param_groups:
            group["lr"] = group["base_lr"] * lr_factor
        self.scaler.step(self.optimizer)  # without fp16 scaling: just optimizer.step()
        self.scaler.update()
        self.optimizer.zero_grad(set_to_none=True)

    def state_dict(self) -> dict[str, Any]:
        """Return the optimizer's state by parameter name, the loss scale, and an adapter's weights.

        A whole model's weights are not in it: they are in the checkpoint's `model/`. Every strategy
        returns the same, so that a run may be resumed under another one.
        """
        state = self.optimizer.state_dict()["state"]
        names = self._names_by_index()
        return {
            "trainable": {name: self._whole(t) for name, t in self._adapter_weights().items()},
            "optimizer": {
                names[index]: {key: self._whole(value) for key, value in values.items()}
                for index, values in state.items()
            },
            "scaler": self.scaler.state_dict(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:  # noqa: D102
        self._check_names("weights", state["trainable"], self._adapter_weights())
        self._check_names("optimizer state", state["optimizer"], self.trainable)
        with torch.no_grad():
            for name, value in state["trainable"].items():
                self.trainable[name].copy_(self._share(value, self.trainable[name]))
        groups = self.optimizer.state_dict()["param_groups"]
        by_index = {
            index: {
                key: self._share(value, self.trainable[name])
                for key, value in state["optimizer"][name].items()
            }
            for index, name in self._names_by_index().items()
            if name in state["optimizer"]
        }
        self.optimizer.load_state_dict({"state": by_index, "param_groups": groups})
        self.scaler.load_state_dict(state["scaler"])

    def gather_adapter(self) -> dict[str, Tensor]:  # noqa: D102
        adapter = get_peft_model_state_dict(self.model.language_model, save_embedding_layers=False)
        return {name: self._whole(tensor.detach()).cpu() for name, tensor in adapter.items()}

    def gather_part(self, name: str) -> dict[str, Tensor]:  # noqa: D102
        state = self.model.parts()[name].module.state_dict(keep_vars=True)
        own = {key: self.trainable.get(f"{name}.{key}", value) for key, value in state.items()}
        return {key: self._whole_weight(value).detach().cpu() for key, value in own.items()}

    def whole_model(self) -> Any:  # noqa: D102
        llm = self.model.language_model
        if self.device.type == "cpu":
            return llm
        return with_weights(llm, {name: value.cpu() for name, value in llm.state_dict().items()})

    def run_apart(self, function: Callable[[], T]) -> T:  # noqa: D102
        with torch.no_grad(), self._autocast():
            return function()

    def release(self) -> None:  # noqa: D102
        for name in ("model", "optimizer", "trainable"):
            self.__dict__.pop(name, None)

    def close(self) -> None:  # noqa: D102
        self.machine.close()

    def _autocast(self) -> torch.autocast:
        return torch.autocast(
            self.device.type,
            dtype=self.precision.compute_dtype,
            enabled=self.precision.autocast,
            cache_enabled=not self._checkpoints,
        )

    def _run(self, batch: Batch, normalizer: float) -> dict[str, Tensor]:
        return self.model(batch, normalizer=normalizer)

    def _whole(self, value: Any) -> Any:
        """Put a tensor together of which each process holds a part."""
        return value

    def _whole_weight(self, weight: Any) -> Any:
        """Put a weight or buffer of the model together, in the format that is stepped on."""
        return self._whole(weight)

    def _share(self, value: Any, parameter: Tensor) -> Any:
        """Return the part of a whole tensor that this process holds of `parameter`."""
        return value

    def _adapter_weights(self) -> dict[str, Tensor]:
        return dict(self.trainable) if self.model.has_adapter else {}

    def _names_by_index(self) -> dict[int, str]:
        """The optimizer numbers parameters group by group; their names outlive that order."""
        names = {id(parameter): name for name, parameter in self.trainable.items()}
        ordered = [p for group in self.optimizer.param_groups for p in group["params"]]
        return {index: names[id(parameter)] for index, parameter in enumerate(ordered)}

    @staticmethod
    def _check_names(what: str, saved: dict[str, Any], own: dict[str, Tensor]) -> None:
        unknown = sorted(set(saved) - set(own))
        missing = sorted(set(own) - set(saved)) if what == "weights" else []
        misshapen = [
            name
            for name in set(saved) & set(own)
            if isinstance(saved[name], Tensor) and saved[name].shape != _shape(own[name])
        ]
        wrong = unknown or missing or sorted(misshapen)
        if wrong:
            raise CheckpointError(
                f"the checkpoint's {what} are of another model or adapter: {len(wrong)} parameters "
                f"differ, the first is {wrong[0]}. Resume with the config that wrote it "
                "(work_dir/config.py), or start in another --work-dir"
            )


def _shape(parameter: Tensor) -> torch.Size:
    """The whole parameter's: ZeRO 3 notes it on one that it has taken apart."""
    return getattr(parameter, "ds_shape", parameter.shape)
