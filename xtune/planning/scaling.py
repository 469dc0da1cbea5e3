"""What a run would need and cost on more devices, strategy by strategy: behind `xtune scaling`.

All of it is arithmetic on the model's shapes: `xtune.planning.memory` says what one device holds,
`xtune.planning.weight_shards` how a strategy divides that and what it sends, `xtune.models.flops`
what a step computes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch

from xtune.config.recipe import Recipe, recipe_of
from xtune.config.rules import divisible_optimizer
from xtune.config.strategies import SHARDINGS
from xtune.models.algorithms.base import Algorithm
from xtune.models.attention import caps_scores, has_capping_kernels
from xtune.models.flops import count_work
from xtune.models.precision import Precision
from xtune.optim.optimizers import state_bytes
from xtune.parallel.links import Links
from xtune.planning.drafts import Drafts
from xtune.planning.memory import MemoryEstimate, fits, memory_of
from xtune.planning.sharded_state import exchanged, state_of
from xtune.planning.weight_shards import (
    bytes_held,
    bytes_moved,
    bytes_sent,
    refusal_of,
    sharding_of,
)

__all__ = ["Hardware", "Plan", "Row", "held_by", "plan_scaling", "strategy_that_fits"]


@dataclass(frozen=True, slots=True)
class Hardware:
    """The devices that a run might have.

    Attributes:
        memory: GB that a device is sold with.
        links: between them.
        flops: a second, at best, of one device in the run's format.
        utilisation: the share of it that training reaches, 0 to 1.
    """

    memory: float
    links: Links
    flops: float
    utilisation: float


@dataclass(frozen=True, slots=True)
class Row:
    """One strategy on so many devices.

    Attributes:
        devices: how many.
        strategy: a name of `SHARDINGS`.
        held: component -> bytes on each device.
        host: component -> bytes in its host's memory for each device.
        fits: whether `held` is likely to fit the device.
        sent: bytes that a device sends to others in a step.
        seconds: what sending them, and moving what the host holds, takes.
        share: seconds by those of the step's computation.
    """

    devices: int
    strategy: str
    held: dict[str, float]
    host: dict[str, float]
    fits: bool
    sent: float
    seconds: float
    share: float


@dataclass(frozen=True, slots=True)
class Plan:
    """A run's rows, and what they are made of.

    Attributes:
        estimate: of one device alone.
        micro_batches: of a step, on each device.
        tokens: of a micro-batch.
        flops: of a step, on each device.
        seconds: of computing a step.
        rows: by devices, then strategies.
        refused: strategy -> why it has no row.
        needs_kernels: the family that some of the rows hold for only where a GPU has the kernels
            that cap attention scores; '' for any other.
    """

    estimate: MemoryEstimate
    micro_batches: int
    tokens: int
    flops: float
    seconds: float
    rows: list[Row]
    refused: dict[str, str]
    needs_kernels: str = ""


def plan_scaling(
    cfg: Mapping[str, Any],
    devices: Sequence[int],
    hardware: Hardware,
    precision: Precision,
    *,
    kernels: bool = True,
) -> Plan:
    """Work out a run on each number of devices; every micro-batch is full, and all of it trained.

    A row with offload is made where the strategy does not fit without; one device is `single`.

    Args:
        cfg: a sheet's values.
        devices: how many; each 1 or more.
        hardware: what they are.
        precision: what the run computes in.
        kernels: whether the devices have kernels that cap attention scores, in 16 bits.

    Raises:
        ModelError: the checkpoint's architecture is not known here.
    """
    recipe = recipe_of(cfg)
    length, batch_size = recipe.full_item, recipe.rows
    micro_batches = recipe.micro_batches
    tokens = length * batch_size
    drafts, lengths = Drafts(), [length] * batch_size
    model = drafts.model(cfg["model"], precision=precision)
    estimate = memory_of(model, cfg["model"], precision, lengths, device="cuda", drafts=drafts)
    whole = _with_own_optimizer(estimate, model, cfg["optimizer"])
    flops = micro_batches * count_work(model).flops(lengths, tokens)
    seconds = flops / (hardware.flops * hardware.utilisation)
    number = precision.compute_dtype.itemsize
    components, links = estimate.components, hardware.links
    on_wire = exchanged(components, number)
    kernels = kernels and precision.compute_dtype.itemsize == 2
    refused = _refused(model, recipe, kernels)
    rows: list[Row] = []
    for count in devices:
        for name in _worth_showing(count):
            sharding = sharding_of(name, with_adapter=model.has_adapter)
            plain = sharding.plain
            if plain in refused or (plain != name and _fits_already(rows, count, plain)):
                continue
            taken = estimate if sharding.divided else whole
            held, host = held_by(name, model, taken, number, count)
            sent = bytes_sent(sharding, on_wire, count, micro_batches)
            moved = bytes_moved(sharding, on_wire, count, micro_batches)
            takes = sent / links.ring(count) + moved / links.memory
            rows.append(
                Row(
                    devices=count,
                    strategy=name,
                    held=held,
                    host=host,
                    fits=fits(sum(held.values()) / 2**30, hardware.memory),
                    sent=sent,
                    seconds=takes,
                    share=takes / seconds,
                )
            )
    capped = (one.family for one in model.backbones() if kernels and caps_scores(one.base))
    needs = next(capped, "") if _refused(model, recipe, kernels=False) != refused else ""
    return Plan(whole, micro_batches, tokens, flops, seconds, rows, refused, needs)


def _with_own_optimizer(
    estimate: MemoryEstimate, model: Algorithm, optimizer: Mapping[str, Any]
) -> MemoryEstimate:
    """The same with the state of an optimizer that only whole weights can have, as 8-bit ones."""
    if divisible_optimizer(optimizer["type"]) == optimizer["type"]:
        return estimate
    size = state_bytes(model, optimizer)
    moments = {name: {**held, "optimizer": size} for name, held in estimate.moments.items()}
    return replace(estimate, moments=moments)


def held_by(
    name: str, model: Algorithm, estimate: MemoryEstimate, number: int, devices: int
) -> tuple[dict[str, float], dict[str, float]]:
    """Return component -> bytes that each device holds under a strategy, and its host for it.

    Args:
        name: of `SHARDINGS`.
        model: the algorithm, on 'meta'.
        estimate: of one device alone.
        number: bytes of a number in the compute format.
        devices: how many.
    """
    sharding = sharding_of(name, with_adapter=model.has_adapter)
    whole = _whole_layers(model, estimate, number)
    return bytes_held(sharding, state_of(sharding, estimate.components, number, whole), devices)


def _worth_showing(devices: int) -> Iterator[str]:
    """Alone there is nothing to divide, but DeepSpeed can let the host hold something."""
    for name, sharding in SHARDINGS.items():
        if devices > 1:
            shown = sharding.processes != "one"
        else:
            shown = sharding.processes != "several" and (
                not sharding.divided or bool(sharding.offloaded)
            )
        if shown:
            yield name


def _refused(model: Algorithm, recipe: Recipe, kernels: bool) -> dict[str, str]:
    """Which strategies do not train such a model, and why."""
    refusals = (
        (sharding.plain, refusal_of(sharding, model, recipe, kernels=kernels))
        for sharding in SHARDINGS.values()
    )
    return {name: str(why) for name, why in refusals if why is not None}


def _fits_already(rows: Sequence[Row], devices: int, plain: str) -> bool:
    wanted = "single" if devices == 1 else plain
    return any(row.fits for row in rows if (row.devices, row.strategy) == (devices, wanted))


def _whole_layers(model: Algorithm, estimate: MemoryEstimate, number: int) -> float:
    """Bytes that are whole at one time where weights are divided, in the compute format.

    They are the embedding, the head, and two layers: one is computed while the next is gathered.
    """
    ends = {
        id(weight): weight.numel()
        for backbone in model.backbones()
        for module in (
            backbone.base.get_input_embeddings(),
            backbone.base.get_output_embeddings() or backbone.head.module,
        )
        for weight in module.parameters()
    }
    components = estimate.components
    gathered = exchanged(components, number)
    every = gathered["frozen weights"] + gathered["trained weights"]
    outside = number * sum(ends.values())
    layers = sum(
        backbone.base.config.get_text_config().num_hidden_layers for backbone in model.backbones()
    )
    return outside + 2 * max(every - outside, 0.0) / layers


def strategy_that_fits(
    cfg: Mapping[str, Any], processes: int, memory: float, precision: Precision
) -> str:
    """Return 'ddp', or 'fsdp' for a model that each of this host's devices cannot hold whole.

    Args:
        cfg: a sheet's values.
        processes: how many devices; 2 or more.
        memory: GB that a device is sold with.
        precision: what the run computes in.

    Raises:
        ModelError: the checkpoint's architecture is not known here.
    """
    # How fast they are does not matter here.
    hardware = Hardware(memory, Links(1.0, 1.0, 1.0), flops=1.0, utilisation=1.0)
    kernels = torch.cuda.is_available() and has_capping_kernels(torch.device("cuda"))
    plan = plan_scaling(cfg, [processes], hardware, precision, kernels=kernels)
    rows = {row.strategy: row for row in plan.rows}
    return "ddp" if rows["ddp"].fits or "fsdp" not in rows else "fsdp"
