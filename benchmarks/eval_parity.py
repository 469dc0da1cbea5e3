"""Our tasks of multiple choice next to lm_eval's own, on the same rows: equal item by item.

    python benchmarks/eval_parity.py --model smollm2

lm_eval reads rows as the hub has them and runs its own tasks, in an environment of its own; ours
reads the same rows as they are published. Each log-probability of each option of each item stands
next to the other's, in fp32, in the completion and the chat form. Exit code 1 where one differs by
more than 1e-4.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.harness.environments import python_of
from benchmarks.harness.eval_rows import write_hub_rows, write_published
from benchmarks.harness.machine import machine_lines
from xtune.eval.prompts import Renderer
from xtune.eval.scoring import score_likelihoods
from xtune.eval.tasks.arc import ARCEasy
from xtune.eval.tasks.base import Choices, Form, Likelihoods, RollingLikelihood, Task
from xtune.eval.tasks.boolq import BoolQ
from xtune.eval.tasks.ceval import CEval
from xtune.eval.tasks.cmmlu import CMMLU
from xtune.eval.tasks.hellaswag import HellaSwag
from xtune.eval.tasks.mmlu import MMLU
from xtune.eval.tasks.perplexity import Perplexity
from xtune.eval.tasks.piqa import PIQA
from xtune.eval.tasks.race import RACE
from xtune.eval.tasks.truthfulqa import TruthfulQA
from xtune.eval.tasks.winogrande import WinoGrande
from xtune.models.loading import load_model
from xtune.models.tokenizer import load_tokenizer

ALLOWED = 1e-4
THEIRS = Path(__file__).parent / "contenders/lm_eval_rows.py"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--model", default="smollm2", help="a model's name or folder")
    parser.add_argument("--max-length", type=int, default=2048, help="tokens the models take")
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    import torch

    torch.set_num_threads(args.threads)
    tokenizer, llm = load_tokenizer(args.model), load_model(args.model, dtype="fp32")
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        llm.save_pretrained(work / "model")
        tokenizer.save_pretrained(work / "model")
        job = {
            "model": str(work / "model"),
            "rows": write_hub_rows(work / "hub"),
            "max_length": args.max_length,
            "threads": args.threads,
        }
        write_published(work / "published")
        worst = 0.0
        print(f"# Options next to lm_eval's\n\n`python benchmarks/eval_parity.py {words()}`\n")
        forms: tuple[Form, ...] = (
            ("completion", "chat") if tokenizer.chat_template else ("completion",)
        )
        for form in forms:
            theirs = _theirs(job | {"form": form}, work)
            renderer = Renderer(tokenizer, form=form, max_length=args.max_length)
            worst = max(
                worst, _compare(form, theirs, _tasks(str(work / "published")), renderer, llm)
            )
    print("\n".join(["", *machine_lines(threads=args.threads)]))
    print(f"\nThe largest difference of all is {worst:.1e}; allowed are {ALLOWED:.0e}.")
    return int(worst > ALLOWED)


def words() -> str:
    return " ".join(sys.argv[1:])


def _tasks(data: str) -> dict[str, Task]:
    return {
        "mmlu": MMLU(data_path=data, subjects=["astronomy"]),
        "ceval": CEval(data_path=data, subjects=["accountant"]),
        "cmmlu": CMMLU(data_path=data, subjects=["agronomy"]),
        "arc_easy": ARCEasy(data_path=data, shots=2),
        "hellaswag": HellaSwag(data_path=data, shots=2),
        "piqa": PIQA(data_path=data),
        "winogrande": WinoGrande(data_path=data, shots=2),
        "boolq": BoolQ(data_path=data),
        "race": RACE(data_path=data),
        "truthfulqa": TruthfulQA(data_path=data),
        "perplexity": Perplexity(data_path=f"{data}/perplexity/texts.jsonl"),
    }


def _theirs(job: dict[str, Any], work: Path) -> dict[str, Any]:
    (work / "job.json").write_text(json.dumps(job))
    command = [
        str(python_of("lm_eval")),
        str(THEIRS),
        str(work / "job.json"),
        str(work / "out.json"),
    ]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(done.stderr[-3000:])
    found: dict[str, Any] = json.loads((work / "out.json").read_text())
    return found


def _compare(
    form: Form, theirs: dict[str, Any], tasks: dict[str, Task], renderer: Renderer, llm: Any
) -> float:
    """Print a line a task, and return the largest difference of a log-probability."""
    print(f"## {form}\n")
    print("| task | items | options | largest difference | ours | lm_eval | items apart |")
    print("|---|---|---|---|---|---|---|")
    worst = 0.0
    for name, task in tasks.items():
        if form not in task.forms:
            continue
        ours = _ours(task, renderer, llm, form)
        for metric, other in _metrics_of(name):
            rows = theirs["items"][other]
            assert len(rows) == len(ours), f"{other}: {len(rows)} items there, {len(ours)} here"
            apart, wrong, count = 0.0, 0, 0
            for item, row in zip(ours, rows, strict=True):
                mine = item["log_probs"][: len(row["log_probs"])]
                if other == "truthfulqa_mc2":
                    mine = [item["by_text"][text] for text in item["answers"]]
                assert len(mine) == len(row["log_probs"]), f"{other}: {len(mine)} options here"
                apart = max(
                    apart, *(abs(a - b) for a, b in zip(mine, row["log_probs"], strict=True))
                )
                count += len(mine)
                key = "acc_norm" if metric == "acc_norm" else "acc"
                wrong += key in row and abs(item["metrics"][metric] - row[key]) > ALLOWED
            if name == "perplexity":
                mean = task.overall([], [item["score"] for item in ours])[metric]
                apart = max(apart, abs(mean / theirs["means"][other][metric] - 1))
            else:
                mean = sum(item["metrics"][metric] for item in ours) / len(ours)
            key = metric if name == "perplexity" else "acc_norm" if metric == "acc_norm" else "acc"
            print(
                f"| {other} {metric} | {len(ours)} | {count} | {apart:.1e} | {mean:.4g} | "
                f"{theirs['means'][other][key]:.4g} | {wrong} |",
                flush=True,
            )
            worst = max(worst, apart, float(wrong))
    print()
    return worst


def _metrics_of(name: str) -> list[tuple[str, str]]:
    """Our metrics of a task, each with lm_eval's task that has it."""
    match name:
        case "truthfulqa":
            return [("mc1", "truthfulqa_mc1"), ("mc2", "truthfulqa_mc2")]
        case "perplexity":
            return [("bits_per_byte", name), ("word_perplexity", name)]
        case "arc_easy" | "hellaswag" | "piqa":
            return [("acc", name), ("acc_norm", name)]
    return [("acc", name)]


def _ours(task: Task, renderer: Renderer, llm: Any, form: Form) -> list[dict[str, Any]]:
    items = task.items()
    asks = [task.ask(item, form) for item in items]
    groups = [
        renderer.choices(ask) if isinstance(ask, Choices) else renderer.rolling(ask.text)
        for ask in asks
    ]
    flat = score_likelihoods(llm, [request for group in groups for request in group])
    rows = []
    for item, ask, group in zip(items, asks, groups, strict=True):
        found, flat = flat[: len(group)], flat[len(group) :]
        total, tokens = sum(one.log_prob for one in found), sum(one.tokens for one in found)
        if isinstance(ask, Choices):
            score = task.score(item, Likelihoods(tuple(found)))
            by_text = {
                c.continuation: f.log_prob for c, f in zip(ask.candidates, found, strict=True)
            }
            logs = [one.log_prob for one in found]
        else:
            score, by_text = task.score(item, RollingLikelihood(total, tokens)), {}
            logs = [total]
        rows.append(
            {
                "log_probs": logs,
                "by_text": by_text,
                "answers": item.fields.get("answers", ()),
                "metrics": score.metrics,
                "score": score,
            }
        )
    return rows


if __name__ == "__main__":
    raise SystemExit(main())
