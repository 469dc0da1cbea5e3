"""How near a training step on a CPU is to the time that its products alone take.

    python benchmarks/bound.py

For LoRA and QLoRA of rank 16 and for all weights of SmolLM2-135M, on packs of 1,024 random tokens
in documents of 128 of which half are trained: a step as `xtune train` does it and what it cannot do
without take turns in one process. The latter are the matrix products, forwards and backwards, of
the model's own weights, its adapters and its head at the trained positions; 4-bit weights unpacked
for either pass; and the optimizer's pass over what is trained. Left out are attention, norms,
activations, rotary positions, the loss, additions of the residual stream and all casts. A section
of Markdown goes to standard output.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable
from statistics import median
from typing import Any

from harness.machine import machine_lines
from harness.training_step import DOCUMENT, packs_of, trainer

DOCUMENTS = 8  # of a pack
TRAINED = 0.5  # of a document's tokens


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    methods = ["lora", "qlora", "full"]
    parser.add_argument("--methods", nargs="+", choices=methods, default=methods)
    parser.add_argument("--steps", type=int, default=8, help="measured, after one that is not")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    args = parser.parse_args()

    import torch

    torch.set_num_threads(args.threads)
    machine = machine_lines(threads=args.threads)
    rows = [_row(method, args.steps) for method in args.methods]
    print(
        "\n".join(
            [
                "## A step and its products alone",
                "",
                f"`python benchmarks/bound.py {' '.join(sys.argv[1:])}`",
                "",
                f"SmolLM2-135M, a pack of {DOCUMENTS * DOCUMENT:,} tokens in documents of "
                f"{DOCUMENT}; medians of {args.steps} turns, and of the ratios of neighbours.",
                "",
                "| | products | a step, s | its products, s | optimizer, s | a step is |",
                "|---|---|---|---|---|---|",
                *rows,
                "",
                *machine,
            ]
        )
    )


def _row(method: str, steps: int) -> str:
    models: list[Any] = []
    step = trainer(method, change=models.append)
    batches = packs_of(DOCUMENTS, TRAINED)
    dtype, products = _products(models[0], batches[0])
    turns: dict[str, Callable[[], None]] = {
        "step": lambda: step(batches),
        "products": products,
        "optimizer": _optimizer(models[0]),
    }
    parts: dict[str, list[float]] = {name: [] for name in turns}
    for number in range(steps + 1):
        for name, part in turns.items():
            began = time.perf_counter()
            part()
            parts[name].append(time.perf_counter() - began)
        last = {name: round(seconds[-1], 2) for name, seconds in parts.items()}
        print(f"{method:<6} turn {number}  {last}", file=sys.stderr)
    measured = {name: seconds[1:] for name, seconds in parts.items()}
    ratios = [
        whole / (product + update)
        for whole, product, update in zip(*measured.values(), strict=True)
    ]
    seconds = " | ".join(f"{median(each):.2f}" for each in measured.values())
    return f"| {method} | {dtype} | {seconds} | {median(ratios):.2f} times both |"


def _products(model: Any, batch: Any) -> tuple[str, Callable[[], None]]:
    """The format of a step's products, and a function that does them and nothing else."""
    import torch
    from torch import nn

    from xtune.models.fused.lora_linear import dense_weight
    from xtune.models.generation import base_of
    from xtune.models.precision import choose_precision

    precision = choose_precision()
    dtype = precision.compute_dtype
    base = base_of(model.language_model)
    head = base.get_output_embeddings()
    layers = [m for m in base.modules() if isinstance(m, nn.Linear) or hasattr(m, "lora_A")]
    adapted = [m for m in layers if hasattr(m, "lora_A")]
    inner = {part for layer in adapted for part in layer.modules()} - set(adapted)
    works = []
    for layer in layers:
        if layer in inner:
            continue
        tokens = batch.trained_tokens if layer is head else batch.tokens
        weight, low_rank = layer.weight, []
        if layer in adapted:
            low_rank = [each["default"].weight.to(dtype) for each in (layer.lora_A, layer.lora_B)]
        trained = not low_rank and weight.requires_grad
        if not hasattr(weight, "quant_state"):  # cast once: only unpacking is done in each pass
            weight = weight.detach().to(dtype)
        works.append((tokens, weight, low_rank, trained))
    shapes = {
        (tokens, side) for tokens, weight, *_ in works for side in dense_weight(weight, dtype).shape
    }
    generator = torch.Generator().manual_seed(0)
    states = {shape: torch.randn(*shape, generator=generator).to(dtype) for shape in sorted(shapes)}

    @torch.no_grad()
    def products() -> None:
        for tokens, packed, low_rank, trained in works:
            for backwards in (False, True):
                weight = dense_weight(packed, dtype)
                x, slope = (states[tokens, side] for side in reversed(weight.shape))
                _ = slope @ weight if backwards else x @ weight.t()
                if trained and backwards:
                    _ = slope.t() @ x
                if low_rank:
                    _low_rank_products(x, slope, *low_rank, backwards=backwards)

    return precision.name, products


def _low_rank_products(x: Any, slope: Any, a: Any, b: Any, *, backwards: bool) -> None:
    inner = x @ a.t()
    if not backwards:
        _ = inner @ b.t()
        return
    inner_slope = slope @ b
    for left, right in ((inner_slope, a), (inner_slope.t(), x), (inner.t(), slope)):
        _ = left @ right


def _optimizer(model: Any) -> Callable[[], None]:
    """A step of torch's fused AdamW over as many numbers as the model trains."""
    import torch

    trained = [torch.zeros_like(p) for p in model.parameters() if p.requires_grad]
    for parameter in trained:
        parameter.requires_grad_().grad = torch.ones_like(parameter)
    return torch.optim.AdamW(trained, fused=True).step


if __name__ == "__main__":
    main()
