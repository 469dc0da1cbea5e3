"""A run of SmolLM2-135M as the engine's loop steps it, and random packs to step it with."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

__all__ = ["DOCUMENT", "packs_of", "trainer"]

DOCUMENT = 128  # tokens


def trainer(
    method: str = "lora", *, fused: bool = True, change: Callable[[Any], None] | None = None
) -> Callable:
    """A function that does one optimizer step on batches, with what `sft_cpu.py` asks for.

    Args:
        method: 'lora' and 'qlora', both r=16 without dropout, or 'full'; nothing is checkpointed.
        fused: of the model's config.
        change: called with the model before the first step.
    """
    from xtune.config import render
    from xtune.models.build import build_model
    from xtune.optim.optimizers import build_optimizer
    from xtune.registry import STRATEGIES, build

    options = ["gradient_checkpointing=False"]
    if method != "full":
        options += ["lora.r=16", "lora.lora_dropout=0.0"]
    cfg = render(f"custom_sft_{method}", options).values
    strategy = build(STRATEGIES, cfg["strategy"])
    model = build_model(
        cfg["model"] | {"fused": fused}, device=strategy.loads_on, precision=strategy.precision
    )
    strategy.prepare(model, partial(build_optimizer, cfg=cfg["optimizer"]))
    model.train()
    if change is not None:
        change(model)

    def step(batches: list) -> None:
        trained = sum(batch.trained_tokens for batch in batches)
        for number, batch in enumerate(batches, start=1):
            last = number == len(batches)
            outputs = strategy.forward(batch, normalizer=trained, is_last=last)
            strategy.backward(outputs["loss"])
        strategy.clip_grad_norm(1.0)
        strategy.step(1.0)

    return step


def packs_of(documents: int, share: float, *, packs: int = 1) -> list:
    """Batches of random tokens, one pack of documents each, of which a share is trained."""
    from xtune.data.collate import collate
    from xtune.structures import IGNORE_INDEX, Sample

    random = np.random.default_rng(0)
    batches = []
    for _ in range(packs):
        samples = []
        for _ in range(documents):
            ids = random.integers(100, 40_000, DOCUMENT).astype(np.int32)
            labels = ids.copy()
            labels[: max(1, round(DOCUMENT * (1 - share)))] = IGNORE_INDEX
            samples.append(Sample(ids, labels))
        batches.append(collate(samples))
    return batches
