"""Our tasks of multiple choice next to lm_eval's own, on the same rows: equal item by item.

    python -m benchmarks.eval_parity --model smollm2
    python -m benchmarks.eval_parity --model smollm2 --form chat        one form, in half the time

lm_eval reads rows as the hub has them and runs its own tasks, in an environment of its own; ours
reads the same rows as they are published. Each log-probability of each option of each item stands
next to the other's, in fp32, in the completion and the chat form. Exit code 1 where one differs by
more than 1e-4 (or 1e-5 a token, where more than ten are scored), unless ours is within 1e-4 of
float64, with which everything is compared that differs by more than 1e-4.
"""

from __future__ import annotations

import argparse
import copy
import json
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from math import isclose
from pathlib import Path
from typing import Any

import torch

from benchmarks.harness.environments import python_of
from benchmarks.harness.eval_rows import write_hub_rows, write_published
from benchmarks.harness.machine import machine_lines
from xtune.eval.prompts import Renderer
from xtune.eval.requests import LikelihoodRequest
from xtune.eval.scoring import score_likelihoods
from xtune.eval.tasks.arc import ARCEasy
from xtune.eval.tasks.base import Choices, Form, Likelihoods, RollingLikelihood, Score, Task
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

ALLOWED = 1e-4  # of an option's sum of log-probabilities
ALLOWED_A_TOKEN = 1e-5  # where more than ten tokens are scored: fp32 rounds each
THEIRS = Path(__file__).parent / "contenders/lm_eval_rows.py"


@dataclass
class _Scored:
    """An option, or a text in windows, with its sum of log-probabilities."""

    requests: list[LikelihoodRequest]
    log_prob: float
    tokens: int

    @property
    def allowed(self) -> float:
        return max(ALLOWED, ALLOWED_A_TOKEN * self.tokens)


@dataclass
class _Answered:
    """An item: its options in their order, and what the answer is worth."""

    scored: list[_Scored]
    by_text: dict[str, _Scored]
    answers: Sequence[str]
    score: Score

    @property
    def metrics(self) -> Mapping[str, float]:
        return self.score.metrics


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--model", default="smollm2", help="a model's name or folder")
    parser.add_argument("--form", choices=("completion", "chat"), help="default: both")
    parser.add_argument("--max-length", type=int, default=2048, help="tokens the models take")
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
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
        failed = 0
        print(f"# Options next to lm_eval's\n\n`python -m benchmarks.eval_parity {words()}`\n")
        forms: tuple[Form, ...] = ("completion", "chat") if args.form is None else (args.form,)
        if not tokenizer.chat_template:
            forms = ("completion",)
        for form in forms:
            theirs = _theirs(job | {"form": form}, work)
            renderer = Renderer(tokenizer, form=form, max_length=args.max_length)
            failed += _compare(form, theirs, _tasks(str(work / "published")), renderer, llm)
    print("\n".join(["", *machine_lines(threads=args.threads)]))
    print(
        f"\n{failed} numbers are apart: a metric of an item; or an option by more than "
        f"{ALLOWED:.0e} ({ALLOWED_A_TOKEN:.0e} a token beyond ten) that is not within "
        f"{ALLOWED:.0e} of float64 either."
    )
    return int(failed > 0)


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
) -> int:
    """Print a line a task, and return how many numbers are further apart than is allowed."""
    print(f"## {form}\n")
    print(
        "| task | items | options | largest difference | ours from float64 | theirs from float64 "
        "| our mean | their mean | apart |\n|---|---|---|---|---|---|---|---|---|"
    )
    failed = 0
    for name, task in tasks.items():
        if form not in task.forms:
            continue
        ours = _ours(task, renderer, llm, form)
        for metric, other in _metrics_of(name):
            rows = theirs["items"][other]
            assert len(rows) == len(ours), f"{other}: {len(rows)} items there, {len(ours)} here"
            theirs_of = "acc_norm" if metric == "acc_norm" else "acc"
            pairs: list[tuple[_Scored, float]] = []
            apart = 0
            for item, row in zip(ours, rows, strict=True):
                mine = item.scored[: len(row["log_probs"])]
                if other == "truthfulqa_mc2":
                    mine = [item.by_text[text] for text in item.answers]
                assert len(mine) == len(row["log_probs"]), f"{other}: {len(mine)} options here"
                pairs += zip(mine, row["log_probs"], strict=True)
                same = theirs_of not in row or isclose(
                    item.metrics[metric], row[theirs_of], abs_tol=ALLOWED
                )
                apart += not same
            far = [abs(one.log_prob - there) for one, there in pairs]
            exact = ("", "")
            if max(far) > ALLOWED:
                truths = [_in_float64(one.requests, llm) for one, _ in pairs]
                off = [
                    abs(one.log_prob - true) for (one, _), true in zip(pairs, truths, strict=True)
                ]
                other_off = [
                    abs(there - true) for (_, there), true in zip(pairs, truths, strict=True)
                ]
                exact = (f"{max(off):.1e}", f"{max(other_off):.1e}")
                apart += sum(
                    distance > one.allowed and ours_off > ALLOWED
                    for distance, ours_off, (one, _) in zip(far, off, pairs, strict=True)
                )
            if name == "perplexity":
                mean = task.overall([], [item.score for item in ours])[metric]
                there = theirs["means"][other][metric]
            else:
                mean = sum(item.metrics[metric] for item in ours) / len(ours)
                there = theirs["means"][other][theirs_of]
            print(
                f"| {other} {metric} | {len(ours)} | {len(pairs)} | {max(far):.1e} | {exact[0]} | "
                f"{exact[1]} | {mean:.5g} | {there:.5g} | {apart} |",
                flush=True,
            )
            failed += apart
    print()
    return failed


def _in_float64(requests: Sequence[LikelihoodRequest], llm: Any) -> float:
    """The sum by transformers' own model in float64, one text at a time."""
    exact = _doubled(llm)
    total = 0.0
    for request in requests:
        with torch.no_grad():
            ids = torch.tensor([request.context + request.continuation])
            logs = exact(ids, use_cache=False).logits[0].log_softmax(-1)
        start = len(request.context)
        total += sum(float(logs[start + n - 1, i]) for n, i in enumerate(request.continuation))
    return total


@cache
def _doubled(llm: Any) -> Any:
    exact = copy.deepcopy(llm).double()
    exact.set_attn_implementation("eager")
    return exact


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


def _ours(task: Task, renderer: Renderer, llm: Any, form: Form) -> list[_Answered]:
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
        if isinstance(ask, Choices):
            scored = [
                _Scored([request], one.log_prob, one.tokens)
                for request, one in zip(group, found, strict=True)
            ]
            score = task.score(item, Likelihoods(tuple(found)))
            texts = [candidate.continuation for candidate in ask.candidates]
        else:
            total, tokens = sum(one.log_prob for one in found), sum(one.tokens for one in found)
            scored, texts = [_Scored(group, total, tokens)], [""]
            score = task.score(item, RollingLikelihood(total, tokens))
        by_text = dict(zip(texts, scored, strict=True))
        rows.append(_Answered(scored, by_text, item.fields.get("answers", ()), score))
    return rows


if __name__ == "__main__":
    raise SystemExit(main())
