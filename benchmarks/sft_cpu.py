"""Fine-tuning speed on a CPU: xtune, TRL, LLaMA-Factory and a plain loop, side by side.

    python benchmarks/sft_cpu.py --data code_alpaca_2k.json --map-fn alpaca --method lora

The same SmolLM2-135M weights, rows, LoRA (r=16 on all linear layers, the same start) and optimizer.
One process for each run, the contenders interleaved, medians over the repeats. TRL and
LLaMA-Factory run in environments of their own, made on first use. A section of Markdown goes to
standard output, progress to standard error. A speed counts only behind these gates:

- the same documents: what a contender really trained on, read back from its own batches, is the
  same multiset of (ids, labels), so the number of trained tokens is equal too;
- the same number of trainable parameters;
- the same mathematics: on one pack of documents, the loss of the first step agrees to 1e-4 (fp32)
  or 1e-2 (bf16) with the plain loop's, and the last of `gate_steps` within 1 % of it.

`--precision best` lets each contender pass the gates in fp32 and, where the processor has AMX or
AVX512-bf16, in bf16 (frozen weights and products in bf16, what is trained in fp32), and goes on
with the faster. Tokens are real ones: padding is work, not output. The first step of each run is
warm-up.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from collections import Counter
from pathlib import Path
from statistics import median

import numpy as np
from harness.environments import NotInstallable, python_of
from harness.machine import machine_lines
from harness.measured import ProgramFailed, run

HERE = Path(__file__).resolve().parent
WARM_UP = 1
# name: environment, script, the script's own words
CONTENDERS = {
    "xtune": ("xtune", "xtune_run.py"),
    "TRL packed": ("trl", "trl_sft.py", "packed"),
    "TRL padded": ("trl", "trl_sft.py", "padded"),
    "LLaMA-Factory packed": ("llamafactory", "llamafactory_sft.py", "packed"),
    "LLaMA-Factory padded": ("llamafactory", "llamafactory_sft.py", "padded"),
    "plain loop": ("xtune", "plain_loop.py"),
}
REFERENCE = "plain loop"  # whose losses the gates compare with
LEARNING_RATE = {"lora": 2e-4, "qlora": 2e-4, "full": 2e-5}


class Disqualified(Exception):
    """A contender's run does not count; says why."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", default="toolcall", help="a file of rows; default: the demo's")
    parser.add_argument("--map-fn", default="openai")
    parser.add_argument("--method", choices=LEARNING_RATE, default="lora")
    parser.add_argument("--precision", choices=["best", "fp32", "bf16"], default="best")
    parser.add_argument("--packs", type=int, default=6, help="packs of tokens to train on")
    parser.add_argument("--pack-length", type=int, default=1024)
    parser.add_argument("--gate-steps", type=int, default=4)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--contenders", nargs="+", default=list(CONTENDERS), choices=CONTENDERS)
    args = parser.parse_args()

    machine = machine_lines(threads=args.threads)
    absent = _absent(args.contenders)
    racing = [name for name in args.contenders if CONTENDERS[name][0] not in absent]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        task = _write_task(folder, args)
        reference = _reference_losses(folder, task)
        chosen, failed = {}, {}
        for name in racing:
            try:
                chosen[name] = _choose_form(name, folder, task, reference)
            except Disqualified as error:
                failed[name] = str(error)
                _say(f"{name}: {error}")
        results: dict[str, list[dict]] = {name: [] for name in chosen}
        for repeat in range(args.repeats):
            for name, (form, _) in list(chosen.items()):
                try:
                    result = _run(name, folder, "speed", form, task)
                    wrong = _wrong_documents(result, task)
                except ProgramFailed as error:
                    wrong = [_last_line(error)]
                if wrong:
                    failed[name] = "; ".join(wrong)
                    del chosen[name], results[name]
                    continue
                results[name].append(result)
                _say(
                    f"repeat {repeat + 1}  {name:<20} {form:<8} {_speed(result):7.1f} tokens/s "
                    f"{result['peak_memory_mb']:6.0f} MB  load {os.getloadavg()[0]:.1f}"
                )
    print(_section(results, chosen, failed | _missing(args.contenders, absent), task, args))
    print("\n".join(machine))


