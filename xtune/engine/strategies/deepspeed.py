"""DeepSpeed's ZeRO: optimizer state, gradients and weights in parts, on one process or many.

    stage 1   each process holds 1/N of the optimizer's state
    stage 2   and of the gradients
    stage 3   and of the weights

What the engine's JSON says is DeepSpeed's own language; see xtune/config/deepspeed.py for 'auto'.
"""

from __future__ import annotations

import copy
import logging
import os
import shutil
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import torch
from peft import get_peft_model_state_dict
from torch import Tensor

from xtune.checkpoint.parts import Part
from xtune.config.deepspeed import read_engine_settings
from xtune.config.strategies import sharding_of_sheet
from xtune.engine.strategies.ddp import device_of_process
from xtune.engine.strategies.deepspeed_settings import announce_compilation, with_precision
from xtune.engine.strategies.sharding import (
    cast_weights,
    quiet_deprecations,
    refuse_other_optimizers,
)
from xtune.engine.strategies.single import SingleStrategy
from xtune.errors import ConfigError
from xtune.models.algorithms.base import Algorithm
from xtune.models.precision import PrecisionName
from xtune.parallel.world import world_of_environment
from xtune.registry import STRATEGIES
from xtune.structures import Batch

__all__ = ["DeepSpeedStrategy"]

T = TypeVar("T")

logger = logging.getLogger(__name__)


