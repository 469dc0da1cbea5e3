"""Two checkouts of xtune on the same training steps, one after the other's step: before and after.

    python benchmarks/before_after.py --before ../main --kind lora --precision bf16

Each checkout runs in a process of its own, forked from one that has loaded the libraries; only one
computes at a time. SmolLM2-135M on packs of 1,024 tokens of the file given. The first step warms up
and does not count. Processor time is what the process used, wall time what passed; on a machine
that others use too the first is the better measure, and the ratio of neighbouring steps the best.

The equality of results is part of it: losses and gradient norms stand next to each other.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import sys
import tempfile
import time
from collections.abc import Iterator
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from pathlib import Path
from statistics import median

import peft  # noqa: F401 - loaded before the fork
import torch
import transformers  # noqa: F401

LINEARS = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
HERE = Path(__file__).resolve().parents[1]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--before", type=Path, required=True, help="another checkout")
    parser.add_argument("--after", type=Path, default=HERE)
    parser.add_argument("--data", type=Path, required=True, help="a JSON list of alpaca-like rows")
    parser.add_argument("--kind", choices=["lora", "qlora", "full"], default="lora")
    parser.add_argument("--precision", choices=["bf16", "fp32"], default="bf16")
    parser.add_argument("--dropout", type=float, default=0.0)
    parser.add_argument("--steps", type=int, default=4)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--profile", action="store_true", help="of one step of either, by operator")
    args = parser.parse_args()
    sides = {"before": _start(args.before, args), "after": _start(args.after, args)}
    rows: dict[str, list[dict]] = {name: [] for name in sides}
    for step in range(args.steps + 1):
        for name, side in sides.items():
            side.send("step")
            row = side.recv()
            if step:
                rows[name].append(row)
            print(f"step {step} {name:<6} {json.dumps(row)}", flush=True)
    pairs = list(zip(rows["before"], rows["after"], strict=True))
    ratios = {kind: median(b[kind] / a[kind] for b, a in pairs) for kind in ("cpu_s", "wall_s")}
    print("\n| | tokens/s (wall) | tokens/s (processor) | peak MB |\n|---|---|---|---|")
    for name, side in sides.items():
        wall = median(r["tokens"] / r["wall_s"] for r in rows[name])
        cpu = median(r["tokens"] / r["cpu_s"] for r in rows[name])
        print(f"| {name} | {wall:.0f} | {cpu:.0f} | {rows[name][-1]['peak_mb']:.0f} |")
        if args.profile:
            side.send("profile")
            print(f"\n{name}\n{side.recv()}")
        side.send("end")
    print(
        f"\nfaster: {ratios['cpu_s']:.2f} times by processor time, {ratios['wall_s']:.2f} by wall"
    )


def _start(checkout: Path, args: argparse.Namespace) -> Connection:
    ours, theirs = Pipe()
    if os.fork() == 0:
        ours.close()
        sys.path.insert(0, str(checkout.resolve()))
        _serve(theirs, args)
        os._exit(0)
    theirs.close()
    return ours


def _serve(pipe: Connection, args: argparse.Namespace) -> None:
    torch.set_num_threads(args.threads)
    torch.set_flush_denormal(True)
    steps = _training(args)
    while (order := pipe.recv()) != "end":
        if order == "step":
            pipe.send(next(steps))
            continue
        with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profile:
            next(steps)
        averages = profile.key_averages()
        pipe.send(averages.table(sort_by="self_cpu_time_total", row_limit=30))


def _training(args: argparse.Namespace) -> Iterator[dict]:
    from xtune.data.collate import collate
    from xtune.data.dataset import SFTDataset
    from xtune.models import build_model, load_tokenizer
    from xtune.models.precision import choose_precision

    cfg: dict = {
        "type": "SupervisedFinetune",
        "llm": {"type": "CausalLM", "pretrained_model_name_or_path": "smollm2"},
    }
    if args.kind != "full":
        cfg["adapter"] = {
            "type": "LoraConfig",
            "r": 16,
            "lora_alpha": 32,
            "lora_dropout": args.dropout,
            "target_modules": LINEARS,
        }
    if args.kind == "qlora":
        cfg["llm"]["quantization"] = {"bits": 4}
    torch.manual_seed(0)
    model = build_model(cfg, precision=choose_precision("cpu", args.precision))
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "rows.jsonl"
        rows = json.loads(args.data.read_text())[:200]
        file.write_text("".join(json.dumps(row) + "\n" for row in rows))
        data = SFTDataset(
            data_path=str(file),
            tokenizer=load_tokenizer("smollm2"),
            map_fn="alpaca",
            max_length=1024,
        )
        packs = [collate([data.sample(i) for i in data.pack(pack)]) for pack in range(4)]
    trained = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=2e-4, weight_decay=0.0, fused=True)
    step = 0
    while True:
        batch = packs[step % len(packs)]
        torch.manual_seed(step)
        wall, cpu = time.perf_counter(), time.process_time()
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=args.precision == "bf16"):
            loss = model(batch, normalizer=batch.trained_tokens)["loss"]
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(trained, 1.0)
        optimizer.step()
        optimizer.zero_grad()
        yield {
            "wall_s": round(time.perf_counter() - wall, 3),
            "cpu_s": round(time.process_time() - cpu, 3),
            "tokens": batch.input_ids.shape[1],
            "loss": round(loss.item(), 5),
            "grad_norm": round(float(norm), 5),
            "peak_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
        }
        step += 1


if __name__ == "__main__":
    main()
