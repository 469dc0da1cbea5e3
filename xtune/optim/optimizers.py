"""Optimizers, and the parameter groups they get.

An optimizer is named in the sheet by a name registered here, or by a dotted path such as
'torch.optim.SGD'; it is called with the parameter groups and the other keys of `optimizer`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any

import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode

from xtune.errors import ConfigError, did_you_mean
from xtune.optim.low_rank import LOW_RANK, is_projected
from xtune.registry import OPTIMIZERS, build, resolve

__all__ = [
    "AdamW",
    "AdamW8bit",
    "PagedAdamW8bit",
    "PagedAdamW32bit",
    "build_optimizer",
    "state_bytes",
]


def build_optimizer(
    model: nn.Module,
    cfg: Mapping[str, Any],
    paramwise_cfg: Mapping[str, Any] | None = None,
) -> torch.optim.Optimizer:
    """Build the sheet's `optimizer` over the parameters of `model` that require a gradient.

    Weight decay goes to matrices only: biases and norm scales (fewer than 2 dimensions) get none.
    The optimizers of low rank get the matrices of layers in groups with `projected=True`.

    Args:
        model: its trainable parameters are optimized.
        cfg: the sheet's `optimizer`: type, lr, weight_decay, ….
        paramwise_cfg: `custom_keys={'substring': dict(lr_mult=0.1, decay_mult=0.0)}`; the longest
            substring found in a parameter's name decides.

    Returns:
        The optimizer. Each of its groups carries `base_lr`, which schedules multiply.

    Raises:
        ConfigError: nothing is trainable, or a custom key names no trainable parameter.
    """
    lr, decay = float(cfg["lr"]), float(cfg.get("weight_decay", 0.0))
    named = [(name, p) for name, p in model.named_parameters() if p.requires_grad]
    if not named:
        raise ConfigError(
            "no parameter of the model is trainable; add an adapter (model.adapter), or remove "
            "the quantization to train all of it"
        )
    keys = dict((paramwise_cfg or {}).get("custom_keys", {}))
    _check_custom_keys(keys, [name for name, _ in named])
    is_low_rank = resolve(OPTIMIZERS, cfg["type"]) in LOW_RANK
    groups: dict[tuple[float, float, bool], dict[str, Any]] = {}
    for name, parameter in named:
        matching = max((key for key in keys if key in name), key=len, default=None)
        custom = keys[matching] if matching is not None else {}
        own_lr = lr * custom.get("lr_mult", 1.0)
        own_decay = decay * custom.get("decay_mult", 1.0) if parameter.ndim >= 2 else 0.0
        projected = is_low_rank and is_projected(name, parameter)
        group = groups.setdefault(
            (own_lr, own_decay, projected),
            {"params": [], "lr": own_lr, "weight_decay": own_decay}
            | ({"projected": True} if projected else {}),
        )
        group["params"].append(parameter)
    optimizer = build(OPTIMIZERS, cfg, params=list(groups.values()))
    for group in optimizer.param_groups:
        group["base_lr"] = group["lr"]
    return optimizer


def state_bytes(model: nn.Module, cfg: Mapping[str, Any]) -> int:
    """Return the bytes of state that the sheet's `optimizer` will keep for a model.

    The optimizer itself makes that state, on tensors without memory. What can be moved to the
    host's memory when the GPU's runs short is counted: it is there as long as it fits.

    Args:
        model: its trainable parameters are optimized; it may be on 'meta'.
        cfg: the sheet's `optimizer`.
    """
    counts = Counter(p.shape for p in model.parameters() if p.requires_grad)
    if not counts:
        return 0
    with FakeTensorMode(allow_non_fake_inputs=True), _NoKernels():
        parameters = [nn.Parameter(torch.empty(shape)) for shape in counts]
        for parameter in parameters:
            parameter.grad = torch.empty_like(parameter)
        optimizer: Any = build(OPTIMIZERS, cfg, params=parameters)
        if hasattr(optimizer, "init_state"):  # bitsandbytes, whose step needs its kernels
            optimizer.is_paged = False
            optimizer.name2qmap = {"dynamic": torch.empty(256), "udynamic": torch.empty(256)}
            for index, parameter in enumerate(parameters):
                optimizer.init_state(optimizer.param_groups[0], parameter, 0, index)
        else:
            optimizer.step()
        total = 0
        for parameter in parameters:
            # The tables of 8-bit numbers are one for all parameters.
            held = {
                value.untyped_storage()._cdata: value.untyped_storage().nbytes()
                for key, value in optimizer.state[parameter].items()
                if isinstance(value, torch.Tensor) and not key.startswith("qmap")
            }
            total += counts[parameter.shape] * sum(held.values())
    return total


class _NoKernels(TorchDispatchMode):
    """Numbers are 1, and fused optimizers, which change no shape, do nothing."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func.__name__.startswith("_fused_"):
            return None
        if func.__name__.startswith("_local_scalar_dense"):
            return 1.0
        return func(*args, **(kwargs or {}))


