"""`xtune VERB ...`: finds the verb's module, runs it, and ends with a true exit code.

A verb is a module of this package with `add_arguments(parser)` and `run(args) -> int | None`;
the module docstring is its help text. Modules are imported only when their verb is named, and
import torch only inside `run`, so that `xtune --help` is immediate. This file imports next to
nothing, so that Ctrl-C in the first moment meets `main`, which answers it.
"""

from __future__ import annotations

import os
import sys

from xtune.cli.verbs import VERBS, help_text

TYPE_CHECKING = False  # as typing's, which takes longer to import than all of this
if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["VERBS", "main"]

_NEED_NOTHING = {"list-cfg"}  # beyond Python itself


def main(argv: Sequence[str] | None = None) -> int:
    """Run one verb.

    Args:
        argv: the words after `xtune`; default `sys.argv[1:]`.

    Returns:
        0 done, 1 failed, 2 misused, 130 interrupted.
    """
    words = list(sys.argv[1:] if argv is None else argv)
    _open_closed_streams()
    try:
        return _main(words)
    except BrokenPipeError:  # `xtune list-cfg | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt:
        if "--debug" in words:
            raise
        _ignore_interrupts()  # a second one must not tear up the end
        print(f"\n{' '.join(['xtune', *words[:1]])}: interrupted", file=sys.stderr)
        return 130


def _main(words: list[str]) -> int:
    if not words or words[0] in ("-h", "--help", "help"):
        print(help_text())
        return 0 if words else 2
    if words[0] in ("-v", "-V", "--version", "version"):
        from xtune import __version__

        print(f"xtune {__version__}")
        return 0
    from xtune.cli.foreign import answer_to_verb, translated

    words = translated(words)
    verb = words[0].replace("_", "-")
    if verb not in VERBS:
        print(f"xtune: {answer_to_verb(words)}", file=sys.stderr)
        return 2
    return _run(verb, words[1:])


def _run(verb: str, words: list[str]) -> int:
    import importlib

    from xtune.cli.interpreter import lacking, missing_message, move_to_environment
    from xtune.cli.parser import VerbParser
    from xtune.errors import XtuneError
    from xtune.parallel.openmp import sharing_processors

    is_debug = "--debug" in words
    try:
        module = importlib.import_module(f"xtune.cli.{verb.replace('-', '_')}")
        parser = VerbParser(verb, module.__doc__)
        module.add_arguments(parser)
        try:
            args = parser.parse_args(words)
        except SystemExit as stop:  # argparse has printed its message
            return int(stop.code or 0)
        if verb not in _NEED_NOTHING:
            move_to_environment(verb, words)
        with sharing_processors():
            return module.run(args) or 0
    except (BrokenPipeError, KeyboardInterrupt):
        raise
    except XtuneError as error:
        if is_debug:
            raise
        print(f"xtune {verb}: {error}", file=sys.stderr)
        return error.exit_code
    except Exception as error:
        if is_debug:
            raise
        missing = lacking()
        if isinstance(error, ImportError) and missing:
            print(missing_message(verb, missing), file=sys.stderr)
            return 2
        where = _in_own_code(error)
        came = (
            f"It comes from {where}; --debug shows all of it."
            if where
            else "This is an error that xtune did not foresee; --debug shows where it comes from."
        )
        print(f"xtune {verb}: {type(error).__name__}: {error}\n{came}", file=sys.stderr)
        if missing:
            print(f"It may be because of this: {missing_message(verb, missing)}", file=sys.stderr)
        return 1


def _in_own_code(error: Exception) -> str:
    """'my_task.py:7' where a file of the user's own has raised it; '' elsewhere."""
    from pathlib import Path
    from traceback import extract_tb

    package = Path(__file__).parents[1]
    frame = extract_tb(error.__traceback__)[-1]
    path = Path(frame.filename)
    installed = (package, Path(sys.prefix), Path(os.__file__).parent)
    if not path.is_file() or any(path.is_relative_to(folder) for folder in installed):
        return ""
    return f"{frame.filename}:{frame.lineno}"


def _ignore_interrupts() -> None:
    import signal

    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_IGN)


def _open_closed_streams() -> None:
    """Give a program that was started with closed streams (<&-, >&-) empty ones instead."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: SIM115


if __name__ == "__main__":
    sys.exit(main())
