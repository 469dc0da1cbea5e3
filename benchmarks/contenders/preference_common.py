"""What both sides of `preference_cpu.py` share: the task, one LoRA start, one form of result.

    CONTENDER.py TASKS.json RESULTS.json

One run follows the other, a result each; memory says something of the first alone. A task has
`pairs` (token ids of prompt, chosen and rejected), `rows` (a file of the same as messages),
`model`, `dtype`, `batch` and `accumulation` (pairs of a micro-batch, micro-batches of a step),
`lr`, `label_smoothing` and `checkpointing`. Times are CPU seconds of the process, from the
beginning of a step to its end.
"""

from __future__ import annotations

import hashlib
import json
import resource
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
import psutil
import torch


@dataclass
class Result:
    """What one run did, step by step.

    Attributes:
        loss: of each step.
        grad_norm: of each step, before clipping.
        accuracy: share of pairs whose chosen answer has the larger reward.
        margin: chosen reward less rejected one.
        seconds: CPU time of each step.
        pairs: digest of each pair trained on, sorted within a step.
        trainable: parameters that are trained.
        before_mb: resident memory before the first step, MiB.
        peak_mb: the most the process ever held.
        seen: positions that went through the layers in both passes, padding included.
    """

    loss: list[float] = field(default_factory=list)
    grad_norm: list[float] = field(default_factory=list)
    accuracy: list[float] = field(default_factory=list)
    margin: list[float] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    pairs: list[list[str]] = field(default_factory=list)
    trainable: int = 0
    before_mb: float = 0.0
    peak_mb: float = 0.0
    seen: int = 0

    def begin_training(self, model: torch.nn.Module) -> None:
        """Note what is trained, and what is held before the first step."""
        self.trainable = sum(p.numel() for p in model.parameters() if p.requires_grad)
        self.before_mb = psutil.Process().memory_info().rss / 2**20

    def begin_step(self) -> None:
        """Start the clock."""
        self._began = time.process_time()

    def end_step(self) -> None:
        """Stop it."""
        self.seconds.append(time.process_time() - self._began)

    def end_training(self) -> None:
        """Note the most that was held."""
        self.peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def run_tasks(train: Callable[[dict], Result]) -> None:
    """Train on each task that the command line names, and write what the harness reads."""
    results = [asdict(train(task)) for task in json.loads(Path(sys.argv[1]).read_text())]
    Path(sys.argv[2]).write_text(json.dumps(results))


def digest(prompt_and_chosen: list[int], prompt_and_rejected: list[int]) -> str:
    """A pair's name."""
    both = [
        np.array(ids, dtype=np.int64).tobytes() for ids in (prompt_and_chosen, prompt_and_rejected)
    ]
    return hashlib.sha256(b"|".join(both)).hexdigest()[:16]
