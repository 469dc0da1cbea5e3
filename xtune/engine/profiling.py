"""Where a step's time and memory go: scopes around modules, and sums over what ran in them.

A scope is torch's `record_function`, opened and closed by a module's forward hooks; inner ones
take their part out of outer ones:

    algorithm   loss               whatever is not in the backbone
    backbone    other              embedding, rotary positions, residual sums
    attention   attention          what is between its projections
    MLP         MLP activation     what is between its projections
    linear, adapter, norm          themselves

Communication is what torch's process groups record; the layers inside an adapter have no hooks,
since a fused one steps aside for them.

An operation of the backward pass belongs to the scope of the forward one that it is the gradient
of: torch numbers both alike.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from peft.tuners.tuners_utils import BaseTunerLayer
from torch import nn
from torch.profiler import record_function

from xtune.models.algorithms.base import Algorithm

__all__ = ["PARTS", "Part", "Scopes", "sum_by_part"]

PARTS = (
    "attention",
    "linear",
    "norm",
    "MLP activation",
    "loss",
    "optimizer",
    "data",
    "communication",
    "other",
)
_COLLECTIVES = ("c10d::", "gloo:", "nccl:", "record_param_comms")
_MARK = "xtune part: "


@dataclass(slots=True)
class Part:
    """Sums over some steps.

    Attributes:
        forward, backward: seconds of the device's operations; a recomputation is backward.
        kept: bytes allocated and not freed in the forward pass: what the backward pass needs.
    """

    forward: float = 0.0
    backward: float = 0.0
    kept: int = 0


class Scopes:
    """Marks what a model's modules do, until it is closed.

    Args:
        model: the algorithm; nothing of it is changed but its hooks.
    """

    def __init__(self, model: Algorithm) -> None:
        bodies = [backbone.body for backbone in model.backbones()]
        adapted: list[Any] = [
            layer for layer in model.modules() if isinstance(layer, BaseTunerLayer)
        ]
        within = {inner for layer in adapted for inner in list(layer.modules())[1:]}
        self._open: list[Any] = []
        self._hooks = [
            hook
            for module in model.modules()
            if module not in within
            if (part := _part_of(module, model, bodies)) is not None
            for hook in self._mark(module, part)
        ]

    def _mark(self, module: nn.Module, part: str) -> Iterator[Any]:
        def enter(*_: Any) -> None:
            self.enter(part)

        def leave(*_: Any) -> None:
            self.leave()

        yield module.register_forward_pre_hook(enter)
        yield module.register_forward_hook(leave, always_call=True)

    def enter(self, part: str) -> None:
        """Open a scope within those that are open."""
        scope = record_function(_MARK + part)
        scope.__enter__()
        self._open.append(scope)

    def leave(self) -> None:
        """Close the innermost scope."""
        if self._open:
            self._open.pop().__exit__(None, None, None)

    def close(self) -> None:
        """Take the hooks off."""
        while self._open:
            self.leave()
        for hook in self._hooks:
            hook.remove()


def _part_of(module: nn.Module, model: nn.Module, bodies: Sequence[nn.Module]) -> str | None:
    kind = type(module).__name__
    if module is model:
        return "loss"
    if any(module is body for body in bodies):
        return "other"
    if isinstance(module, nn.Linear | BaseTunerLayer):
        return "linear"
    if kind.endswith("Norm"):
        return "norm"
    if kind.endswith("Attention"):
        return "attention"
    if kind.endswith(("MLP", "Mlp", "Experts", "MoeBlock")):
        return "MLP activation"
    return None


def sum_by_part(events: Iterable[Any], *, on_gpu: bool) -> dict[str, Part]:
    """Return part -> sums.

    Args:
        events: of `torch.profiler.profile.events()`.
        on_gpu: sum up the GPU's time, not the CPU's.
    """
    events = [event for event in events if event.device_type == torch.autograd.DeviceType.CPU]
    parts: dict[str, Part] = defaultdict(Part)
    forward_of: dict[tuple[int, int], str] = {}
    for event in events:
        node = _backward_node(event)
        if node is None and event.sequence_nr >= 0:
            forward_of[event.thread, event.sequence_nr] = _scope(event) or "other"
    for event in events:
        if event.name.startswith((_MARK, "ProfilerStep")):
            continue
        own, node = _scope(event), _backward_node(event)
        if own is None and node is not None:
            own = forward_of.get((node.fwd_thread, node.sequence_nr))
        part = parts[own or "other"]
        seconds = (event.self_device_time_total if on_gpu else event.self_cpu_time_total) / 1e6
        if node is not None:
            part.backward += seconds
        else:
            part.forward += seconds
            memory = event.self_device_memory_usage if on_gpu else event.self_cpu_memory_usage
            part.kept += memory if own not in (None, "optimizer", "data", "communication") else 0
    return dict(parts)


def _scope(event: Any) -> str | None:
    while event is not None:
        if event.name.startswith(_MARK):
            return str(event.name.removeprefix(_MARK))
        if event.name.startswith("Optimizer.step"):
            return "optimizer"
        if event.name.startswith(_COLLECTIVES):
            return "communication"
        event = event.cpu_parent
    return None


def _backward_node(event: Any) -> Any:
    """The outermost event of autograd that this one is in, or None."""
    found = None
    while event is not None:
        if event.name.startswith("autograd::engine::evaluate_function"):
            found = event
        event = event.cpu_parent
    return found
