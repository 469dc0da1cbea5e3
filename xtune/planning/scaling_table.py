"""A scaling plan in words: the table of `xtune scaling`, and what it assumes."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator

from xtune.planning.scaling import Hardware, Plan, Row

__all__ = ["scaling_lines"]

_COLUMNS = ("weights", "gradients", "optimizer", "adapters", "activations", "other")


def scaling_lines(name: str, plan: Plan, hardware: Hardware, number: str) -> Iterator[str]:
    """Yield what a user reads.

    Args:
        name: of the config.
        plan: made for `hardware`.
        hardware: the devices.
        number: the compute format's name.
    """
    yield from _head(name, plan)
    yield ""
    yield from _table(plan, hardware.memory)
    yield ""
    yield "Assumed:"
    refused = [f"{strategy} has no rows: {why}" for strategy, why in plan.refused.items()]
    kernels = [
        f"{plan.needs_kernels} caps its attention scores: zero3 and fsdp train it where a GPU has "
        "flash-attn, or compute capability 8 and above"
    ]
    special = [*refused, *(kernels if plan.needs_kernels else ())]
    for assumption in (*_assumptions(hardware, number), *special):
        yield from textwrap.wrap(f"- {assumption}", width=100, subsequent_indent="  ")


def _head(name: str, plan: Plan) -> Iterator[str]:
    estimate = plan.estimate
    yield (
        f"{name}: {estimate.trainable:,} trained of {estimate.parameters:,} parameters; a step on "
        "each device:"
    )
    yield (
        f"{plan.micro_batches} x {plan.tokens:,} tokens, {plan.flops / 1e15:,.3g} PFLOP, "
        f"{plan.seconds:,.3g} s of computing"
    )


def _table(plan: Plan, memory: float) -> Iterator[str]:
    titles = ["devices", "strategy", *_COLUMNS, "total", "host", f"{memory:g} GB"]
    titles += ["sends GB", "takes s", "of computing"]
    widths = [7, 13, *(max(8, len(title)) for title in titles[2:])]
    yield "GiB on each device, and what it sends in a step"
    yield "  ".join(title.rjust(width) for title, width in zip(titles, widths, strict=True))
    before = None
    for row in plan.rows:
        if before not in (None, row.devices):
            yield ""
        before = row.devices
        cells = [f"{row.devices:,}", row.strategy.ljust(13), *_memory_cells(plan, row)]
        cells += ["fits" if row.fits else "no"]
        cells += [f"{row.sent / 1e9:,.2f}", f"{row.seconds:,.3g}", f"{row.share:.1%}"]
        yield "  ".join(cell.rjust(width) for cell, width in zip(cells, widths, strict=True))


def _memory_cells(plan: Plan, row: Row) -> Iterator[str]:
    with_adapter = plan.estimate.components["frozen weights"] > 0
    column = {
        "frozen weights": "weights",
        "trained weights": "adapters" if with_adapter else "weights",
        "loss": "activations",
        "one layer": "activations",
        "whole layers": "other",
        "buckets": "other",
        "runtime": "other",
    }
    sums = dict.fromkeys(_COLUMNS, 0.0)
    for name, size in row.held.items():
        sums[column.get(name, name)] += size
    for size in (*sums.values(), sum(row.held.values()), sum(row.host.values())):
        yield f"{size / 2**30:,.2f}" if size else "-"


def _assumptions(hardware: Hardware, number: str) -> Iterator[str]:
    links = hardware.links
    intra, inter, memory = (size / 1e9 for size in (links.intra, links.inter, links.memory))
    yield ("memory as `xtune estimate CONFIG` counts it, to about a tenth; a card is full at 90 %")
    yield (
        "single, ddp, fsdp hold fp32 weights, gradients and Adam's two moments; zero1 to zero3, "
        f"if all is trained, {number} weights and gradients, and fp32 masters next to the moments"
    )
    yield (
        "as in the ZeRO paper (arXiv 1910.02054) zero2 exchanges gradients, and zero3 and fsdp "
        "gather weights besides, in every micro-batch; gradients travel in fp32"
    )
    yield (
        "other: 0.6 GiB of runtime; zero1 to zero3: DeepSpeed's bucket of 5e8 gradients; zero3 and "
        "fsdp: embedding, head and two layers, which are whole"
    )
    yield (
        "offload, shown where it would not fit without: the host holds what is divided; the time "
        "of the optimizer there is not counted"
    )
    yield (
        f"rings at {intra:g} GB/s a device within a host of {links.per_host}, {inter:g} GB/s a "
        f"host between hosts, {memory:g} GB/s to the host's memory; no latency, nothing "
        "overlapped: for large messages the last column is an upper bound"
    )
    yield (
        f"computing at {hardware.utilisation:.0%} of {hardware.flops / 1e12:g} TFLOP/s, counted "
        "without recomputation; every micro-batch is full, of documents of the whole length, and "
        "trained throughout"
    )
