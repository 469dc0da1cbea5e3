"""Show, token by token, what a config's training data teach.

Trained tokens are green, masked ones grey; where there is no colour, trained text stands between
« and »; what counts more or less than once in the loss begins with ×2 or ×0.5. Each sample has a
heading, and so has each pack, which says how many samples it holds. Answers that were judged are
shown next to each other after their prompt, which they share, with what is said of them: a margin,
a soft label, ranks, good or bad. Then the totals: what became of the rows, how much is trained, and
whether every answer is trained to end; of pairs also ties, lengths and beginnings.

Nothing but the tokenizer is loaded. Exit code 1 when nothing is trained, or no answer is trained
to end: such a model would never stop.
"""

from __future__ import annotations

import argparse
import json
from typing import TYPE_CHECKING, Any

from xtune.cli.judged_answers import show_judged
from xtune.cli.painted_tokens import painted
from xtune.data.shown import shown_sample

if TYPE_CHECKING:
    from rich.console import Console
    from transformers import PreTrainedTokenizerBase

    from xtune.data.protocol import ShownItems

__all__ = ["add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the verb's arguments."""
    parser.add_argument("config", metavar="CONFIG", help="a config's name or file")
    parser.add_argument(
        "--cfg-options",
        metavar="K=V",
        nargs="+",
        action="extend",
        default=[],
        help="change the config: data_path=my.json prompt_template=chatml",
    )
    which = parser.add_mutually_exclusive_group()
    which.add_argument(
        "--index", metavar="N", type=int, help="show item N whole: a pack, or a sample"
    )
    which.add_argument("--n", metavar="N", type=int, default=1, help="show the first N samples; 1")
    parser.add_argument("--json", action="store_true", help="print tokens and totals as JSON")


def run(args: argparse.Namespace) -> int:
    """Print items and totals; return the exit code."""
    from xtune.config import render, require_valid
    from xtune.errors import UsageError

    if args.n < 0:
        raise UsageError(f"--n {args.n}: give how many samples to show, 0 for the totals alone")
    sheet = render(args.config, args.cfg_options)
    require_valid(sheet, trains=False)
    from rich.console import Console

    from xtune.models import load_tokenizer
    from xtune.registry import DATASETS, build

    tokenizer = load_tokenizer(**sheet.values["tokenizer"])
    dataset = build(DATASETS, sheet.values["train_dataset"], tokenizer=tokenizer).preview()
    if args.index is None:
        chosen = _first(dataset, args.n)
    else:
        if not 0 <= args.index < len(dataset):
            raise UsageError(f"--index {args.index}: the data have items 0 to {len(dataset) - 1}")
        chosen = {args.index: dataset.pack(args.index)}
    if args.json:
        items = [
            {"index": index, "documents": _documents(dataset, tokenizer, samples)}
            for index, samples in chosen.items()
        ]
        print(json.dumps({"items": items, "report": dataset.report.to_dict()}, ensure_ascii=False))
    else:
        console = Console(highlight=False)
        for index, samples in chosen.items():
            _head(console, dataset, index)
            _show(console, _documents(dataset, tokenizer, samples))
            if more := len(dataset.pack(index)) - len(samples):
                console.print(f"── and {more:,} more in this pack: --index {index} shows it whole")
        for line in dataset.report.lines():
            console.print(line, style="bold red" if line.startswith("FAILURE") else None)
    return 1 if dataset.report.failures else 0


def _first(dataset: ShownItems, count: int) -> dict[int, list[int]]:
    """The first `count` samples, by the item that each is in: item -> samples."""
    chosen: dict[int, list[int]] = {}
    for index in range(len(dataset)):
        if count <= 0:
            break
        samples = dataset.pack(index)
        end = min(count, len(samples))
        while end < len(samples) and dataset.sample(samples[end]).per_document.get("side", 0):
            end += 1  # the other answer of a pair
        chosen[index] = samples[:end]
        count -= end
    return chosen


def _documents(
    dataset: ShownItems, tokenizer: PreTrainedTokenizerBase, samples: list[int]
) -> list[dict[str, Any]]:
    return [shown_sample(number, dataset.sample(number), tokenizer) for number in samples]


def _head(console: Console, dataset: ShownItems, index: int) -> None:
    """Where a pack begins; a sample that is an item by itself has a heading of its own."""
    if dataset.report.packs:
        tokens, count = dataset.item_tokens(index), len(dataset.pack(index))
        samples = "1 sample" if count == 1 else f"{count:,} samples"
        console.rule(f"pack {index}: {samples}, {tokens:,} tokens", characters="═")


def _show(console: Console, documents: list[dict[str, Any]]) -> None:
    for group in _groups(documents):
        if "side" in group[0] or "desirable" in group[0].get("numbers", {}):
            show_judged(console, group)
            continue
        (document,) = group
        trained = sum(token["trained"] for token in document["tokens"])
        counts = f"{len(document['tokens'])} tokens, {trained} trained"
        console.print(f"── sample {document['sample']}: {counts}", style="bold cyan")
        text = painted(document["tokens"], marked=not console.color_system)
        console.print(text, soft_wrap=True)


def _groups(documents: list[dict[str, Any]]) -> list[list[dict[str, Any]]]:
    """The documents, those of a group together."""
    groups: list[list[dict[str, Any]]] = []
    for document in documents:
        if document.get("side", 0):
            groups[-1].append(document)
        else:
            groups.append([document])
    return groups
