"""One case of `benchmarks/gpu.py` in a process of its own: `gpu_case.py CASE.json RESULT.json`."""

from __future__ import annotations

import json
import random
import resource
import sys
import time
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch
from gpu_contenders import CONTENDERS
from gpu_weights import architecture

from xtune.models import SupervisedFinetune
from xtune.models.flops import count_work

GIB = 2**30
WARM_UP = 3  # compiled kernels, the allocator, the optimizer's state


def documents_of_step(case: dict[str, Any], number: int) -> list[tuple[list[int], list[int]]]:
    """(ids, labels) of each document of one step; labels not shifted, the latter half trained."""
    chance = random.Random(1000 * case["seed"] + number)
    tokens, lengths = case["tokens"], []
    while sum(lengths) < tokens:
        drawn = tokens
        if case["data"] == "alpaca":  # 101 tokens in the mean, as 52,000 rows of it have
            drawn = max(8, round(chance.lognormvariate(4.3, 0.8)))
        lengths.append(min(drawn, tokens - sum(lengths)))
    documents = []
    for length in lengths:
        ids = [chance.randrange(3, 300) for _ in range(length)]
        documents.append((ids, [-100] * (length // 2) + ids[length // 2 :]))
    return documents


def measure_gemm(case: dict[str, Any]) -> dict[str, Any]:
    """TFLOP/s of bf16 products of random numbers: a square one, and those of an 8B model."""
    device, found = case["device"], {}
    dtype = torch.bfloat16 if device == "cuda" else torch.float32
    for m, n, k in case["products"]:
        left = torch.randn(m, k, device=device, dtype=dtype)
        right = torch.randn(k, n, device=device, dtype=dtype)
        for _ in range(WARM_UP):
            left @ right
        began = clock(device)
        for _ in range(case["steps"]):
            left @ right
        seconds = (clock(device) - began) / case["steps"]
        found[f"{m}x{k}x{n}"] = 2 * m * n * k / seconds / 1e12
    return {"tflops_of_products": found, "peak_tflops": max(found.values())}


def clock(device: str) -> float:
    if device == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter()


def cap_memory(case: dict[str, Any]) -> None:
    if case["device"] == "cuda" and case["cap_gib"]:
        total = torch.cuda.get_device_properties(0).total_memory
        torch.cuda.set_per_process_memory_fraction(min(1.0, case["cap_gib"] * GIB / total))


def memory(case: dict[str, Any]) -> dict[str, float]:
    """Peaks in GiB; on a CPU the process's resident set stands for both."""
    if case["device"] == "cuda":
        free, total = torch.cuda.mem_get_info()
        return {
            "allocated_gib": torch.cuda.max_memory_allocated() / GIB,
            "reserved_gib": torch.cuda.max_memory_reserved() / GIB,
            "device_used_gib": (total - free) / GIB,  # the context and libraries too
        }
    resident = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / GIB
    return {"allocated_gib": resident, "reserved_gib": resident, "device_used_gib": resident}


def train(case: dict[str, Any]) -> dict[str, Any]:
    """Run warm-up and timed steps of one contender."""
    cap_memory(case)
    steps = [documents_of_step(case, number) for number in range(WARM_UP + case["steps"])]
    contender = CONTENDERS[case["contender"]]
    began = clock(case["device"])
    run = contender(case, steps)
    built = {"build_seconds": clock(case["device"]) - began, "build_peak": memory(case)}
    if case["device"] == "cuda":
        torch.cuda.reset_peak_memory_stats()
    losses, seconds = run(WARM_UP, lambda: clock(case["device"]))
    timed = steps[WARM_UP:]
    tokens = sum(len(ids) for step in timed for ids, _ in step)
    trained = sum(label != -100 for step in timed for _, labels in step for label in labels[1:])
    lengths = [len(ids) for step in timed for ids, _ in step]
    flops = count_work(meta_model(case)).flops(lengths, trained)
    return {
        **built,
        **memory(case),
        "tokens": tokens,
        "trained_tokens": trained,
        "documents": len(lengths),
        "tokens_per_s": tokens / seconds,
        "tflops": flops / seconds / 1e12,
        "step_seconds": seconds / len(timed),
        "losses": losses,
    }


def meta_model(case: dict[str, Any]) -> SupervisedFinetune:
    """What counts the FLOPs: the same for every contender."""
    from peft import LoraConfig

    llm = architecture(case["model"], tiny=case["tiny"], dtype="bf16")
    lora = LoraConfig(r=case["rank"], target_modules="all-linear")
    return SupervisedFinetune(llm, adapter=None if case["method"] == "full" else lora)


def versions() -> dict[str, str | None]:
    found: dict[str, str | None] = {}
    for name in ("torch", "transformers", "peft", "bitsandbytes", "trl", "flash-attn", "triton"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = None
    return found


def main() -> None:
    case = json.loads(Path(sys.argv[1]).read_text())
    began = time.perf_counter()
    result: dict[str, Any] = {"case": case, "versions": versions()}
    if case["device"] == "cuda":
        result["gpu"] = torch.cuda.get_device_name(0)
    else:
        torch.set_num_threads(1)
    try:
        found = measure_gemm(case) if case["contender"] == "gemm" else train(case)
        result |= {"status": "ok", **found}
    except torch.OutOfMemoryError as error:
        result |= {"status": "out of memory", "reason": str(error).splitlines()[0]}
        result |= memory(case)
    result["seconds"] = time.perf_counter() - began
    Path(sys.argv[2]).write_text(json.dumps(result))


if __name__ == "__main__":
    main()
