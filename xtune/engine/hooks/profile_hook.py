"""`ProfileHook`: some steps under torch's profiler, and a table of where time and memory go."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch.profiler import ProfilerActivity, profile

from xtune.engine.hooks.base import Hook
from xtune.engine.profiling import PARTS, Part, Scopes, sum_by_part
from xtune.engine.rates import Rates, measure_rates, seconds_at_least
from xtune.errors import ConfigError
from xtune.registry import HOOKS
from xtune.structures import Batch

if TYPE_CHECKING:
    from xtune.engine.run import Run

__all__ = ["ProfileHook"]


@HOOKS.register_module()
class ProfileHook(Hook):
    """Profiles the steps after the first one, and writes work_dir/profile.txt and trace.json.

    The trace is for https://ui.perfetto.dev. The profiler itself takes time, more on a CPU and of
    small models: shares are what to read, and the step's seconds next to the first, unprofiled one.

    Args:
        steps: how many.
    """

    def __init__(self, *, steps: int = 3) -> None:
        if steps < 1:
            raise ConfigError(f"ProfileHook: steps is {steps}; it is 1 or more")
        self.steps = steps
        self.lines: list[str] = []

    def before_train(self, run: Run) -> None:  # noqa: D102
        self._flops = 0.0
        self._micro_batches = self._done = 0
        self._profiler: Any = None
        self._scopes: Any = None

    def before_train_iter(self, run: Run, batches: list[Batch]) -> None:  # noqa: D102
        if self._profiler is not None:
            self._scopes.leave()  # the data
            self._flops += run.throughput.flops(batches)
            self._micro_batches += len(batches)

    def after_train_iter(self, run: Run, metrics: dict[str, Any]) -> None:  # noqa: D102
        device = run.strategy.device
        if self._profiler is None and not self._done:
            activities = [ProfilerActivity.CPU]
            if device.type == "cuda":
                activities.append(ProfilerActivity.CUDA)
            self._scopes = Scopes(run.model)
            self._profiler = profile(activities=activities, profile_memory=True)
            self._profiler.start()
            self._started = time.perf_counter()
        elif self._profiler is not None:
            self._done += 1
            if self._done == self.steps:
                self._finish(run)
                return
        if self._profiler is not None:
            self._scopes.enter("data")

    def _finish(self, run: Run) -> None:
        device = run.strategy.device
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        seconds = time.perf_counter() - self._started
        self._profiler.stop()
        self._scopes.close()
        trace = run.work_dir / "trace.json"
        self._profiler.export_chrome_trace(str(trace))
        parts = sum_by_part(self._profiler.events(), on_gpu=device.type == "cuda")
        self._profiler = None
        rates = measure_rates(device, run.strategy.precision.compute_dtype)
        self.lines = [
            *self._table(parts, seconds),
            *self._limit(run, rates, seconds),
            f"trace: {trace} (open it at https://ui.perfetto.dev)",
        ]
        Path(run.work_dir / "profile.txt").write_text("\n".join(self.lines) + "\n", "utf-8")

    def _table(self, parts: dict[str, Part], seconds: float) -> Iterator[str]:
        spent = sum(part.forward + part.backward for part in parts.values())
        idle = max(0.0, seconds - spent)  # Python, and waiting
        yield (
            f"{self.steps} steps of {self._micro_batches / self.steps:g} micro-batches, "
            f"{seconds / self.steps:.3g} s each with the profiler on"
        )
        yield f"{'':16}{'forward':>10}{'backward':>10}{'share':>8}{'kept':>12}"
        for name in PARTS:
            part = parts.get(name, Part())
            share = (part.forward + part.backward) / seconds
            kept = part.kept / max(1, self._micro_batches) / 2**20
            yield (
                f"{name:16}{part.forward / self.steps:>8.3f} s{part.backward / self.steps:>8.3f} s"
                f"{share:>8.1%}{kept:>8.1f} MiB"
            )
        yield f"{'nothing':16}{idle / self.steps:>8.3f} s{'':10}{idle / seconds:>8.1%}"

    def _limit(self, run: Run, rates: Rates, seconds: float) -> Iterator[str]:
        parameters = list(run.model.parameters())
        weights = sum(p.numel() * p.element_size() for p in parameters)
        trained = sum(p.numel() for p in parameters if p.requires_grad)
        # Weights are read twice a micro-batch. The optimizer reads weight, gradient and two
        # moments, and writes all but the gradient, in fp32.
        moved = 2 * weights * self._micro_batches + 28 * trained * self.steps
        products, traffic = seconds_at_least(rates, flops=self._flops, moved=moved)
        number = run.strategy.precision.name
        yield (
            f"measured here: {rates.flops / 1e12:.3g} TFLOP/s in a {number} product, "
            f"{rates.copy / 1e9:.3g} GB/s in a copy"
        )
        yield (
            f"the limit by that: {products / self.steps:.3g} s a step for products, "
            f"{traffic / self.steps:.3g} s for weights and optimizer; "
            f"a step takes {seconds / max(products, traffic):.1f} times the larger"
        )
