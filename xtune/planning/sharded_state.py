"""The training state as each strategy holds it, before it is divided among the devices.

    single, ddp    fp32 weights, gradients, two moments
    fsdp           the same; layers are gathered in the compute format
    zero1 to 3     where all is trained, weights and gradients in the compute format, and fp32
                   masters with the moments (12 bytes a weight, the K of the ZeRO paper); an
                   adapter in fp32, and a second time as DeepSpeed's master; gradients, summed in
                   fp32 by zero2 and zero3; and a bucket of at most 5e8 of them that is set aside

Gradients are exchanged in fp32 by all of them, weights in the format in which they are held.
"""

from __future__ import annotations

from collections.abc import Mapping

from xtune.config.strategies import Sharding

__all__ = ["exchanged", "state_of"]

_BUCKET = 500_000_000  # numbers; DeepSpeed's default, for a model with as many
_MASTER = 4  # bytes


def state_of(
    sharding: Sharding, components: Mapping[str, float], number: int, whole_layers: float
) -> dict[str, float]:
    """Return component -> bytes, for `bytes_held` to divide.

    Args:
        sharding: the strategy.
        components: of `MemoryEstimate`.
        number: bytes of a number in the compute format.
        whole_layers: bytes gathered at one time where weights are divided.
    """
    state = dict(components)
    if "weights" in sharding.divided:
        state["whole layers"] = whole_layers
    if sharding.zero:
        masters = components["trained weights"]
        share = _share(components, number)
        state["trained weights"] = masters * share
        in_fp32 = sharding.offloaded or sharding.zero > 1
        state["gradients"] = masters if in_fp32 else masters * share
        state["optimizer"] = components["optimizer"] + masters
        state["buckets"] = min(_BUCKET, masters / _MASTER) * _MASTER * share
    return state


def exchanged(components: Mapping[str, float], number: int) -> dict[str, float]:
    """Return component -> bytes, for `bytes_sent` and `bytes_moved`.

    Args:
        components: of `MemoryEstimate`.
        number: bytes of a number in the compute format.
    """
    share = _share(components, number)
    return {**components, "trained weights": components["trained weights"] * share}


def _share(components: Mapping[str, float], number: int) -> float:
    """The trained weight's share of its master's bytes: an adapter is fp32 itself."""
    return 1.0 if components["frozen weights"] else number / _MASTER
