"""Chat: the first token, and tokens a second, of xtune against transformers' plain `generate`.

    python benchmarks/chat_speed.py --tokens 128 --compiled

SmolLM2-135M as `xtune chat` loads it, greedy, one dialogue; contenders take turns, and whether all
write the same text is said. `--compiled` adds decoding through torch.compile with a static cache,
with what compiling costs. A section of Markdown goes to standard output.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median

from harness.machine import machine_lines

HERE = Path(__file__).resolve().parent
QUESTION = [{"role": "user", "content": "Tell me the story of a lighthouse keeper, at length."}]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--tokens", type=int, default=128)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--dtypes", nargs="+", default=["auto"], help="of the weights")
    parser.add_argument("--compiled", action="store_true", help="compiled decoding too: minutes")
    args = parser.parse_args()

    import torch

    from xtune.generation.model import ChatModel
    from xtune.models import load_model

    torch.set_num_threads(args.threads)
    machine = machine_lines(threads=args.threads)
    rows = []
    for dtype in args.dtypes:
        chat = ChatModel.load("smollm2", dtype=dtype)
        kind = str(chat.llm.dtype).removeprefix("torch.")
        # as transformers loads it: xtune's own model has its weights packed
        plain = replace(chat, llm=load_model("smollm2", dtype=dtype).eval())
        contenders: dict[str, Callable[[], Timed]] = {
            "xtune": lambda chat=chat: _ours(chat, args.tokens),
            "plain generate": lambda chat=plain: _plain(chat, args.tokens),
            "generate, static cache": lambda chat=plain: _plain(
                chat, args.tokens, cache_implementation="static"
            ),
        }
        if args.compiled:
            contenders["generate, static cache, compiled"] = lambda chat=plain: _compiled(
                chat, args.tokens
            )
        rows += _compared(contenders, kind, args.repeats)
    print(
        "\n".join(
            [
                "## Chat",
                "",
                f"`python benchmarks/chat_speed.py {' '.join(sys.argv[1:])}`",
                "",
                f"SmolLM2-135M, up to {args.tokens} tokens, greedy; medians of {args.repeats} "
                "turns after one that is not counted. The first answer takes what is made once, "
                "compiling above all.",
                "",
                "| | weights | first token, s | tokens/s | spread | first answer, s | same text |",
                "|---|---|---|---|---|---|---|",
                *rows,
                "",
                *machine,
            ]
        )
    )


@dataclass
class Timed:
    """One answer.

    Attributes:
        text: what was answered.
        tokens: how many.
        first: seconds from the question to the first of them.
        seconds: to the last.
    """

    text: str
    tokens: int
    first: float
    seconds: float

    @property
    def rate(self) -> float:
        """Tokens a second after the first."""
        return (self.tokens - 1) / (self.seconds - self.first)


def _compared(contenders: dict[str, Callable[[], Timed]], kind: str, repeats: int) -> list[str]:
    first, answers = {}, {name: [] for name in contenders}
    for name, ask in contenders.items():
        first[name] = ask().seconds
    for _ in range(repeats):
        for name, ask in contenders.items():
            answers[name].append(ask())
            print(f"{name} {kind}: {answers[name][-1].rate:.1f}", file=sys.stderr, flush=True)
    wanted = answers["plain generate"][0].text
    rows = []
    for name, timed in answers.items():
        rates = sorted(answer.rate for answer in timed)
        same = all(answer.text == wanted for answer in timed)
        rows.append(
            f"| {name} | {kind} | {median(a.first for a in timed):.3f} | {median(rates):.1f} "
            f"| {rates[0]:.1f} to {rates[-1]:.1f} | {first[name]:.1f} | {'yes' if same else 'no'} |"
        )
    return rows


def _ours(chat, tokens: int) -> Timed:
    """Answer as `xtune chat` does; the first text comes with the first token."""
    from xtune.generation.settings import GenerationSettings

    began = time.perf_counter()
    pieces: list[float] = []
    answer = chat.stream(
        QUESTION,
        lambda _: pieces.append(time.perf_counter() - began),
        settings=GenerationSettings(max_new_tokens=tokens, temperature=0.0),
    )
    return Timed(answer.text, answer.tokens, pieces[0], time.perf_counter() - began)


def _plain(chat, tokens: int, **options) -> Timed:
    """transformers' generate, and nothing else but the clock."""
    import torch
    from transformers import GenerationConfig, StoppingCriteria, StoppingCriteriaList

    times: list[float] = []

    class Clock(StoppingCriteria):
        def __call__(self, input_ids, scores, **_):
            times.append(time.perf_counter() - began)
            return torch.zeros(1, dtype=torch.bool)

    began = time.perf_counter()
    inputs = chat.tokenizer.apply_chat_template(
        QUESTION, add_generation_prompt=True, return_tensors="pt", return_dict=True
    )
    written = chat.llm.generate(
        **inputs,
        generation_config=GenerationConfig(
            max_new_tokens=tokens,
            do_sample=False,
            eos_token_id=chat.tokenizer.eos_token_id,
            pad_token_id=chat.tokenizer.pad_token_id,
            **options,
        ),
        stopping_criteria=StoppingCriteriaList([Clock()]),
    )
    text = chat.tokenizer.decode(
        written[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True
    )
    return Timed(text, len(times), times[0], time.perf_counter() - began)


def _compiled(chat, tokens: int) -> Timed:
    from transformers import CompileConfig

    config = CompileConfig(mode="default")
    config._compile_all_devices = True  # transformers compiles on GPUs alone, of itself
    return _plain(chat, tokens, cache_implementation="static", compile_config=config)


if __name__ == "__main__":
    main()
