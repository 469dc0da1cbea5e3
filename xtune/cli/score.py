"""Score answers with a reward or cost model: accuracy, calibration, whether length is what counts.

DATA are pairs of answers, rankings, or dialogues, whose last answer is scored: a file, a folder, a
hub id. MODEL is a run's folder, a checkpoint, or any …ForSequenceClassification with one label.
With --reference it is a policy that DPO has trained, and what that has taught it is the score.

  xtune score work_dirs/my_reward held_out.jsonl
  xtune score Qwen/Qwen2.5-0.5B held_out.jsonl --adapter work_dirs/my_reward
  xtune score work_dirs/my_reward demonstrations.jsonl --centre
  xtune score work_dirs/my_dpo held_out.jsonl --reference

The table is written to standard output; DIR gets results.json, scores.jsonl (every answer's score),
scores.png and report.html.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from xtune.data.scored_rows import AnsweredRow
    from xtune.eval.rewards.scored import ScoredAnswer
    from xtune.generation.scorer import Scorer

__all__ = ["add_arguments", "run"]

_SHOWN = 2000  # characters of a prompt or an answer that the files keep
_WITHOUT_ADAPTER = ""  # --reference alone


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the verb's arguments."""
    parser.add_argument("model", metavar="MODEL", help="a reward model, or the folder of its run")
    parser.add_argument("data", metavar="DATA", help="a file, a folder, a hub id")
    parser.add_argument("--adapter", metavar="DIR", help="score with this adapter on MODEL")
    parser.add_argument(
        "--map-fn", metavar="NAME", default="auto", help="the form of the rows (auto)"
    )
    parser.add_argument("--split", default="train", help="of data that have splits (train)")
    parser.add_argument(
        "--prompt-template", metavar="NAME", default="auto", help="default: the model's own"
    )
    parser.add_argument("--rows", metavar="N", type=int, help="score no more than N rows")
    parser.add_argument("--bits", type=int, choices=(4, 8), help="quantize while loading")
    parser.add_argument(
        "--dtype", choices=("auto", "fp32", "bf16", "fp16"), default="auto", help="of the weights"
    )
    parser.add_argument(
        "--reference",
        metavar="MODEL",
        nargs="?",
        const=_WITHOUT_ADAPTER,
        help="score by what DPO taught MODEL, held against this one; alone: what its training "
        "began with",
    )
    parser.add_argument("--beta", type=float, help="of that training, with --reference (0.1)")
    parser.add_argument(
        "--centre",
        action="store_true",
        help="DATA are demonstrations: let the mean score of their best answers be 0 from now on",
    )
    parser.add_argument(
        "--out", metavar="DIR", type=Path, help="default: work_dirs/score/MODEL-DATA"
    )


def run(args: argparse.Namespace) -> None:
    """Score, write the files and print the table and where the files are."""
    from xtune.errors import UsageError

    if args.rows is not None and args.rows < 1:
        raise UsageError(f"--rows {args.rows}: give 1 or more")
    if args.beta is not None and (args.reference is None or not args.beta > 0):
        raise UsageError(f"--beta {args.beta} is DPO's, above 0, and goes with --reference")
    if args.centre and args.reference is not None:
        raise UsageError("--centre is of a reward model, and --reference of a policy: give one")

    from xtune.data.scored_rows import AnsweredRows
    from xtune.eval.rewards.report import write_scores

    scorer = _scorer(args)
    shift_at = _shift_at(args, scorer) if args.centre else None
    rows = AnsweredRows(
        args.data,
        tokenizer=scorer.tokenizer,
        map_fn=args.map_fn,
        template=args.prompt_template,
        system=scorer.system,
        split=args.split,
        max_rows=args.rows,
    )
    answers = _scored(scorer, rows, stop_words=rows.report.stop_words)
    about = {
        "model": scorer.name,
        "data": args.data,
        **scorer.about,
        "map_fn": rows.recognised or args.map_fn,
        "template": rows.report.template,
        "dropped": dict(rows.report.dropped),
    }
    out = args.out or Path("work_dirs/score") / f"{_short(args.model)}-{_short(args.data)}"
    values, paths = write_scores(out, answers, about)
    _print(values)
    if shift_at is not None:
        _centre(shift_at, scorer, answers)
    for path in paths:
        _note(str(path))


def _scorer(args: argparse.Namespace) -> Scorer:
    from xtune.generation.implicit_reward import ImplicitReward
    from xtune.generation.reward_scorer import RewardScorer

    if args.reference is None:
        return RewardScorer.load(args.model, adapter=args.adapter, bits=args.bits, dtype=args.dtype)
    return ImplicitReward.load(
        args.model,
        adapter=args.adapter,
        reference=None if args.reference == _WITHOUT_ADAPTER else args.reference,
        beta=0.1 if args.beta is None else args.beta,
        bits=args.bits,
        dtype=args.dtype,
    )


