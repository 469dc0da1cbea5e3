"""Run a verb for tools/VERB.py; written, as interpreter.py is, for any Python down to 3.6."""

import sys

from xtune.cli import interpreter

__all__ = ["run_tool"]


def run_tool(verb: str) -> int:
    """Run a verb for tools/VERB.py, with a Python that can.

    Args:
        verb: as in `xtune VERB`; the rest of the command line is `sys.argv[1:]`.

    Returns:
        The exit code; 2 if this Python is too old and no other is known.
    """
    if sys.version_info < interpreter.NEEDED_PYTHON:
        interpreter.move_to_environment(verb, sys.argv[1:])
        interpreter.say(interpreter.missing_message(verb, interpreter.lacking()))
        return 2
    from xtune.cli.entry import main

    return main([verb, *sys.argv[1:]])
