"""Sample many answers to each prompt, and keep the best as data to train on (rejection sampling).

PROMPTS is what a data set's data_path names; rows with an answer are cut before it. OUT is a .jsonl
of dialogues, each with its reward, seed and model; interrupted, the same command goes on.

  xtune sample smollm2 gsm8k.jsonl best.jsonl --map-fn gsm8k --reward number --n 16
  xtune sample work_dirs/mine toolcall best.jsonl --map-fn openai --reward tool_call --floor 1
  xtune sample smollm2 prompts.jsonl best.jsonl --reward reward_model model=work_dirs/reward
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

__all__ = ["add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the verb's arguments."""
    parser.add_argument("model", metavar="MODEL", help="as for chat")
    parser.add_argument("prompts", metavar="PROMPTS", help="a file, source or hub id")
    parser.add_argument("out", metavar="OUT", help="a .jsonl to write")
    parser.add_argument(
        "--reward",
        metavar="NAME [KEY=VALUE]",
        nargs="+",
        action="append",
        required=True,
        help="what an answer is worth, with its options; several add up",
    )
    parser.add_argument("--n", type=int, default=16, metavar="N", help="answers to each (16)")
    parser.add_argument("--keep", type=int, default=1, metavar="K", help="of each, at most (1)")
    parser.add_argument(
        "--floor", type=float, metavar="R", help="keep none with a lower reward (default: any)"
    )
    parser.add_argument(
        "--map-fn", default="auto", metavar="NAME", help="the form of the rows (auto)"
    )
    parser.add_argument("--split", default="train", help="which part of the source (train)")
    parser.add_argument("--rows", type=int, metavar="N", help="read no more than so many")
    parser.add_argument("--adapter", metavar="DIR", help="an adapter, or the work_dir with it")
    parser.add_argument(
        "--prompt-template", metavar="NAME", help="a registered template instead of the model's own"
    )
    parser.add_argument(
        "--bits", type=int, choices=(4, 8), help="quantize the weights while loading"
    )
    parser.add_argument(
        "--dtype", default="auto", choices=("auto", "fp32", "bf16", "fp16"), help="default: auto"
    )
    sampling = parser.add_argument_group("sampling")
    sampling.add_argument(
        "--max-new-tokens", type=int, default=512, metavar="N", help="of an answer (512)"
    )
    sampling.add_argument("--temperature", type=float, default=1.0, metavar="T", help="above 0 (1)")
    sampling.add_argument("--seed", type=int, default=0, help="of all answers (0)")


def run(args: argparse.Namespace) -> int:
    """Sample, choose, write, and say what came of it."""
    from xtune.errors import UsageError
    from xtune.generation.locate import locate
    from xtune.generation.settings import GenerationSettings

    GenerationSettings(max_new_tokens=args.max_new_tokens, seed=args.seed)
    for name, value in (("n", args.n), ("keep", args.keep)):
        if value < 1:
            raise UsageError(f"--{name} is {value}; allowed: 1 or more")
    if args.keep > args.n:
        raise UsageError(f"--keep {args.keep} of --n {args.n} answers: keep at most as many")
    if not args.temperature > 0:
        raise UsageError(
            f"--temperature is {args.temperature}: all {args.n} answers would be the same; give a "
            "number above 0, mostly 0.7 to 1"
        )
    out = Path(args.out).expanduser()
    if out.exists():
        raise UsageError(f"{out} is there already; give another name, or delete it")
    if not out.parent.is_dir():
        raise UsageError(f"there is no folder {str(out.parent)!r} to write {out.name} into")
    rewards = [_reward(words) for words in args.reward]
    locate(args.model, args.adapter)

    from xtune.data.prompts import PromptDataset
    from xtune.engine.rollout.rewards import Rewards
    from xtune.generation.model import ChatModel
    from xtune.rewards.best_of import BestOf

    judges = Rewards(rewards, None, seconds=600)
    model = ChatModel.load(
        args.model,
        adapter=args.adapter,
        bits=args.bits,
        dtype=args.dtype,
        prompt_template=args.prompt_template,
    )
    data = PromptDataset(
        data_path=args.prompts,
        tokenizer=model.tokenizer,
        map_fn=args.map_fn,
        system=model.system,
        split=args.split,
        max_rows=args.rows,
        max_length=model.context or 2**20,
        max_new_tokens=args.max_new_tokens,
    )
    for line in data.report.lines():
        print(line, file=sys.stderr)
    sampler = BestOf(
        model,
        judges,
        count=args.n,
        keep=args.keep,
        floor=args.floor,
        temperature=args.temperature,
        max_new_tokens=args.max_new_tokens,
        seed=args.seed,
    )
    shows = sys.stderr.isatty()

    def progress(done: int, whole: int) -> None:
        if shows:
            print(f"\r{done} of {whole} prompts", end="", file=sys.stderr, flush=True)

    found = sampler.write(data.rows, out, on_progress=progress)
    if shows:
        print(file=sys.stderr)
    print(
        f"{found.prompts} prompts, {args.n} answers to each: mean reward {found.mean:.3f}, of the "
        f"best of each {found.best:.3f}; {found.kept} answers kept, none of {found.without} "
        f"prompts; {found.repeated} repeated, {found.cut} without an end: {out}"
    )
    print(f"train on them: data_path={out} map_fn=openai", file=sys.stderr)
    return 0


def _reward(words: list[str]) -> dict[str, Any]:
    """`number column=sum` as a sheet has it: dict(type='number', column='sum')."""
    from ast import literal_eval

    from xtune.errors import UsageError
    from xtune.registry import REWARDS, resolve

    name, *options = words
    resolve(REWARDS, name)
    cfg: dict[str, Any] = {"type": name}
    for option in options:
        key, equals, value = option.partition("=")
        if not equals or not key.isidentifier():
            raise UsageError(f"--reward {name} {option}: give options as KEY=VALUE")
        try:
            cfg[key] = literal_eval(value)
        except (ValueError, SyntaxError):
            cfg[key] = value  # a text without quotes
    return cfg