def _absent(names: list[str]) -> dict[str, str]:
    """Why the environments that cannot be made here cannot, by their names."""
    absent = {}
    for environment in dict.fromkeys(CONTENDERS[name][0] for name in names):
        try:
            python_of(environment)
        except NotInstallable as error:
            absent[environment] = f"not installable here: {error}"
    return absent


def _missing(names: list[str], absent: dict[str, str]) -> dict[str, str]:
    return {n: absent[CONTENDERS[n][0]] for n in names if CONTENDERS[n][0] in absent}


def _write_task(folder: Path, args: argparse.Namespace) -> dict:
    """Tokenise once with xtune's data path and lay the same documents out for everyone."""
    import torch

    from xtune.data.dataset import SFTDataset
    from xtune.data.sources import open_source
    from xtune.models import load_tokenizer
    from xtune.models.gguf import converted_gguf
    from xtune.models.precision import choose_precision

    model = converted_gguf("smollm2")  # a folder that the others read too
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

    # one token less: LLaMA-Factory keeps it free, so that its packs are a multiple of 8
    tokenized(first_rows(args.pack_length - 1), "gate")
    dataset = tokenized(first_rows(args.packs * args.pack_length - 32), "docs")
    bf16 = choose_precision(torch.device("cpu")).compute_dtype == torch.bfloat16
    forms = {"fp32": ["fp32"], "bf16": ["bf16"], "best": ["fp32", "bf16"]}
    wanted = forms[args.precision if bf16 or args.precision != "best" else "fp32"]
    if args.method == "full":  # bf16 weights would lose their small updates
        wanted = ["autocast" if form == "bf16" else form for form in wanted]
    task = {
        "model": str(model),
        "map_fn": args.map_fn,
        "method": args.method,
        "forms": wanted,
        "pack_length": args.pack_length,
        "gate_steps": args.gate_steps,
        "lr": LEARNING_RATE[args.method],
        "threads": args.threads,
        "documents": dataset.report.samples,
        "tokens": int(dataset.tokens),
        "trained": int(dataset.trained_tokens),
        "digests": _digests(folder / "docs.npz"),
    }
    (folder / "task.json").write_text(json.dumps(task))
    return task


def _digests(path: Path) -> list[str]:
    sys.path.insert(0, str(HERE / "contenders"))
    from common import digest

    saved = np.load(path)
    bounds = zip(saved["offsets"][:-1], saved["offsets"][1:], strict=True)
    return [digest(saved["ids"][a:b].tolist(), saved["labels"][a:b].tolist()) for a, b in bounds]


def _reference_losses(folder: Path, task: dict) -> dict:
    """The plain loop's gate run in each form that is raced."""
    return {form: _run(REFERENCE, folder, "gate", form, task) for form in task["forms"]}


def _choose_form(name: str, folder: Path, task: dict, reference: dict) -> tuple[str, list[float]]:
    """Return the form of a contender that is fastest on the gate's pack, and its losses there.

    Raises:
        Disqualified: no form passes; with the reason of the last.
    """
    speeds: dict[str, float] = {}
    losses: dict[str, list[float]] = {}
    reason = ""
    for form in task["forms"]:
        try:
            gate = _run(name, folder, "gate", form, task)
        except ProgramFailed as error:
            reason = f"{form}: {_last_line(error)}"
            continue
        wrong = _gates(gate, reference[form], form)
        if wrong:
            reason = f"{form}: {'; '.join(wrong)}"
            continue
        speeds[form], losses[form] = _speed(gate), gate["losses"]
        _say(f"gates     {name:<20} {form:<8} {speeds[form]:7.1f} tokens/s on one pack")
    if not speeds:
        raise Disqualified(reason)
    best = max(speeds, key=lambda form: speeds[form])
    return best, losses[best]


def _last_line(error: ProgramFailed) -> str:
    _say(str(error))
    return f"fails: {str(error).strip().splitlines()[-1][:200]}"


