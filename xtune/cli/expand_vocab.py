"""Give a model more tokens, and write it to a folder that is ready to train.

The new rows of its embedding and head begin as the mean of the rows of the tokens that spelled
the new one before; what the model makes of old tokens does not change.

  xtune expand-vocab smollm2 --tokens words.txt models/smollm2_words
  xtune expand-vocab models/llama --sentencepiece chinese.model models/chinese_llama

--tokens: one a line; they are found in a text before it is split into the base's tokens.
--sentencepiece: pieces that the base's own SentencePiece model has not are merged into it.
"""

from __future__ import annotations

import argparse
from pathlib import Path

__all__ = ["add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the verb's arguments."""
    parser.add_argument(
        "base", metavar="BASE", help="a hub id, a folder, a run's work_dir, or the alias smollm2"
    )
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--tokens", type=Path, metavar="FILE", help="a text file, one token a line")
    source.add_argument("--sentencepiece", type=Path, metavar="FILE", help="a SentencePiece .model")
    parser.add_argument("out", type=Path, metavar="OUT", help="a folder that is not there yet")
    parser.add_argument(
        "--init",
        choices=("subtokens", "mean"),
        default="subtokens",
        help="new rows: mean of the token's old sub-tokens, or of all rows (default: subtokens)",
    )
    parser.add_argument(
        "--pad-to-multiple-of", type=int, metavar="N", help="round the number of rows up"
    )
    parser.add_argument(
        "--dtype",
        default="auto",
        choices=("auto", "fp32", "bf16", "fp16"),
        help="of the weights (default: as they are)",
    )


def run(args: argparse.Namespace) -> None:
    """Write the folder and say what became of each token."""
    from xtune.errors import UsageError

    out: Path = args.out.expanduser()
    if out.exists():
        raise UsageError(f"{out} exists already: give another name, or delete it")
    if args.pad_to_multiple_of is not None and args.pad_to_multiple_of < 1:
        raise UsageError(f"--pad-to-multiple-of {args.pad_to_multiple_of}: it must be at least 1")

    from xtune.export.expand import (
        expand_with_sentencepiece,
        expand_with_tokens,
        read_tokens,
    )
    from xtune.generation.locate import find_model

    settings = {
        "init": args.init,
        "pad_to_multiple_of": args.pad_to_multiple_of,
        "dtype": args.dtype,
    }
    base = find_model(args.base)
    if args.tokens is not None:
        tokens = read_tokens(args.tokens.expanduser())
        done = expand_with_tokens(base, tokens, out, **settings)
    else:
        file = args.sentencepiece.expanduser()
        done = expand_with_sentencepiece(base, file, out, **settings)
    lines = [
        (done.given, "given"),
        (done.known, "of them in the base already"),
        (done.duplicates, "given more than once"),
        (len(done.left_out), f"left out: control or byte pieces {' '.join(done.left_out[:8])}"),
        (done.added, f"added: the tokenizer has {done.after:,} tokens now, {done.before:,} before"),
        (done.unreached, "of these no merges lead to, so no text will have them"),
    ]
    for count, what in lines:
        if count or what in ("given", "of them in the base already"):
            print(f"{count:>9,} {what}")
    print(f"{done.rows:>9,} rows in embedding and head, {done.rows_before:,} before")
    print(f"{out}\ntrain it: --cfg-options pretrained_model_name_or_path={out}")
