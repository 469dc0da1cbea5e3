"""Answers that were judged, as `xtune log-dataset` shows them: their prompt once, then each.

    ── samples 0 and 1, a pair with margin 1.5: prompt of 14 tokens
    <|im_start|>user⏎
    2?<|im_end|>⏎
    <|im_start|>assistant⏎
      chosen: 5 tokens, 5 trained      rejected: 6 tokens, 6 trained
      «Two.<|im_end|>»                 «Three.<|im_end|>»

Side by side on a terminal that is wide enough, else one below the other.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from xtune.cli.painted_tokens import painted

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["show_judged"]

_NARROWEST = 36  # columns of text for an answer next to another


def show_judged(console: Console, documents: Sequence[dict[str, Any]]) -> None:
    """Print the answers to one prompt.

    Args:
        console: to print on.
        documents: of one group, the best first, each with its tokens and numbers.
    """
    from rich.table import Table
    from rich.text import Text

    marked = not console.color_system
    tokens = [document["tokens"] for document in documents]
    trained = (n for n, token in enumerate(tokens[0]) if token["trained"])
    prompt = next(trained, len(tokens[0]))
    console.print(f"── {_heading(documents)}: prompt of {prompt} tokens", style="bold cyan")
    console.print(painted(tokens[0][:prompt], marked=marked), soft_wrap=True)
    titles = [
        f"{title}: {len(one) - prompt} tokens, {sum(t['trained'] for t in one)} trained"
        for title, one in zip(_titles(documents), tokens, strict=True)
    ]
    texts = [painted(one[prompt:], marked=marked) for one in tokens]
    if console.is_terminal and len(texts) > 1 and console.width // len(texts) >= _NARROWEST:
        table = Table.grid(padding=(0, 2), expand=True)
        for _ in texts:
            table.add_column(ratio=1)
        table.add_row(*(Text(title, style="cyan") for title in titles))
        table.add_row(*texts)
        console.print(table)
        return
    for title, text in zip(titles, texts, strict=True):
        console.print(f"   {title}", style="cyan")
        console.print(text, soft_wrap=True)


def _heading(documents: Sequence[dict[str, Any]]) -> str:
    first, *others = (document["sample"] for document in documents)
    numbers = [document.get("numbers", {}) for document in documents]
    if not others:
        return f"sample {first}, a judged answer"
    if len(others) > 1:
        return f"samples {first} to {others[-1]}, a ranking of {len(documents)} answers"
    said = []
    if margin := numbers[0].get("score", 0) - numbers[1].get("score", 0):
        said.append(f"margin {margin:g}")
    if "soft_label" in numbers[0]:
        said.append(f"soft label {numbers[0]['soft_label']:g}")
    told = f" with {' and '.join(said)}" if said else ""
    return f"samples {first} and {others[0]}, a pair{told}"


def _titles(documents: Sequence[dict[str, Any]]) -> list[str]:
    titles = []
    have_scores = any("score" in document.get("numbers", {}) for document in documents)
    for place, document in enumerate(documents):
        numbers = document.get("numbers", {})
        if "desirable" in numbers:
            words = ["good" if numbers["desirable"] else "bad"]
        elif len(documents) == 2:
            words = [("chosen", "rejected")[place]]
        else:
            words = [f"answer {place + 1}", f"rank {numbers.get('rank', place):g}"]
            words += [f"score {numbers.get('score', 0):g}"] if have_scores else []
        if "safe" in numbers:
            words.append("safe" if numbers["safe"] > 0 else "unsafe")
        titles.append(", ".join(words))
    return titles
