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
from dataclasses import replace

from xtune.config.recipe import Recipe
from xtune.config.strategies import SHARDINGS, Refusal, Sharding, Traits
from xtune.models.algorithms.base import Algorithm
from xtune.models.attention.varlen import why_not_one_row
from xtune.parallel.links import all_gather_bytes, all_reduce_bytes, reduce_scatter_bytes

__all__ = ["bytes_held", "bytes_moved", "bytes_sent", "refusal_of", "sharding_of"]

# of `MemoryEstimate.components`; the others are each device's own
_KINDS = {
    "frozen weights": "weights",
    "trained weights": "weights",
    "gradients": "gradients",
    "optimizer": "optimizer",
}


def bytes_held(
    sharding: Sharding, components: Mapping[str, float], devices: int
) -> tuple[dict[str, float], dict[str, float]]:
    """Return the bytes that one device holds, and those that its host holds for it, by name.

    Args:
        sharding: the strategy.
        components: bytes that one device alone would hold, by the names of `MemoryEstimate`.
        devices: N.
    """
    device: dict[str, float] = {}
    host: dict[str, float] = {}
    for name, size in components.items():
        kind = _KINDS.get(name)
        part = size / devices if kind in sharding.divided else float(size)
        (host if kind in sharding.offloaded else device)[name] = part
    return device, host


def bytes_sent(
    sharding: Sharding, components: Mapping[str, float], devices: int, micro_batches: int
) -> float:
    """Return the bytes that one device sends to others in a step.

    Args:
        sharding: the strategy.
        components: as for `bytes_held`, in the formats in which they are sent.
        devices: N.
        micro_batches: k, of one device.
    """
    gradients, trained = components["gradients"], components["trained weights"]
    if not sharding.divided:
        return all_reduce_bytes(gradients, devices)
    times = 1 if sharding.adds_up else micro_batches
    total = times * reduce_scatter_bytes(gradients, devices)
    if "weights" in sharding.divided:
        weights = trained + components.get("frozen weights", 0.0)
        return total + 2 * micro_batches * all_gather_bytes(weights, devices)
    return total + all_gather_bytes(trained, devices)


def bytes_moved(
    sharding: Sharding, components: Mapping[str, float], devices: int, micro_batches: int
) -> float:
    """Return the bytes that pass between one device and its host's memory in a step.

    Gradients go down after every micro-batch. Weights come up twice in each where the host has
    them, else once, after the optimizer's step.

    Args:
        sharding: the strategy.
        components: bytes by name, of the whole model.
        devices: that share it.
        micro_batches: of a step, on one device.
    """
    if not sharding.offloaded:
        return 0.0
    weights = components["trained weights"]
    times = 1
    if "weights" in sharding.offloaded:
        weights += components.get("frozen weights", 0.0)
        times = 2 * micro_batches
    return (micro_batches * components["gradients"] + times * weights) / devices


def sharding_of(name: str, *, with_adapter: bool) -> Sharding:
    """Return the strategy as it trains: fsdp adds up an adapter's small gradients whole.

    Args:
        name: of the strategy, as `SHARDINGS` has it.
        with_adapter: an adapter is trained, not the whole model.
    """
    sharding = SHARDINGS[name]
    if with_adapter and sharding.adds_up_adapter:
        whole = frozenset({"gradients"})
        return replace(
            sharding,
            divided=sharding.divided - whole,
            offloaded=sharding.offloaded - whole,
            adds_up=True,
        )
    return sharding


def refusal_of(
    sharding: Sharding,
    model: Algorithm,
    recipe: Recipe | None = None,
    *,
    kernels: bool = False,
) -> Refusal | None:
    """Return why a strategy does not train a model, or None.

    Args:
        sharding: the strategy.
        model: in memory, or on 'meta'.
        recipe: of the run, for a model on 'meta', which is never quantized itself.
        kernels: take it that GPUs are to have the kernels with which a family may be run in one
            row, for a model on 'meta': such a one is not refused before the run knows.
    """
    backbones = model.backbones()
    apart = (
        backbone.family
        for backbone in backbones
        if backbone.why_apart is not None
        and not (kernels and why_not_one_row(backbone.base, kernels=True) is None)
    )
    methods = (getattr(backbone.base, "quantization_method", None) for backbone in backbones)
    asked = recipe is not None and recipe.quantization is not None
    traits = Traits(
        family_apart=next(apart, ""),
        quantized=asked or any(method is not None for method in methods),
        adapter_on_head=not sharding.adapter_on_head
        and not all(backbone.head.is_matrix for backbone in backbones),
        shares_base=model.shares_base,
    )
    return sharding.refuses(traits)
