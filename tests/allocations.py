"""What a training step really holds: every allocation of torch's allocator, summed up.

On a CPU the profiler reports each one with its bytes, those within kernels too; a GPU's allocator
keeps its own peak. Neither knows of processes' resident pages.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from torch import Tensor

from tests.models.packs import pack, random_documents
from xtune.engine.strategies.single import SingleStrategy
from xtune.models.build import build_model
from xtune.optim.optimizers import build_optimizer

__all__ = ["bytes_of", "measured_step", "peak_of"]


def measured_step(
    model_cfg: Mapping[str, Any],
    precision: str,
    *,
    lengths: list[int],
    micro_batches: int = 1,
    optimizer: Mapping[str, Any] | None = None,
    device: str = "cpu",
) -> int:
    """Return the most bytes that tensors take in the second optimizer step, weights included.

    Args:
        model_cfg: the sheet's `model` dict.
        precision: 'fp32' or 'bf16'.
        lengths: tokens of each document of a micro-batch; all are trained.
        micro_batches: of a step.
        optimizer: the sheet's; default AdamW.
        device: 'cpu' or 'cuda'.
    """
    torch.manual_seed(0)
    strategy = SingleStrategy(precision=precision, device=device)
    model = build_model(model_cfg, device=device, precision=strategy.precision)
    chosen = optimizer or {"type": "AdamW", "lr": 1e-4}
    strategy.prepare(model, lambda m: build_optimizer(m, chosen))
    batch = pack(random_documents(lengths, trained=1.0))

    def step() -> None:
        for number in range(micro_batches):
            last = number == micro_batches - 1
            loss = strategy.forward(batch, normalizer=sum(lengths), is_last=last)["loss"]
            strategy.backward(loss)
            del loss
        strategy.clip_grad_norm(1.0)
        strategy.step(1.0)

    try:
        step()  # the optimizer makes its state
        state = [v for s in strategy.optimizer.state.values() for v in s.values()]
        before = bytes_of([*model.parameters(), *model.buffers(), *state])
        return peak_of(step, before, device)
    finally:
        strategy.close()


def peak_of(step: Callable[[], None], before: int, device: str = "cpu") -> int:
    """Return the most bytes alive while `step` runs, with those that were there before."""
    if device == "cuda":
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
        step()
        torch.cuda.synchronize()
        return torch.cuda.max_memory_allocated()
    with torch.profiler.profile(
        activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True
    ) as profiler:
        step()
    results: Any = profiler.profiler.kineto_results
    changes = sorted(
        (event.start_ns(), event.nbytes())
        for event in results.events()
        if event.name() == "[memory]"
    )
    now = peak = before
    for _, size in changes:
        now += size
        peak = max(peak, now)
    return peak


def bytes_of(tensors: Iterable[Any]) -> int:
    """What tensors take, each storage once, with what bitsandbytes keeps next to a weight."""
    sizes: dict[int, int] = {}

    def add(tensor: Any) -> None:
        if isinstance(tensor, Tensor):
            storage = tensor.untyped_storage()
            sizes[storage.data_ptr()] = storage.nbytes()
            packed = getattr(tensor, "quant_state", None)
            for state in (packed, getattr(packed, "state2", None)):
                if state is not None:
                    add(state.absmax)
                    add(state.code)

    for tensor in tensors:
        add(tensor)
    return sum(sizes.values())
