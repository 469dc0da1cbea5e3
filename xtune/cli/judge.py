"""Let a model judge answers: of two files or more one against another, of one file each alone.

A file has rows of a question and its answer (json, jsonl, ...): {question, answer}, AlpacaEval's
{instruction, output}, the rows of an evaluation, or FastChat's choices with --questions. The
judge is the URL of an OpenAI-compatible server (its key: $OPENAI_API_KEY), or a model that
`xtune chat` talks to. Each pair is asked in both orders.

  xtune judge base.jsonl tuned.jsonl --judge https://host/v1 --served-model big
  xtune judge tuned.jsonl --judge Qwen/Qwen3-8B
  xtune judge a.jsonl b.jsonl c.jsonl --judge http://127.0.0.1:8000/v1 --baseline a

The table is written to standard output; DIR gets results.json, report.html and verdicts.jsonl.
Run again, it asks only what verdicts.jsonl does not hold.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from xtune.eval.judge.results import Tally

__all__ = ["add_arguments", "every_tenth", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the verb's arguments."""
    parser.add_argument("answers", metavar="ANSWERS", nargs="+", help="files, one a model")
    parser.add_argument("--judge", metavar="URL|MODEL", required=True, help="who judges")
    parser.add_argument(
        "--served-model", metavar="NAME", default="", help="where --judge is a URL: its name there"
    )
    parser.add_argument(
        "--ask",
        choices=("scores", "winner", "rating"),
        help="two scores, which of two is better, or a score for each answer alone (default: "
        "scores; of one file: rating)",
    )
    parser.add_argument(
        "--prompts", metavar="FILE", help="your own: llm3s', FastChat's or ColossalEval's fields"
    )
    parser.add_argument(
        "--questions", metavar="FILE", help="questions by id, for answers without (FastChat)"
    )
    parser.add_argument("--references", metavar="FILE", help="right answers by id")
    parser.add_argument(
        "--baseline", metavar="NAME", help="give the others' scores in per cent of this model's"
    )
    parser.add_argument("--rows", metavar="N", type=int, help="N questions of each pair, not all")
    parser.add_argument(
        "--max-judge-calls", metavar="N", type=int, help="refuse to begin, or stop, beyond N calls"
    )
    parser.add_argument(
        "--concurrency",
        metavar="N",
        type=int,
        default=8,
        help="requests at once; of a local judge, rows of a batch (8)",
    )
    parser.add_argument(
        "--max-new-tokens", metavar="N", type=int, default=1024, help="of a verdict (1024)"
    )
    parser.add_argument(
        "--out", metavar="DIR", type=Path, help="default: work_dirs/judge/A-B, by the files' names"
    )


def run(args: argparse.Namespace) -> int:
    """Judge, write the files and print the table; 1 if models are left without ratings."""
    from xtune.errors import UsageError

    for name in ("rows", "max_judge_calls", "concurrency", "max_new_tokens"):
        given = getattr(args, name)
        if given is not None and given < 1:
            raise UsageError(f"--{name.replace('_', '-')} {given}: give 1 or more")

    from xtune.errors import ModelError
    from xtune.eval.judge.answers import read_answers
    from xtune.eval.judge.ask import ask_missing, cost_of
    from xtune.eval.judge.open_judge import open_judge
    from xtune.eval.judge.prompts import load_prompts
    from xtune.eval.judge.requests import plan_requests
    from xtune.eval.judge.results import judged, require_baseline
    from xtune.eval.judge.table import markdown
    from xtune.eval.judge.verdict_store import VerdictStore

    sets = read_answers(args.answers, questions=args.questions, references=args.references)
    require_baseline(args.baseline, sets)
    prompts = load_prompts(args.prompts, args.ask, len(sets))
    plan = plan_requests(sets, prompts, rows=args.rows)
    names = "-".join(each.name.replace("/", "_") for each in sets)
    out = args.out or Path("work_dirs/judge") / names
    store = VerdictStore(out / "verdicts.jsonl")
    judge = open_judge(
        args.judge,
        served_model=args.served_model,
        max_new_tokens=args.max_new_tokens,
        concurrency=args.concurrency,
    )
    for each in sets:
        if each.unread:
            fields = ", ".join(f"{name} ({count})" for name, count in each.unread.items())
            _note(f"{each.path}: fields that nobody reads: {fields}")
    cost = cost_of(plan.requests, judge, store)
    limit = "" if args.max_judge_calls is None else f"; at most {args.max_judge_calls} are allowed"
    _note(
        f"{judge.name}: {cost.calls} calls with {cost.characters:,} characters of prompts, up to "
        f"{cost.most} calls if answers are out of form; {cost.known} of {cost.requests} verdicts "
        f"are known{limit}"
    )
    try:
        refused = ask_missing(
            plan.requests,
            judge,
            store,
            max_calls=args.max_judge_calls,
            on_progress=every_tenth("judged"),
        )
    except ModelError as error:
        told = "" if str(store.path) in str(error) else f"\nKept so far: {store.path}"
        raise ModelError(f"{error}{told}") from error
    tally = judged(plan, sets, judge, store, baseline=args.baseline)
    if not any(row.verdict for row in tally.rows):
        raise ModelError(
            f"{judge.name} gave no verdict in form; all its answers are in {store.path}. Take "
            "another judge, or other prompts: --prompts FILE"
        )
    if refused:
        tally.warnings.append(f"{refused} requests were refused; see {store.path}")
    _write(tally, out, args)
    print(markdown(tally.values))
    for name in ("results.json", "report.html", "verdicts.jsonl"):
        _note(str(out / name))
    return 1 if len(sets) > 1 and tally.values["ratings"] is None else 0


def _write(tally: Tally, out: Path, args: argparse.Namespace) -> None:
    import json
    from datetime import datetime

    from xtune import __version__
    from xtune.eval.judge.page import render_page

    date = f"{datetime.now():%Y-%m-%d %H:%M}"
    settings = ("rows", "max_judge_calls", "max_new_tokens", "prompts", "questions", "references")
    values = {
        "format_version": 1,
        "date": date,
        "xtune": __version__,
        "settings": {name: getattr(args, name) for name in settings},
        **tally.values,
        "matches": [
            {
                "question": match.question,
                "category": match.category,
                "models": list(match.models),
                "outcome": match.outcome,
                "scores": list(match.scores),
                "flipped": match.flipped,
            }
            for match in tally.matches
        ],
    }
    text = json.dumps(values, indent=1, ensure_ascii=False) + "\n"
    title = " against ".join(each["model"] for each in tally.values["answers"])
    for name, whole in (
        ("results.json", text),
        ("report.html", render_page(tally, title, date)),
    ):
        (out / name).write_text(whole, encoding="utf-8", errors="backslashreplace")


def every_tenth(what: str) -> Callable[[int, int], None]:
    """Return what says on standard error how far it is, at each tenth of the way.

    Args:
        what: has been done: 'judged'.
    """
    said = -1

    def on_progress(done: int, total: int) -> None:
        nonlocal said
        if 10 * done // total > said:
            said = 10 * done // total
            _note(f"{done:,} of {total:,} {what}")

    return on_progress


def _note(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
