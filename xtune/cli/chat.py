"""Talk to a model, with an adapter or without.

MODEL is a hub id, a folder, a .gguf file, the alias smollm2, or the work_dir of a run that
trained the whole model. The chat template is the adapter's own, so the one it was trained with.

  xtune chat smollm2 --adapter work_dirs/smollm2_135m_lora_toolcall
  xtune chat smollm2 --prompt 'Who are you?' > answer.txt
  xtune chat smollm2 < questions.txt > answers.txt

In a dialogue: Enter sends; Alt-Enter, or a backslash at the end of a line, begins a new line;
/help lists the commands; Ctrl-C stops an answer; Ctrl-D leaves.
"""

from __future__ import annotations

import argparse
import io
import sys

__all__ = ["add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the verb's arguments."""
    parser.add_argument("model", metavar="MODEL", help="what to talk to")
    parser.add_argument(
        "--adapter", metavar="DIR", help="an adapter's folder, or the work_dir that holds it"
    )
    system = parser.add_mutually_exclusive_group()
    system.add_argument(
        "--system", metavar="TEXT", help="system prompt (default: the one trained with, if any)"
    )
    system.add_argument(
        "--system-template", metavar="NAME", help="a system prompt by name: sql, coder, ..."
    )
    parser.add_argument(
        "--prompt-template",
        metavar="NAME",
        help="a registered template instead of the tokenizer's own (chatml, llama3_chat, ...)",
    )
    parser.add_argument(
        "--bits", type=int, choices=(4, 8), help="quantize the weights while loading"
    )
    parser.add_argument(
        "--dtype", default="auto", choices=("auto", "fp32", "bf16", "fp16"), help="default: auto"
    )
    parser.add_argument(
        "--prompt", metavar="TEXT", help="answer this one message on standard output, and end"
    )
    sampling = parser.add_argument_group("sampling")
    sampling.add_argument(
        "--max-new-tokens", type=int, default=1024, metavar="N", help="of an answer (1024)"
    )
    sampling.add_argument(
        "--temperature", type=float, default=0.1, metavar="T", help="0: the likeliest (0.1)"
    )
    sampling.add_argument("--top-p", type=float, default=0.75, metavar="P", help="1: off (0.75)")
    sampling.add_argument("--top-k", type=int, default=40, metavar="K", help="0: off (40)")
    sampling.add_argument(
        "--repetition-penalty", type=float, default=1.0, metavar="R", help="1: off (1.0)"
    )
    sampling.add_argument("--seed", type=int, help="the same seed gives the same answers")


def run(args: argparse.Namespace) -> int:
    """Answer the prompt, the lines of a pipe, or a person; return 1 if a line had no answer."""
    from xtune.chat.settings import GenerationSettings
    from xtune.errors import UsageError

    settings = GenerationSettings(  # checked before anything heavy is loaded
        max_new_tokens=args.max_new_tokens,
        temperature=args.temperature,
        top_p=args.top_p,
        top_k=args.top_k,
        repetition_penalty=args.repetition_penalty,
        seed=args.seed,
    )
    if args.system_template is not None:
        args.system = _system_text(args.system_template)
    if args.prompt is not None and not args.prompt.strip():
        raise UsageError("--prompt is empty; give it a message, or leave it out for a dialogue")

    from xtune.chat.model import ChatModel
    from xtune.chat.reader import read_pipe, read_terminal
    from xtune.chat.repl import Repl
    from xtune.chat.session import ChatSession

    model = ChatModel.load(
        args.model,
        adapter=args.adapter,
        bits=args.bits,
        dtype=args.dtype,
        prompt_template=args.prompt_template,
    )
    for stream in (sys.stdin, sys.stdout):  # a wrong byte must not end a dialogue
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
    repl = Repl(answers=sys.stdout, notices=sys.stderr)
    system = model.system if args.system is None else args.system
    session = ChatSession(model, settings=settings, system=system, notice=repl.notice)
    if model.system and args.system is None:
        repl.notice(f"system prompt, as in training: {model.system}")
    if args.prompt is not None:
        if repl.answer(args.prompt, session).ended_by == "interrupt":
            raise KeyboardInterrupt
        return 0
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        return 1 if repl.run(read_pipe(sys.stdin), session) else 0
    repl.notice(f"{model.name}\n/help lists the commands; Ctrl-C stops an answer, Ctrl-D leaves")
    repl.run(read_terminal(repl.notice), session)
    return 0


def _system_text(name: str) -> str:
    from xtune.data.templates.system_texts import SYSTEM_TEXTS
    from xtune.errors import UsageError, did_you_mean

    if name not in SYSTEM_TEXTS:
        raise UsageError(
            f"there is no system text {name!r}{did_you_mean(name, SYSTEM_TEXTS) or ';'} there are: "
            f"{', '.join(SYSTEM_TEXTS)}. Your own: --system TEXT"
        )
    return SYSTEM_TEXTS[name]
