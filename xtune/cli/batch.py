"""Answer a file of prompts; interrupted, the same command goes on where it was.

Each line of a .jsonl has `messages` or `prompt`; of any other file each line is a prompt. Each line
of OUT is the row with its `answer`, in the same order.

  xtune batch smollm2 prompts.jsonl answers.jsonl
  xtune batch smollm2 questions.txt answers.jsonl --adapter work_dirs/mine --max-new-tokens 200
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

__all__ = ["add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the verb's arguments."""
    parser.add_argument("model", metavar="MODEL", help="as for chat")
    parser.add_argument("prompts", metavar="PROMPTS", help="a .jsonl, or a prompt a line")
    parser.add_argument("out", metavar="OUT", help="a .jsonl to write")
    parser.add_argument(
        "--adapter", metavar="DIR", help="an adapter's folder, or the work_dir that holds it"
    )
    parser.add_argument(
        "--prompt-template", metavar="NAME", help="a registered template instead of the model's own"
    )
    parser.add_argument(
        "--bits", type=int, choices=(4, 8), help="quantize the weights while loading"
    )
    parser.add_argument(
        "--dtype", default="auto", choices=("auto", "fp32", "bf16", "fp16"), help="default: auto"
    )
    parser.add_argument(
        "--batch-size", type=int, default=32, metavar="N", help="answers written at once (32)"
    )
    sampling = parser.add_argument_group("sampling")
    sampling.add_argument(
        "--max-new-tokens", type=int, default=512, metavar="N", help="of an answer (512)"
    )
    sampling.add_argument(
        "--temperature", type=float, default=0.0, metavar="T", help="0: the likeliest (0)"
    )
    sampling.add_argument("--top-p", type=float, default=1.0, metavar="P", help="1: off (1)")
    sampling.add_argument("--top-k", type=int, default=0, metavar="K", help="0: off (0)")
    sampling.add_argument(
        "--repetition-penalty", type=float, default=1.0, metavar="R", help="1: off (1)"
    )
    sampling.add_argument(
        "--seed",
        type=int,
        default=0,
        help="of the first prompt; the next have one more (0)",
    )


def run(args: argparse.Namespace) -> int:
    """Answer what has no answer yet."""
    from xtune.errors import UsageError
    from xtune.generation.locate import locate
    from xtune.generation.settings import GenerationSettings

    names = ("max_new_tokens", "temperature", "top_p", "top_k", "repetition_penalty")
    settings = {name: getattr(args, name) for name in names}
    GenerationSettings(**settings, seed=args.seed)  # checked before anything heavy is loaded
    if args.batch_size < 1:
        raise UsageError(f"--batch-size is {args.batch_size}; allowed: 1 or more")
    out = Path(args.out).expanduser()
    if out.exists():
        raise UsageError(f"{out} is there already; give another name, or delete it")
    if not out.parent.is_dir():
        raise UsageError(f"there is no folder {str(out.parent)!r} to write {out.name} into")
    locate(args.model, args.adapter)

    from xtune.generation.batch_file import answer_file, read_prompts
    from xtune.generation.pipeline import pipeline

    rows = read_prompts(Path(args.prompts).expanduser())
    answer = pipeline(
        args.model,
        adapter=args.adapter,
        bits=args.bits,
        dtype=args.dtype,
        prompt_template=args.prompt_template,
    )
    shows = sys.stderr.isatty()

    def progress(done: int, all_: int) -> None:
        if shows:
            print(f"\r{done} of {all_} answered", end="", file=sys.stderr, flush=True)

    before = answer_file(
        answer,
        rows,
        out,
        seed=args.seed,
        batch_size=args.batch_size,
        settings=settings,
        on_progress=progress,
    )
    already = f", {before} of them before" if before else ""
    if shows:
        print(file=sys.stderr)
    print(f"{len(rows)} answers{already}: {out}", file=sys.stderr)
    return 0
