"""Fine-tuning speed on a CPU: xtune, TRL (packed and padded) and a plain loop, side by side.

    python benchmarks/sft_cpu.py --data code_alpaca_2k.json --map-fn alpaca

The same SmolLM2-135M weights, rows, LoRA (r=16 on all linear layers, the same start), optimizer
and precision. One process for each contender, interleaved, medians over the repeats. TRL runs in
an environment of its own (`.venv-trl`, made on first use). A speed counts only behind two gates:

- the same documents: what a contender really trained on, read back from its own batches, is the
  same multiset of (ids, labels), so the number of trained tokens is equal too;
- the same mathematics: on one pack of documents, the loss of the first step agrees to 1e-4 (fp32)
  or 1e-2 (bf16) with the plain loop's, and the last of `gate_steps` within 1 % of it.

Tokens are real ones: padding is work, not output. The first step of each run is warm-up.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
from collections import Counter
from datetime import date
from importlib.metadata import version
from pathlib import Path
from statistics import median

import numpy as np

HERE = Path(__file__).resolve().parent
TRL_ENVIRONMENT = HERE.parent / ".venv-trl"
WARM_UP = 1
CONTENDERS = {
    "xtune": (sys.executable, "xtune_run.py"),
    "TRL packed": (TRL_ENVIRONMENT / "bin/python", "trl_sft.py", "packed"),
    "TRL padded": (TRL_ENVIRONMENT / "bin/python", "trl_sft.py", "padded"),
    "plain loop": (sys.executable, "plain_loop.py"),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", default="toolcall", help="a file of rows; default: the demo's")
    parser.add_argument("--map-fn", default="openai")
    parser.add_argument("--packs", type=int, default=6, help="packs of tokens to train on")
    parser.add_argument("--pack-length", type=int, default=1024)
    parser.add_argument("--gate-steps", type=int, default=4)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--precision", choices=["auto", "fp32", "bf16"], default="auto")
    parser.add_argument("--contenders", nargs="+", default=list(CONTENDERS), choices=CONTENDERS)
    parser.add_argument("--out", type=Path, default=HERE / "results")
    args = parser.parse_args()

    if any(name.startswith("TRL") for name in args.contenders):
        _make_trl_environment()
    with tempfile.TemporaryDirectory() as folder:
        task = _write_task(Path(folder), args)
        results: dict[str, list[dict]] = {name: [] for name in args.contenders}
        for repeat in range(args.repeats):
            for name in args.contenders:
                result = _run(name, Path(folder), args.threads)
                results[name].append(result)
                print(
                    f"repeat {repeat + 1}  {name:<11} {_speed(result):7.1f} tokens/s",
                    f"{result['peak_memory_mb']:8.0f} MB  load {os.getloadavg()[0]:.1f}",
                    flush=True,
                )
    page = _page(results, task, args)
    args.out.mkdir(exist_ok=True)
    path = args.out / f"{date.today()}_sft_cpu.md"
    path.write_text(page)
    print(page + f"\nwritten to {path}")


def _make_trl_environment() -> None:
    if not (TRL_ENVIRONMENT / "ready").exists():
        print(f"making {TRL_ENVIRONMENT}", flush=True)
        subprocess.run([sys.executable, "-m", "venv", TRL_ENVIRONMENT], check=True)
        wanted = ["-r", HERE / "requirements-trl.txt"]
        # torch first and alone: beside others, a range of theirs could fetch its CUDA build
        for what in (["torch==2.13.0"], wanted):
            command = [TRL_ENVIRONMENT / "bin/pip", "install", "--quiet", *what]
            subprocess.run(command, check=True)
        (TRL_ENVIRONMENT / "ready").touch()


def _write_task(folder: Path, args: argparse.Namespace) -> dict:
    """Tokenise once with xtune's data path and lay the same documents out for everyone."""
    import torch

    from xtune.data.dataset import SFTDataset
    from xtune.data.sources import open_source
    from xtune.models import load_tokenizer
    from xtune.models.gguf import converted_gguf
    from xtune.models.precision import choose_precision

    model = converted_gguf("smollm2")  # a folder that TRL reads too
    tokenizer = load_tokenizer(str(model))
    rows = [row for _, row in open_source(args.data, split="train").rows()]

    def tokenized(chosen: list[dict], name: str) -> SFTDataset:
        path = folder / f"{name}.jsonl"
        path.write_text("".join(json.dumps(row) + "\n" for row in chosen))
        dataset = SFTDataset(
            data_path=str(path),
            tokenizer=tokenizer,
            map_fn=args.map_fn,
            max_length=args.pack_length,
        )
        samples = [dataset.sample(i) for pack in range(len(dataset)) for i in dataset.pack(pack)]
        np.savez(
            folder / f"{name}.npz",
            ids=np.concatenate([s.input_ids for s in samples]),
            labels=np.concatenate([s.labels for s in samples]),
            offsets=np.cumsum([0] + [len(s) for s in samples]),
        )
        return dataset

    def first_rows(tokens: int) -> list[dict]:
        probe = tokenized(rows[: tokens // 10], "probe")  # no row is shorter than 10 tokens
        ends = np.cumsum([len(probe.sample(i)) for i in range(probe.report.samples)])
        return rows[: int(np.searchsorted(ends, tokens, side="right"))]

    tokenized(first_rows(args.pack_length), "gate")
    dataset = tokenized(first_rows(args.packs * args.pack_length - 32), "docs")
    precision = args.precision
    if precision == "auto":
        chosen = choose_precision(torch.device("cpu"))
        precision = "bf16" if chosen.compute_dtype == torch.bfloat16 else "fp32"
    task = {
        "model": str(model),
        "map_fn": args.map_fn,
        "pack_length": args.pack_length,
        "gate_steps": args.gate_steps,
        "precision": precision,
        "lr": 2e-4,
        "threads": args.threads,
        "documents": dataset.report.samples,
        "tokens": int(dataset.tokens),
        "trained": int(dataset.trained_tokens),
    }
    (folder / "task.json").write_text(json.dumps(task))
    return task


def _run(name: str, folder: Path, threads: int) -> dict:
    python, script, *words = CONTENDERS[name]
    result = folder / "result.json"
    environment = os.environ | {
        "OMP_NUM_THREADS": str(threads),
        "HF_HUB_OFFLINE": "1",
        "TOKENIZERS_PARALLELISM": "false",
        "PYTHONPATH": "",
    }
    done = subprocess.run(
        [str(python), str(HERE / "contenders" / script), str(folder), str(result), *words],
        env=environment,
        capture_output=True,
        text=True,
    )
    if done.returncode:
        sys.exit(f"{name} failed:\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}")
    return json.loads(result.read_text())


def _speed(result: dict) -> float:
    run = result["speed"]
    return sum(run["tokens"][WARM_UP:]) / sum(run["seconds"][WARM_UP:])


def _gates(result: dict, reference: dict, task: dict) -> list[str]:
    """What disqualifies a contender; empty if its speed counts."""
    wrong = []
    if Counter(result["speed"]["documents"]) != Counter(reference["speed"]["documents"]):
        wrong.append("other documents")
    if sum(result["speed"]["trained"]) != task["trained"]:
        wrong.append(f"{sum(result['speed']['trained'])} trained tokens")
    if result["trainable"] != reference["trainable"]:
        wrong.append(f"{result['trainable']} trainable parameters")
    ours, theirs = result["gate"]["losses"], reference["gate"]["losses"]
    if abs(ours[0] - theirs[0]) > (1e-4 if task["precision"] == "fp32" else 1e-2):
        wrong.append(f"first loss {ours[0]:.5f}, not {theirs[0]:.5f}")
    if abs(ours[-1] / theirs[-1] - 1) > 0.01:
        wrong.append(f"loss {ours[-1]:.4f} after {len(ours)} steps, not {theirs[-1]:.4f}")
    return wrong


def _page(results: dict[str, list[dict]], task: dict, args: argparse.Namespace) -> str:
    reference = results["plain loop" if "plain loop" in results else args.contenders[0]][0]
    rows, speeds = [], {}
    for name, repeats in results.items():
        every = sorted(_speed(result) for result in repeats)
        wrong = _gates(repeats[0], reference, task)
        if not wrong:
            speeds[name] = median(every)
        gate = repeats[0]["gate"]["losses"]
        rows.append(
            f"| {name} | {median(every):.1f} | {every[0]:.1f} to {every[-1]:.1f} "
            f"| {median(r['peak_memory_mb'] for r in repeats):.0f} "
            f"| {gate[0]:.4f} → {gate[-1]:.4f} | {'; '.join(wrong) or 'passed'} |"
        )
    best = max((s for n, s in speeds.items() if n.startswith("TRL")), default=None)
    ratio = ""
    if best and "xtune" in speeds:
        ratio = f"xtune: **{speeds['xtune'] / best:.2f}** times TRL's best."
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], cwd=HERE, capture_output=True, text=True
    ).stdout.strip()
    return "\n".join(
        [
            f"# Fine-tuning on a CPU, {date.today()}",
            "",
            f"Command: `python benchmarks/sft_cpu.py {' '.join(sys.argv[1:])}`",
            "",
            f"SmolLM2-135M, LoRA r=16 on all linear layers, {task['precision']}, packs of "
            f"{task['pack_length']}; padded contenders take batches of 8. {task['documents']} "
            f"documents, {task['tokens']} tokens, {task['trained']} of them trained; medians of "
            f"{args.repeats} interleaved runs. {ratio}",
            "",
            "| contender | tokens/s | spread | peak memory MB | gate loss | gates |",
            "|---|---|---|---|---|---|",
            *rows,
            "",
            f"Machine: {_processor()}, {args.threads} threads, Python {platform.python_version()}. "
            f"torch {version('torch')}, transformers {version('transformers')}, peft "
            f"{version('peft')}, TRL 1.16.0. xtune at {commit or 'no commit'}.",
            "",
        ]
    )


def _processor() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    model = next(line.split(":")[1].strip() for line in lines if line.startswith("model name"))
    flags = next(line for line in lines if line.startswith("flags")).split()
    known = [flag for flag in ("avx2", "avx512f", "avx512_bf16", "amx_bf16") if flag in flags]
    return f"{model} ({', '.join(known)})"


if __name__ == "__main__":
    main()
