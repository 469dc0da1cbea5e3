"""What each device holds and sends when several train one model, strategy by strategy.

Rajbhandari et al. 2020, "ZeRO" (arXiv 1910.02054): stage 1 divides the optimizer's state among the
devices, stage 2 the gradients too, stage 3 the weights too; FSDP (arXiv 2304.11277) is stage 3.
Activations are each device's own. Symbols: G gradients, W trained weights, F frozen ones, all in
bytes; N devices; k micro-batches a step; rs, ag, ar as in `xtune.parallel.links`.

    strategy    divided by N             sent by a device in a step
    ddp         nothing                  ar(G)
    zero1       optimizer                rs(G) + ag(W)
    zero2       + gradients              k rs(G) + ag(W): it has no room to add up whole ones
    zero3       + weights, frozen too    k (rs(G) + 2 ag(W + F)): for forward and backward pass
    fsdp        the same                 the same; an adapter's gradients are added up whole, rs(G)

With k = 1 and nothing frozen these are the paper's 2, 2, 2 and 3 times the model (section 7). With
an adapter G and W are the adapter's alone, and F all the rest.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from xtune.parallel.links import all_gather_bytes, all_reduce_bytes, reduce_scatter_bytes

__all__ = ["SHARDINGS", "Sharding", "sharding_of"]

# of `MemoryEstimate.components`; the others are each device's own
_KINDS = {
    "frozen weights": "weights",
    "trained weights": "weights",
    "gradients": "gradients",
    "optimizer": "optimizer",
}


@dataclass(frozen=True, slots=True)
class Sharding:
    """A strategy: which kinds of state it divides, and which it keeps in the host's memory.

    Attributes:
        name: of the strategy, with '+offload' if anything is kept by the host.
        divided: of 'weights', 'gradients', 'optimizer'.
        offloaded: the same; the device uses a copy that comes and goes.
        adds_up: whether gradients are exchanged once a step, not in every micro-batch.
    """

    name: str
    divided: frozenset[str] = frozenset()
    offloaded: frozenset[str] = frozenset()
    adds_up: bool = True

    def held(
        self, components: Mapping[str, float], devices: int
    ) -> tuple[dict[str, float], dict[str, float]]:
        """Return the bytes that one device holds, and those that its host holds for it.

        Args:
            components: bytes that one device alone would hold, by the names of `MemoryEstimate`.
            devices: N.
        """
        device: dict[str, float] = {}
        host: dict[str, float] = {}
        for name, size in components.items():
            kind = _KINDS.get(name)
            part = size / devices if kind in self.divided else float(size)
            (host if kind in self.offloaded else device)[name] = part
        return device, host

    def sent(self, components: Mapping[str, float], devices: int, micro_batches: int) -> float:
        """Return the bytes that one device sends to others in a step.

        Args:
            components: as for `held`, in the formats in which they are sent.
            devices: N.
            micro_batches: k, of one device.
        """
        gradients, trained = components["gradients"], components["trained weights"]
        if not self.divided:
            return all_reduce_bytes(gradients, devices)
        times = 1 if self.adds_up else micro_batches
        total = times * reduce_scatter_bytes(gradients, devices)
        if "weights" in self.divided:
            weights = trained + components.get("frozen weights", 0.0)
            return total + 2 * micro_batches * all_gather_bytes(weights, devices)
        return total + all_gather_bytes(trained, devices)

    def moved(self, components: Mapping[str, float], devices: int, micro_batches: int) -> float:
        """Return the bytes that pass between one device and its host's memory in a step.

        Gradients go down after every micro-batch. Weights come up twice in each where the host has
        them, else once, after the optimizer's step.

        Args:
            components: bytes by name, of the whole model.
            devices: that share it.
            micro_batches: of a step, on one device.
        """
        if not self.offloaded:
            return 0.0
        weights = components["trained weights"]
        times = 1
        if "weights" in self.offloaded:
            weights += components.get("frozen weights", 0.0)
            times = 2 * micro_batches
        return (micro_batches * components["gradients"] + times * weights) / devices


_OPTIMIZER = frozenset({"optimizer"})
_STAGE_2 = _OPTIMIZER | {"gradients"}
_STAGE_3 = _STAGE_2 | {"weights"}

SHARDINGS = {
    sharding.name: sharding
    for sharding in (
        Sharding("single"),
        Sharding("ddp"),
        Sharding("zero1", _OPTIMIZER),
        Sharding("zero2", _STAGE_2, adds_up=False),
        Sharding("zero2+offload", _STAGE_2, _STAGE_2, adds_up=False),
        Sharding("zero3", _STAGE_3, adds_up=False),
        Sharding("zero3+offload", _STAGE_3, _STAGE_3, adds_up=False),
        Sharding("fsdp", _STAGE_3, adds_up=False),
        Sharding("fsdp+offload", _STAGE_3, _STAGE_3, adds_up=False),
    )
}


def sharding_of(name: str, *, with_adapter: bool) -> Sharding:
    """Return the strategy as it trains: fsdp adds up an adapter's small gradients whole.

    Args:
        name: of the strategy, as `SHARDINGS` has it.
        with_adapter: an adapter is trained, not the whole model.
    """
    sharding = SHARDINGS[name]
    if with_adapter and name.startswith("fsdp"):
        whole = frozenset({"gradients"})
        return replace(
            sharding,
            divided=sharding.divided - whole,
            offloaded=sharding.offloaded - whole,
            adds_up=True,
        )
    return sharding