def _check_custom_keys(keys: Mapping[str, Mapping[str, float]], names: list[str]) -> None:
    for key, custom in keys.items():
        if wrong := set(custom) - {"lr_mult", "decay_mult"}:
            raise ConfigError(
                f"paramwise_cfg.custom_keys[{key!r}] has {sorted(wrong)[0]!r}; "
                "allowed: lr_mult, decay_mult"
            )
        if not any(key in name for name in names):
            parts = {part for name in names for part in name.split(".")}
            raise ConfigError(
                f"paramwise_cfg.custom_keys: no trainable parameter's name contains {key!r}"
                f"{did_you_mean(key, parts)} The first of {len(names)} names: {names[0]}"
            )


class _Adam:
    """What the optimizers of this name are called with; each subclass says which one it makes.

    Args:
        params: parameters or groups of them.
        lr: the learning rate, which the schedule multiplies.
        betas: how slowly both moments are forgotten.
        eps: added to the root of the second.
        weight_decay: share of a weight that a step takes away, times the learning rate.
    """

    def __new__(
        cls,
        params: Iterable[Any],
        *,
        lr: float,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
    ) -> Any:
        """Return a torch.optim.Optimizer."""
        groups = list(params)
        first = groups[0]["params"][0] if isinstance(groups[0], dict) else groups[0]
        made_by = cls._maker(first.device)
        return made_by(groups, lr=lr, betas=betas, eps=eps, weight_decay=weight_decay)

    @classmethod
    def _maker(cls, device: torch.device) -> Callable[..., torch.optim.Optimizer]:
        """That of bitsandbytes which has the class's name."""
        import bitsandbytes.optim  # one to two seconds, for the few runs that ask for it

        name = cls.__name__
        if device.type == "cpu":  # there is no memory to move to; bitsandbytes would warn
            name = name.removeprefix("Paged")
        made_by: Callable[..., torch.optim.Optimizer] = getattr(bitsandbytes.optim, name)
        return made_by


@OPTIMIZERS.register_module()
class AdamW(_Adam):
    """AdamW of torch in its fused form: one kernel for all parameters, on the CPU too."""

    @classmethod
    def _maker(cls, device: torch.device) -> Callable[..., torch.optim.Optimizer]:
        return partial(torch.optim.AdamW, fused=True)


@OPTIMIZERS.register_module()
class AdamW8bit(_Adam):
    """AdamW of bitsandbytes with 8-bit moments: 2 bytes of state a parameter instead of 8."""


@OPTIMIZERS.register_module()
class PagedAdamW8bit(_Adam):
    """AdamW8bit whose state moves to the host's memory when the GPU's runs short.

    On a CPU it is AdamW8bit.
    """


@OPTIMIZERS.register_module()
class PagedAdamW32bit(_Adam):
    """AdamW with 32-bit moments that move to the host's memory when the GPU's runs short.

    On a CPU they stay where they are.
    """