def _run(name: str, folder: Path, part: str, form: str, task: dict) -> dict:
    environment, script, *words = CONTENDERS[name]
    result = folder / "result.json"
    measured = run(
        [python_of(environment), HERE / "contenders" / script, folder, part, form, result, *words],
        threads=task["threads"],
        environment={"TOKENIZERS_PARALLELISM": "false"},
    )
    return json.loads(result.read_text()) | {"peak_memory_mb": measured.peak_memory_mb}


def _speed(result: dict) -> float:
    return sum(result["tokens"][WARM_UP:]) / sum(result["seconds"][WARM_UP:])


def _wrong_documents(result: dict, task: dict) -> list[str]:
    wrong = []
    if Counter(result["documents"]) != Counter(task["digests"]):
        wrong.append("other documents")
    if sum(result["trained"]) != task["trained"]:
        wrong.append(f"{sum(result['trained'])} trained tokens, not {task['trained']}")
    return wrong


def _gates(gate: dict, reference: dict, form: str) -> list[str]:
    """What disqualifies a contender; empty if its speed counts."""
    wrong = []
    if gate["trainable"] != reference["trainable"]:
        wrong.append(f"{gate['trainable']:,} trainable parameters, not {reference['trainable']:,}")
    ours, theirs = gate["losses"], reference["losses"]
    if abs(ours[0] - theirs[0]) > (1e-4 if form == "fp32" else 1e-2):
        wrong.append(f"first loss {ours[0]:.5f}, not {theirs[0]:.5f}")
    if len(ours) != len(theirs) or abs(ours[-1] / theirs[-1] - 1) > 0.01:
        wrong.append(f"loss {ours[-1]:.4f} after {len(ours)} steps, not {theirs[-1]:.4f}")
    return wrong


def _section(results, chosen, failed, task: dict, args: argparse.Namespace) -> str:
    rows, speeds, memories = [], {}, {}
    for name, repeats in results.items():
        form, losses = chosen[name]
        every = sorted(map(_speed, repeats))
        speeds[name] = median(every)
        memories[name] = median(r["peak_memory_mb"] for r in repeats)
        trained = speeds[name] * task["trained"] / task["tokens"]
        curve = f"{losses[0]:.4f} → {losses[-1]:.4f}"
        rows.append(
            f"| {name} | {form} | {speeds[name]:.1f} | {every[0]:.1f} to {every[-1]:.1f} "
            f"| {trained:.1f} | {memories[name]:.0f} | {curve} | passed |"
        )
    rows += [f"| {name} | | | | | | | **{reason}** |" for name, reason in failed.items()]
    what = {"lora": "LoRA r=16 on all linear layers", "full": "all weights"}
    what["qlora"] = f"{what['lora']}, base in NF4"
    return "\n".join(
        [
            f"## Fine-tuning: {args.method}",
            "",
            f"`python benchmarks/sft_cpu.py {' '.join(sys.argv[1:])}`",
            "",
            f"SmolLM2-135M, {what[args.method]}; packs of {task['pack_length']}, padded contenders "
            f"in batches of 8. {task['documents']} documents, {task['tokens']} tokens, "
            f"{task['trained']} of them trained; medians of {args.repeats} interleaved runs. "
            "Memory is the peak of the process tree.",
            "",
            *_ratios(speeds, memories),
            "| contender | form | tokens/s | spread | trained tokens/s | memory, MB | gate loss "
            "| gates |",
            "|---|---|---|---|---|---|---|---|",
            *rows,
            "",
        ]
    )


def _ratios(speeds: dict[str, float], memories: dict[str, float]) -> list[str]:
    lines = []
    for peer in ("TRL", "LLaMA-Factory", "plain loop"):
        theirs = [name for name in speeds if name.startswith(peer)]
        if theirs and "xtune" in speeds:
            best = max(theirs, key=lambda name: speeds[name])
            lines.append(
                f"- xtune is **{speeds['xtune'] / speeds[best]:.2f}** times as fast as {best}, "
                f"with {memories['xtune'] / memories[best]:.2f} of its memory."
            )
    return [*lines, ""] if lines else []


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
