"""Fine-tuning on one GPU: speed against the products' own peak, memory under a cap, and peers.

    python benchmarks/gpu.py                 # under 25 minutes; on an H100 or H200 all of it fits
    python benchmarks/gpu.py --minutes 9     # stop starting cases after 9; the same again goes on
    python benchmarks/gpu.py --tiny          # the same cases in miniature on a CPU: proves the code

Nothing is downloaded: weights are random and made on the device, architectures come with xtune.
Every case is a process of its own with a time budget, and is one JSON line in
`benchmarks/results/DATE_gpu.jsonl` as soon as it is done; cases that are in it are not run again.
At the end the lines are a page, `benchmarks/results/DATE_gpu.md`, with the goals and whether they
were met. Goals are judged on a GPU only. With the variable OUT set both files are copied there.

Where there is torch and no network, `make gpu-wheels` has gathered the rest in a folder before, and
printed the line to type (benchmarks/gpu_wheels.py). flash-attn and liger-kernel are used if they
are there, else torch's own varlen attention and transformers' modules.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from datetime import date
from importlib.util import find_spec
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
LLAMA_3 = "meta-llama/Llama-3.1-8B"
LLAMA_2 = "meta-llama/Llama-2-7b-hf"
PRODUCTS = [(8192, 8192, 8192), (4096, 14336, 4096), (4096, 4096, 14336), (4096, 4096, 4096)]


def all_cases(*, tiny: bool, device: str) -> list[dict[str, Any]]:
    """Every case, what matters most first."""
    common = {"device": device, "tiny": tiny, "seed": 0, "lr": 1e-4, "rank": 16, "cap_gib": None}
    tokens = 64 if tiny else 4096
    steps = 2 if tiny else 8

    def case(
        contender: str, model: str, method: str, data: str, checkpointing: bool | int, **own: Any
    ) -> dict[str, Any]:
        keep = {False: "no checkpointing", True: "checkpointing"}[bool(checkpointing)]
        name = f"{contender} {model.rpartition('/')[2]} {method} {data}, {keep}"
        cap = own.get("cap_gib")
        return {
            **common,
            "name": name + (f", cap {cap} GiB" if cap else ""),
            "contender": contender,
            "model": model,
            "method": method,
            "data": data,
            "checkpointing": checkpointing,
            "tokens": tokens,
            "steps": steps,
            "budget_s": 120,
        } | own

    def capped(model: str, cap: int) -> dict[str, Any]:
        own = {"cap_gib": cap, "tokens": tokens // 2, "steps": 5, "budget_s": 150}
        return case("xtune", model, "qlora", "long", True, **own)

    gemm = {
        **common,
        "name": "products",
        "contender": "gemm",
        "products": [(96, 96, 96)] if tiny else PRODUCTS,
        "steps": 3 if tiny else 30,
        "budget_s": 60,
    }
    return [
        gemm,
        capped(LLAMA_2, 8),
        capped("meta-llama/Meta-Llama-3-8B", 8),
        capped("internlm/internlm-20b", 24),
        case("xtune", LLAMA_3, "lora", "long", False),
        case("xtune", LLAMA_3, "qlora", "long", False),
        case("trl", LLAMA_3, "lora", "long", False),
        case("plain", LLAMA_3, "lora", "long", False),
        case("xtune", LLAMA_3, "lora", "alpaca", False),
        case("trl", LLAMA_3, "lora", "alpaca", False),
        case("plain", LLAMA_3, "lora", "alpaca", False),
        case("xtune", LLAMA_3, "lora", "long", True),
        case("xtune", LLAMA_3, "qlora", "long", True),
        case("xtune", LLAMA_3, "qlora", "alpaca", False),
        case("trl", LLAMA_3, "qlora", "alpaca", False),
        case("plain", LLAMA_3, "qlora", "alpaca", True),
        case("plain", LLAMA_3, "qlora", "long", True),
        case("xtune", LLAMA_2, "lora", "long", False),
        case("xtune", LLAMA_2, "qlora", "long", False),
        case("xtune", LLAMA_2, "full", "long", True),
        case("xtune", LLAMA_3, "full", "long", True),
        case("plain", LLAMA_2, "full", "long", True),
        case("trl", LLAMA_2, "full", "long", True),
        case("xtune", LLAMA_2, "full", "long", False),
        case("xtune", LLAMA_2, "lora", "alpaca", False),
        case("trl", LLAMA_2, "lora", "alpaca", False),
        case("plain", LLAMA_2, "lora", "alpaca", False),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--tiny", action="store_true", help="miniature shapes on a CPU")
    parser.add_argument("--minutes", type=float, default=24, help="start no case after these")
    parser.add_argument("--only", default="", help="cases whose name contains this")
    parser.add_argument("--out", type=Path, default=HERE / "results")
    args = parser.parse_args()
    began = time.monotonic()
    device = "cpu" if args.tiny else "cuda"
    if device == "cuda" and not _has_gpu():
        sys.exit("no CUDA device here; --tiny proves the code on a CPU")
    args.out.mkdir(exist_ok=True, parents=True)
    lines = args.out / f"{date.today()}_gpu{'_tiny' if args.tiny else ''}.jsonl"
    done = read_lines(lines)
    for case in all_cases(tiny=args.tiny, device=device):
        if args.only not in case["name"] or case["name"] in done:
            continue
        left = 60 * args.minutes - (time.monotonic() - began)
        if left < 10:
            print(
                f"{(time.monotonic() - began) / 60:.1f} minutes are over; the same command goes on"
            )
            break
        result = run_case(case, min(left, case["budget_s"] * (3 if args.tiny else 1)))
        done[case["name"]] = result
        with lines.open("a") as file:
            file.write(json.dumps(result) + "\n")
        print(said(result), flush=True)
    page = lines.with_suffix(".md")
    page.write_text(written_page(list(done.values()), judged=device == "cuda"))
    print(f"written to {page}")
    if folder := os.environ.get("OUT"):
        for path in (lines, page):
            shutil.copy(path, folder)


def read_lines(path: Path) -> dict[str, dict[str, Any]]:
    """The results that are there, by the names of their cases."""
    text = path.read_text() if path.is_file() else ""
    results = map(json.loads, text.splitlines())
    return {result["case"]["name"]: result for result in results}


def run_case(case: dict[str, Any], budget: float) -> dict[str, Any]:
    """One process; whatever becomes of it is a result."""
    missing = [name for name in ("trl", "pyarrow", "pandas") if find_spec(name) is None]
    if case["contender"] == "trl" and missing:
        return {"case": case, "status": "not run", "reason": f"not installed: {missing[0]}"}
    worker = HERE / "contenders" / "gpu_case.py"
    with tempfile.TemporaryDirectory() as folder:
        given, got = Path(folder) / "case.json", Path(folder) / "result.json"
        given.write_text(json.dumps(case))
        path = os.pathsep.join(filter(None, [str(HERE.parent), os.environ.get("PYTHONPATH")]))
        try:
            process = subprocess.run(
                [sys.executable, worker, given, got],
                env=os.environ | {"PYTHONPATH": path, "HF_HUB_OFFLINE": "1"},
                timeout=budget,
                capture_output=True,
                text=True,
                check=False,
            )
        except subprocess.TimeoutExpired:
            return {"case": case, "status": "out of time", "reason": f"over {budget:.0f} s"}
        if process.returncode == 0:
            return json.loads(got.read_text())
        last = (process.stderr.strip() or "no message").splitlines()
        return {"case": case, "status": "failed", "reason": last[-1], "log": last[-30:]}


def said(result: dict[str, Any]) -> str:
    """One line for the console."""
    name = result["case"]["name"]
    if result["status"] != "ok":
        return f"{name}: {result['status']}, {result.get('reason', '')}"
    if "peak_tflops" in result:
        return f"{name}: {result['peak_tflops']:.1f} TFLOP/s"
    return (
        f"{name}: {result['tokens_per_s']:.0f} tokens/s, {result['tflops']:.1f} TFLOP/s, "
        f"{result['allocated_gib']:.2f} GiB allocated, {result['reserved_gib']:.2f} reserved"
    )


def goals(results: list[dict[str, Any]]) -> list[tuple[str, str, bool | None]]:
    """(goal, what was measured, whether it was met); None where it could not be measured."""
    measured = {r["case"]["name"]: r for r in results}
    peak = measured.get("products", {}).get("peak_tflops")
    found: list[tuple[str, str, bool | None]] = []

    def best(contender: str, method: str, data: str, key: str) -> float | None:
        values = [
            r[key]
            for r in results
            if r["status"] == "ok"
            and r["case"]["contender"] == contender
            and (r["case"].get("model"), r["case"].get("method")) == (LLAMA_3, method)
            and r["case"]["data"] == data
        ]
        return max(values, default=None)

    for method, share in (("lora", 0.60), ("qlora", 0.50)):
        goal = f"Llama-3.1-8B {method}, packs of 4,096: {share:.0%} of the products' peak"
        ours = best("xtune", method, "long", "tflops")
        if ours is None or peak is None:
            found.append((goal, "not measured", None))
        else:
            found.append((goal, f"{ours / peak:.1%} of {peak:.0f} TFLOP/s", ours / peak >= share))
    for data in ("long", "alpaca"):
        goal = f"Llama-3.1-8B lora, {data}: 1.5 times TRL"
        ours, theirs = (best(who, "lora", data, "tokens_per_s") for who in ("xtune", "trl"))
        if ours is None or theirs is None:
            found.append((goal, "not measured", None))
        else:
            found.append((goal, f"{ours / theirs:.2f} times", ours >= 1.5 * theirs))
    for result in results:
        if cap := result["case"].get("cap_gib"):
            goal = f"{result['case']['model'].rpartition('/')[2]} QLoRA r=16 within {cap} GiB"
            if result["status"] == "ok":
                reserved = result["reserved_gib"]
                building = result["build_peak"]["reserved_gib"]
                told = f"{reserved:.2f} GiB reserved, {building:.2f} while its weights were made"
                found.append((goal, told, max(reserved, building) <= cap))
            else:
                tried = result["status"] == "out of memory"
                found.append((goal, result["status"], False if tried else None))
    return found


def written_page(results: list[dict[str, Any]], *, judged: bool) -> str:
    """The results as Markdown."""
    measured = [r for r in results if r["status"] == "ok"]
    gpu = next((r["gpu"] for r in measured if "gpu" in r), "a CPU, in miniature")
    found = next((r["versions"] for r in measured), {})
    told = ", ".join(f"{name} {number}" for name, number in found.items() if number)
    commit = _commit()
    lines = [
        f"# Fine-tuning on {gpu}, {date.today()}",
        "",
        f"Command: `python benchmarks/gpu.py`. {told}; xtune at {commit or 'an unknown commit'}.",
        "Random weights, made on the device; bf16; LoRA r=16 on all linear layers, fp32; half of",
        "each document trained. FLOPs are those that training cannot do without",
        "(`xtune/models/flops.py`): nothing that checkpointing computes again.",
        "",
        "| goal | measured | met |",
        "|---|---|---|",
    ]
    verdicts = {True: "yes", False: "**no**", None: "not measured"}
    for goal, value, met in goals(results):
        verdict = verdicts[met] if judged else "not judged: no GPU"
        lines.append(f"| {goal} | {value} | {verdict} |")
    products = next((r for r in measured if "peak_tflops" in r), None)
    peak = products["peak_tflops"] if products else None
    if products:
        shown = (f"{name} {value:.1f}" for name, value in products["tflops_of_products"].items())
        lines += ["", f"Products alone, TFLOP/s: {', '.join(shown)}."]
    lines += [
        "",
        "| case | tokens/s | TFLOP/s | of the peak | GiB allocated | reserved | first loss |",
        "|---|---|---|---|---|---|---|",
    ]
    for result in results:
        name = result["case"]["name"]
        if result["status"] != "ok":
            lines.append(f"| {name} | {result['status']}: {result.get('reason', '')[:90]} |||||| ")
        elif "tokens_per_s" in result:
            share = f"{result['tflops'] / peak:.1%}" if peak else ""
            lines.append(
                f"| {name} | {result['tokens_per_s']:.0f} | {result['tflops']:.4g} | {share} "
                f"| {result['allocated_gib']:.2f} | {result['reserved_gib']:.2f} "
                f"| {result['losses'][0]:.3f} |"
            )
    lines += [
        "",
        "Full fine-tuning: ours keeps fp32 masters, the plain loop and TRL train bf16 weights",
        "alone. The plain loop pads the same documents to one batch a step.",
    ]
    return "\n".join(lines) + "\n"


def _commit() -> str:
    if shutil.which("git") is None:
        return ""
    command = ["git", "rev-parse", "--short", "HEAD"]
    return subprocess.run(
        command, cwd=HERE, capture_output=True, text=True, check=False
    ).stdout.strip()


def _has_gpu() -> bool:
    import torch

    return torch.cuda.is_available()


if __name__ == "__main__":
    main()
