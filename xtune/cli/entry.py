"""`xtune VERB ...`: finds the verb's module, runs it, and ends with a true exit code.

A verb is a module of this package with `add_arguments(parser)` and `run(args) -> int | None`;
the module docstring is its help text. Modules are imported only when their verb is named, and
import torch only inside `run`, so that `xtune --help` is immediate.
"""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from collections.abc import Sequence

from xtune import __version__
from xtune.errors import XtuneError, did_you_mean
from xtune.parallel.openmp import sharing_processors

__all__ = ["VERBS", "main"]

VERBS = {
    "train": "train a config",
    "chat": "talk to a model, with an adapter or without",
    "eval": "measure what a run has learnt, before and after, and write a report",
    "eval-tools": "measure a model's tool calls on a benchmark's rows, by comparing only",
    "export": "write a model for other programs: adapter merged, layout chosen, read back",
    "convert": "write a model from a folder that holds only DeepSpeed's or torch's shards of it",
    "expand-vocab": "give a model more tokens, and write it ready to train",
    "check": "check a config; every problem at once",
    "estimate": "say what memory a config needs, whether it fits, and what makes it fit",
    "profile": "run a few steps under the profiler: where time and memory go",
    "scaling": "say what a config needs and costs on more devices",
    "check-dataset": "say what is wrong with a file of data, and how to fix it",
    "list-cfg": "list the named configs",
    "list-models": "list the model families: what is read, how, what is proven",
    "list-templates": "list the chat templates: models, text form, what ends an answer",
    "tiny-model": "write a tiny random model, to try a config without its weights",
    "list-formats": "list the data formats: fields read, an example, what becomes of it",
    "list-tools": "list the tools that a model can be given: arguments, options",
    "tool-server": "serve tools to other programs, over HTTP or as an MCP server",
    "copy-cfg": "copy a named config, flat, to edit it",
    "explain": "say which file and line set each value of a config",
    "diff-cfg": "compare two configs value by value",
    "log-dataset": "show, token by token, what of the data is trained",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run one verb.

    Args:
        argv: the words after `xtune`; default `sys.argv[1:]`.

    Returns:
        0 done, 1 failed, 2 misused, 130 interrupted.
    """
    words = list(sys.argv[1:] if argv is None else argv)
    if not words or words[0] in ("-h", "--help", "help"):
        print(_help())
        return 0 if words else 2
    if words[0] in ("-v", "--version", "version"):
        print(f"xtune {__version__}")
        return 0
    verb = words[0].replace("_", "-")
    if verb not in VERBS:
        print(f"xtune: unknown verb {words[0]!r}{did_you_mean(verb, VERBS)}", file=sys.stderr)
        print(_help(), file=sys.stderr)
        return 2
    module = importlib.import_module(f"xtune.cli.{verb.replace('-', '_')}")
    parser = argparse.ArgumentParser(
        prog=f"xtune {verb}",
        description=module.__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    module.add_arguments(parser)
    try:
        args = parser.parse_args(words[1:])
    except SystemExit as stop:  # argparse has printed its message
        return int(stop.code or 0)
    try:
        with sharing_processors():
            return module.run(args) or 0
    except BrokenPipeError:  # `xtune list-cfg | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt:
        if args.debug:
            raise
        print(f"\nxtune {verb}: interrupted", file=sys.stderr)
        return 130
    except XtuneError as error:
        if args.debug:
            raise
        print(f"xtune {verb}: {error}", file=sys.stderr)
        return error.exit_code
    except Exception as error:
        if args.debug:
            raise
        print(
            f"xtune {verb}: {type(error).__name__}: {error}\n"
            "This is an error that xtune did not foresee; --debug shows where it comes from.",
            file=sys.stderr,
        )
        return 1


def _help() -> str:
    width = max(map(len, VERBS))
    lines = [f"  {verb:<{width}}  {what}" for verb, what in VERBS.items()]
    return "\n".join(
        ["usage: xtune VERB ...", "", "Fine-tune large language models from one config file.", ""]
        + lines
        + ["", "xtune VERB --help says more. From a checkout: python tools/VERB.py ..."]
    )
