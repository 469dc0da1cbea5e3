"""Print the chat templates: the models each is for, and how a dialogue looks in it.

xtune list-templates
xtune list-templates qwen3         its text form, where the loss lies, and what ends an answer
"""

from __future__ import annotations

import argparse
import inspect
import sys

__all__ = ["add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    parser.add_argument("name", nargs="?", help="only this one, with all that is said of it")


def run(args: argparse.Namespace) -> int:
    """Print a line a template, or one whole."""
    from xtune.cli.lookups import list_templates
    from xtune.errors import UsageError, did_you_mean
    from xtune.registry import TEMPLATES, resolve

    known = list_templates()
    if args.name is None:
        width = max(map(len, known))
        for name, models in known.items():
            print(f"{name:{width}}  {models}")
        print("\nIn a config: prompt_template = 'chatml', or 'auto' for the tokenizer's own,")
        print("or your own: prompt_template = 'path/to/file.py:name'")
        return 0
    if args.name not in known:
        raise UsageError(
            f"there is no template {args.name!r}{did_you_mean(args.name, known) or ';'} "
            f"there are: auto, {', '.join(known)}"
        )
    template = resolve(TEMPLATES, args.name)
    print(f"{args.name}  {known[args.name]}\n")
    print(inspect.getdoc(sys.modules[template.__module__]))
    return 0