@STRATEGIES.register_module()
class DeepSpeedStrategy(SingleStrategy):
    """Trains with the engine that a JSON file describes; the optimizer is the sheet's.

    A whole model in bf16 has bf16 weights with fp32 masters in parts; an adapter stays fp32 on
    a frozen bf16 base, under autocast, as without DeepSpeed.

    Args:
        config: the name of a file in configs/deepspeed/ ('deepspeed_zero2'), the path of another,
            or its contents.
        precision: as SingleStrategy's; the same on every process.
        device: 'cpu' or 'cuda'; None: the GPUs if there are any.

    Raises:
        ConfigError: DeepSpeed is not installed, or cannot run here; no such file; not ZeRO 1 to 3.
    """

    def __init__(
        self,
        *,
        config: str | Mapping[str, Any],
        precision: PrecisionName = "auto",
        device: str | None = None,
    ) -> None:
        self.world = world_of_environment()
        super().__init__(precision=precision, device=device_of_process(self.world, device))
        self.settings = read_engine_settings(config)
        self.stage = int(self.settings.get("zero_optimization", {}).get("stage", 0))
        if self.stage not in (1, 2, 3):
            raise ConfigError(
                f"DeepSpeedStrategy: zero_optimization.stage is {self.stage}; 1, 2 or 3 are "
                "allowed. Without ZeRO use --strategy ddp"
            )
        self.sharding = sharding_of_sheet({"type": "DeepSpeedStrategy", "config": config})
        # Both are read when deepspeed is first imported, and when its engine is made.
        os.environ.setdefault("DS_ACCELERATOR", self.device.type)
        os.environ.setdefault("LOCAL_RANK", str(self.world.local_rank))
        try:
            import deepspeed
        except ImportError as error:
            raise ConfigError(
                f"DeepSpeedStrategy needs the package deepspeed, which cannot be imported ({error})"
                f". {self._way_out()}"
            ) from error
        if self.device.type == "cpu" and shutil.which(os.environ.get("CXX", "c++")) is None:
            raise ConfigError(
                "on a CPU DeepSpeed compiles an operator when it starts, and there is no C++ "
                "compiler. Install one (apt install g++), or use --strategy fsdp"
            )
        logging.getLogger("DeepSpeed").setLevel(logging.WARNING)
        self._deepspeed: Any = deepspeed
        self.engine: Any = None  # stages 1 and 2 need none for a model that is only placed

    def _way_out(self) -> str:
        install = "install it, in xtune's folder: pip install '.[deepspeed]'"
        if self.world.size == 1:
            return f"On one device leave --deepspeed out: nothing there needs it. Or {install}"
        return f"Use --strategy fsdp, or {install}"

    def prepare(  # noqa: D102
        self, model: Algorithm, make_optimizer: Callable[[Algorithm], torch.optim.Optimizer]
    ) -> None:
        settings = self._settings_for(model, all_is_trained=not model.has_adapter)
        # The engine makes its masters of weights that are bf16 by then: a resumed run's were not.
        masters = {
            name: p.data
            for name, p in model.named_parameters()
            if settings["bf16"]["enabled"] and p.requires_grad and p.dtype == torch.float32
        }
        self._part_weights(model, settings)
        super().prepare(model, make_optimizer)
        refuse_other_optimizers(self.optimizer, self.sharding.type)
        if self.device.type == "cpu" and self.world.is_main:
            announce_compilation()
        self.engine, _, _, _ = self._deepspeed.initialize(
            model=model, optimizer=self.optimizer, config=settings
        )
        self._zero: Any = self.engine.optimizer
        for name, value in masters.items():
            self._set_master(self.trainable[name], value)

    def place(self, model: Algorithm) -> None:  # noqa: D102
        model.requires_grad_(False)  # before the weights are cast
        settings = self._settings_for(model, all_is_trained=False)
        self._part_weights(model, settings)
        super().place(model)
        if self.shards_model:
            self.engine, _, _, _ = self._deepspeed.initialize(model=model, config=settings)
            model.eval()
        else:
            model.to(self.device)

    def _settings_for(self, model: Algorithm, *, all_is_trained: bool) -> dict[str, Any]:
        """The engine's settings for a model; the process is set up for it."""
        quiet_deprecations()
        self.require_trainable(model)
        self.machine.require_group()
        settings = with_precision(self.settings, self.precision, all_is_trained=all_is_trained)
        zero = settings["zero_optimization"] = dict(settings["zero_optimization"])
        # DeepSpeed sets the whole bucket aside, and its default is 5e8 numbers.
        trained = sum(p.numel() for p in model.parameters() if p.requires_grad)
        zero.setdefault("reduce_bucket_size", min(max(trained, 1), 500_000_000))
        self._autocasts = bool(settings["torch_autocast"]["enabled"])
        return settings

    def _part_weights(self, model: Algorithm, settings: Mapping[str, Any]) -> None:
        """Cast the weights, and take them apart if this stage does."""
        dtypes = {
            "frozen": self.precision.weight_dtype,
            "trained": torch.bfloat16 if settings["bf16"]["enabled"] else torch.float32,
        }
        if not self.shards_model:
            cast_weights(model, **dtypes)
            return
        for layer in (layer for backbone in model.backbones() for layer in backbone.layers):
            cast_weights(layer, **dtypes)
            self._deepspeed.zero.Init(module=layer, config_dict_or_path=settings)
        cast_weights(model, **dtypes)
        self._deepspeed.zero.Init(module=model, config_dict_or_path=settings)
        # The loss takes a head apart from its module, in the forward pass of the whole.
        for backbone in model.backbones():
            for parameter in backbone.head.module.parameters():
                self._deepspeed.zero.register_external_parameter(model, parameter)

    def forward(  # noqa: D102
        self, batch: Batch, *, normalizer: float, is_last: bool = True
    ) -> dict[str, Tensor]:
        if self.engine is None:
            return super().forward(batch, normalizer=normalizer)
        self.engine.set_gradient_accumulation_boundary(is_last)
        return self.engine(batch.to(self.device), normalizer=normalizer)

    def backward(self, loss: Tensor) -> None:  # noqa: D102
        # Gradients are averaged over the processes, and the loss is a share of the sum over all.
        self.engine.backward(loss * self.world.size, scale_wrt_gas=False)

    def clip_grad_norm(self, max_norm: float | None) -> Tensor:  # noqa: D102
        # The engine clips within its step, and says the norm only then: too late for a hook that
        # is to keep a bad gradient from the weights. So it is computed once more.
        self._zero.clip_grad = max_norm or 0.0
        if self.stage < 3:
            norm = self._zero.scaled_global_norm()
        else:
            from deepspeed.runtime.utils import combine_grad_norm_groups

            norm = combine_grad_norm_groups(self._zero._get_norm_groups())
        return torch.as_tensor(norm).float() / self._zero.loss_scale

    def step(self, lr_factor: float) -> None:  # noqa: D102
        for group in self.optimizer.param_groups:
            group["lr"] = group["base_lr"] * lr_factor
        self.engine.step()

    def state_dict(self) -> dict[str, Any]:
        """As SingleStrategy's: by parameter name, each tensor whole."""
        from deepspeed.utils import safe_get_full_optimizer_state

        by_part = self.optimizer.state.values()
        sample: Mapping[str, Any] = next(iter(by_part), {})
        keys = [key for key, value in sample.items() if _has_elements(value)]
        counts = {key: value for key, value in sample.items() if key not in keys}
        weights = self._adapter_weights()
        return {
            "trainable": {name: self._whole(self._master(p)) for name, p in weights.items()},
            "optimizer": {
                # Each its own count: an optimizer adds to it in place.
                name: copy.deepcopy(counts)
                | {key: self._whole(safe_get_full_optimizer_state(p, key)) for key in keys}
                for name, p in (self.trainable.items() if sample else ())
            },
            "scaler": {},
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:  # noqa: D102
        from deepspeed.utils import safe_set_full_optimizer_state

        self._check_names("weights", state["trainable"], self._adapter_weights())
        self._check_names("optimizer state", state["optimizer"], self.trainable)
        for name, value in state["trainable"].items():
            parameter = self.trainable[name]
            self._set_master(parameter, value)
            with self._gathered([parameter], changes=True), torch.no_grad():
                parameter.data.copy_(value)
        sample: Mapping[str, Any] = next(iter(state["optimizer"].values()), {})
        for part in self._parts() if sample else ():
            self.optimizer.state[part] = {
                key: torch.zeros_like(part) if _has_elements(value) else value.clone()
                for key, value in sample.items()
            }
        if self.stage < 3 and sample:
            self._zero._lazy_init_hp_params_optimizer_state()
        for name, values in state["optimizer"].items():
            for key, value in values.items():
                if _has_elements(value):
                    safe_set_full_optimizer_state(self.trainable[name], value.to(self.device), key)

    def gather_adapter(self) -> dict[str, Tensor]:  # noqa: D102
        if not self.shards_model:
            return super().gather_adapter()
        prefix = f"{self.model.main}."
        weights = {
            name.removeprefix(prefix): self._whole(self._master(p))
            for name, p in self.trainable.items()
            if name.startswith(prefix)
        }
        return get_peft_model_state_dict(
            self.model.language_model, state_dict=weights, save_embedding_layers=False
        )

    def parts(self) -> dict[str, Part]:  # noqa: D102
        sample: Mapping[str, Any] = next(iter(self.optimizer.state.values()), {})
        of_part = self._part_of_three if self.stage == 3 else self._part
        held = {name: of_part(p, sample) for name, p in self.model.named_parameters()}
        return {name: part for name, part in held.items() if part is not None}

    def _part(self, parameter: Any, sample: Mapping[str, Any]) -> Part | None:
        """The numbers of a weight whose fp32 master is here."""
        if not parameter.requires_grad:
            whole = Part(0, tuple(parameter.shape), parameter.flatten())
            return whole if self.world.is_main else None
        master = parameter._hp_mapping
        if master is None:
            return None
        state = {
            key: master.get_optim_state_fragment(key) if _has_elements(value) else value
            for key, value in sample.items()
        }
        start = master.lp_fragment_address.start
        return Part(start, tuple(parameter.shape), master.get_hp_fragment(), state)

    def _part_of_three(self, parameter: Any, sample: Mapping[str, Any]) -> Part | None:
        """The numbers of a weight that are here, without those that fill the last part up."""
        from deepspeed.utils import safe_get_local_fp32_param, safe_get_local_optimizer_state

        here = parameter.ds_tensor.ds_numel
        start = self.world.rank * here
        count = min(here, parameter.ds_numel - start)
        if count <= 0:
            return None
        shape = tuple(parameter.ds_shape)
        if not parameter.requires_grad:
            return Part(start, shape, parameter.ds_tensor.flatten()[:count])
        state = {
            key: safe_get_local_optimizer_state(parameter, key)[:count]
            if _has_elements(value)
            else value
            for key, value in sample.items()
        }
        return Part(start, shape, safe_get_local_fp32_param(parameter)[:count], state)

    def release(self) -> None:  # noqa: D102
        super().release()
        self.engine = self._zero = None

    def run_apart(self, function: Callable[[], T]) -> T:  # noqa: D102
        if not self.shards_model:
            return super().run_apart(function)
        own, found = self.model, list[T]()
        # As the forward pass of the whole, whose hooks put embedding and head together. They look
        # into what it returns, which may be anything here: nothing is returned.
        own.forward = lambda: found.append(function())
        try:
            super().run_apart(own)
        finally:
            del own.forward
        return found[0]

    def _autocast(self) -> torch.autocast:
        """As the engine's: a whole model has weights of the format that it is computed in."""
        return torch.autocast(
            self.device.type,
            dtype=self.precision.compute_dtype,
            enabled=self._autocasts,
            cache_enabled=not self._checkpoints,
        )

    def _gathered(self, parameters: list[Any], *, changes: bool = False) -> Any:
        return self._deepspeed.zero.GatheredParameters(
            parameters, modifier_rank=0 if changes else None, enabled=self.shards_model
        )

    def _master(self, parameter: Any) -> Tensor:
        from deepspeed.utils import safe_get_full_fp32_param

        return safe_get_full_fp32_param(parameter)

    def _set_master(self, parameter: Any, value: Tensor) -> None:
        from deepspeed.utils import safe_set_full_fp32_param

        safe_set_full_fp32_param(parameter, value.to(self.device))

    def _parts(self) -> list[Tensor]:
        """What this process's optimizer steps on: flat pieces of many parameters."""
        if self.stage < 3:
            return list(self._zero.single_partition_of_fp32_groups)
        return list(self._zero.fp32_partitioned_groups_flat)

    def _whole_weight(self, weight: Any) -> Any:
        if weight.requires_grad:
            return self._whole(self._master(weight))
        if not hasattr(weight, "ds_id"):
            return weight
        with self._gathered([weight]):
            return weight.detach().to("cpu", copy=True)

    def _whole(self, value: Any) -> Any:
        return value.detach().cpu() if self.world.is_main else value.new_empty(0)


def _has_elements(value: Any) -> bool:
    """Whether a value of the optimizer's state is one for each weight, and no count of steps."""
    return isinstance(value, Tensor) and value.ndim > 0