def _scored(scorer: Scorer, rows: Any, *, stop_words: Any) -> list[ScoredAnswer]:
    """Score all rows' answers; those that are longer than the model's context are left out."""
    from xtune.cli.judge import every_tenth
    from xtune.errors import DataError
    from xtune.eval.rewards.scored import ScoredAnswer

    whole: list[AnsweredRow] = []
    too_long = 0
    for row in rows:
        fits = scorer.context is None or max(map(len, row.samples)) <= scorer.context
        too_long += not fits
        if fits:
            whole.append(row)
    if too_long:
        _note(f"{too_long} rows are longer than the {scorer.context} tokens of the model's context")
    for reason, count in rows.report.dropped.most_common():
        _note(f"{count} rows left out: {reason}")
    if not whole:
        raise DataError("no row is left whose answers could be scored")
    samples = [one for row in whole for one in row.samples]
    found = iter(scorer.score(samples, on_progress=every_tenth("scored")))
    tokenizer: Any = scorer.tokenizer
    ends = {tokenizer.eos_token_id, *tokenizer.convert_tokens_to_ids(list(stop_words))}
    answers = []
    for number, row in enumerate(whole):
        for sample, rank in zip(row.samples, row.ranks, strict=True):
            ids = sample.input_ids[sample.labels != -100]
            answers.append(
                ScoredAnswer(
                    item=number,
                    where=row.where,
                    source=row.source,
                    rank=rank,
                    score=next(found),
                    tokens=len(ids),
                    ended=int(sample.input_ids[-1]) in ends,
                    safe=int(sample.per_document.get("safe", 0)),
                    prompt=row.prompt[:_SHOWN],
                    answer=tokenizer.decode(ids, skip_special_tokens=True)[:_SHOWN],
                )
            )
    return answers


def _shift_at(args: argparse.Namespace, scorer: Any) -> Path:
    """Where the shift is noted; that it cannot be is said before anything is scored."""
    from xtune.errors import UsageError
    from xtune.generation.reward_scorer import shift_file

    if scorer.is_cost:
        raise UsageError(
            f"{args.model!r} is a cost model, whose 0 lies between safe and unsafe: leave --centre "
            "out"
        )
    return shift_file(args.model, args.adapter)


def _centre(file: Path, scorer: Any, answers: list[ScoredAnswer]) -> None:
    """Note the mean score of demonstrations next to the model, which later scores leave out."""
    from xtune.generation.reward_scorer import note_shift

    best = [answer.score for answer in answers if answer.rank == 0]
    note_shift(file, scorer.shift + sum(best) / len(best))
    _note(f"the mean score of these {len(best):,} answers is 0 from now on, by {file}")


def _print(values: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table

    from xtune.eval.pages.words import percent
    from xtune.eval.rewards.page import in_words, warnings_of

    scores = values["scores"]
    console = Console(markup=False)  # names are data
    if "pairs" in values:
        right = Table(title=f"{values['model']} on {values['data']}", title_justify="left")
        _columns(right, "", "prompts", "pairs", "right", "± error", "margin")
        sources = [(one["source"] or "–", one) for one in values["by_source"]]
        for name, one in [("all", values["accuracy"]), *sources]:
            counts = [f"{one['prompts']:,}", f"{one['pairs']:,}"]
            cells = [percent(one["right"]), percent(one["error"]), f"{one['margin']:.3g}"]
            right.add_row(name, *counts, *cells, style="bold" if name == "all" else "")
        sure = Table()
        _columns(sure, "|margin|", "pairs", "as sure as", "right")
        for one in (each for each in values["by_margin"] if each["pairs"]):
            cells = [f"{one['pairs']:,}", percent(one["sure"]), percent(one["right"])]
            sure.add_row(in_words(one), *cells)
        console.print(right)
        console.print(sure)
        print(f"calibration error {percent(values['calibration_error'])}, ties {values['ties']}")
    if "verdicts" in values:
        verdict = values["verdicts"]
        print(f"safe or unsafe: {percent(verdict['right'])} of {verdict['answers']:,} right")
    by_length = values["length_correlation"]
    print(
        f"scores of {values['answers']:,} answers: mean {scores['mean']:.4g}, spread "
        f"{scores['std']:.4g}, from {scores['min']:.4g} to {scores['max']:.4g}; correlation with "
        f"length {'–' if by_length is None else f'{by_length:.2f}'}"
    )
    for line in warnings_of(values):
        print(f"note: {line}")


def _columns(table: Any, first: str, *numbers: str) -> None:
    table.add_column(first, overflow="fold")
    for column in numbers:
        table.add_column(column, justify="right", no_wrap=True)


def _short(name: str) -> str:
    return Path(name).stem.replace("/", "_") or "model"


def _note(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
