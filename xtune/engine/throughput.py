"""How fast a step was: tokens and model FLOPs a second, and the share of what the GPU could do.

Model FLOPs are those that training cannot do without (`xtune.models.flops`): what gradient
checkpointing computes a second time is not counted, so that a slower run never looks faster.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from xtune.engine.strategies.base import Strategy
from xtune.models.algorithms.base import Algorithm
from xtune.models.flops import count_work
from xtune.models.peaks import peak_tflops
from xtune.structures import Batch

__all__ = ["Throughput"]


class Throughput:
    """Rates of a run's steps.

    Args:
        model: the algorithm, before the strategy wraps or divides it.
        strategy: whose device and precision, and how many processes.
    """

    def __init__(self, model: Algorithm, strategy: Strategy) -> None:
        self._work = count_work(model)
        self._backbone = model.backbones()[0]
        self._devices = strategy.world.size
        self._peak = None
        if strategy.device.type == "cuda" and strategy.precision.compute_dtype.itemsize == 2:
            self._peak = peak_tflops(torch.cuda.get_device_name(strategy.device))

    def flops(self, batches: Sequence[Batch]) -> float:
        """Return the model FLOPs of training on these micro-batches; they are still on the CPU.

        What answers to one prompt begin with alike counts once: nobody needs it a second time.
        """
        lengths = [n for batch in batches for n in batch.cu_seqlens.diff().tolist()]
        shared = [n for batch in batches for n in self._backbone.shared_tokens(batch)]
        trained = sum(batch.trained_tokens for batch in batches)
        return self._work.flops(lengths, trained, shared=shared)

    def rates(self, *, tokens: int, trained: int, flops: float, seconds: float) -> dict[str, float]:
        """Return a step's columns of metrics.jsonl.

        Args:
            tokens: of all processes, as the next two.
            trained: tokens that have a label.
            flops: the sum of `flops()`.
            seconds: the step took.
        """
        rates = {"tokens_per_s": tokens / seconds, "trained_tokens_per_s": trained / seconds}
        if self._devices > 1:
            rates["tokens_per_s_per_device"] = tokens / seconds / self._devices
        rates["tflops_per_device"] = flops / seconds / self._devices / 1e12
        if self._peak is not None:
            rates["mfu"] = rates["tflops_per_device"] / self._peak
        return rates
