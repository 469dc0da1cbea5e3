"""Find the Python that has what xtune needs, whichever one a user has typed.

`make` installs into .venv at the top of the checkout, and people type `python tools/train.py`
without activating it: then the command goes on there, and says so. What an old Python must read to
say that it is too old, down to 3.6, is written for it: this file, shim.py and
tools/*.py.
"""

import os
import sys

__all__ = ["NEEDED_PYTHON", "lacking", "missing_message", "move_to_environment", "say"]

NEEDED_PYTHON = (3, 11)
_TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.realpath(__file__))))


def lacking() -> "list[str]":
    """Return what this Python is without, of all that a checkout says it needs: requirements.

    Empty outside a checkout: pip has seen to it.

    >>> lacking()
    []
    """
    if sys.version_info < NEEDED_PYTHON:
        return ["Python {}.{} or newer".format(*NEEDED_PYTHON)]
    file = os.path.join(_TOP, "requirements", "runtime.txt")
    if not os.path.isfile(file):
        return []
    import re
    from importlib.metadata import PackageNotFoundError, version

    found = []
    with open(file, encoding="utf-8") as lines:
        wanted = re.findall(r"^([\w.-]+)>=([\d.]+)", lines.read(), re.M)
    for name, least in wanted:
        try:
            there = version(name)
        except PackageNotFoundError:
            found.append(name)
            continue
        if _numbers(there) < _numbers(least):
            found.append(f"{name} {least} (it has {there})")
    return found


def move_to_environment(verb: str, words: "list[str]") -> None:
    """Go on with the Python of .venv if this one lacks something; return if it does not.

    Nothing is done where that is this Python already, or where there is none.

    Args:
        verb: as in `xtune VERB`.
        words: its arguments.
    """
    environment = os.path.join(_TOP, ".venv")
    python = os.path.join(environment, "bin", "python")
    tool = os.path.join(_TOP, "tools", verb.replace("-", "_") + ".py")
    is_there = os.access(python, os.X_OK) and os.path.isfile(tool)
    if not is_there or os.path.realpath(environment) == os.path.realpath(sys.prefix):
        return
    missing = lacking()
    if not missing:
        return
    say(f"xtune {verb}: {_this_python()} {_fault(missing)}; going on with {python}")
    own = ("PYTHONHOME", "__PYVENV_LAUNCHER__")  # of the Python that is left
    kept = {name: value for name, value in os.environ.items() if name not in own}
    try:
        os.execve(python, [python, tool, *words], kept)
    except OSError as error:
        say(f"xtune {verb}: {python} cannot be run: {error}")


def missing_message(verb: str, missing: "list[str]") -> str:
    """Return what to say where a verb has failed for want of packages.

    Args:
        verb: that was typed.
        missing: the packages, or the Python, that it lacks.
    """
    return "\n".join([f"xtune {verb}: {_this_python()} {_fault(missing)}", *_set_up_lines()])


def _set_up_lines() -> "list[str]":
    """Return what to type where no Python has what xtune needs."""
    python = "python{}.{}".format(*NEEDED_PYTHON) if sys.version_info < NEEDED_PYTHON else "python3"
    where = "" if os.path.realpath(os.getcwd()) == _TOP else f"cd {_TOP}; "
    return [
        f"Set it up once: {where}{python} -m venv .venv && .venv/bin/pip install -e .",
        "Then the same command works, in any shell; docs/en/install.md says more.",
    ]


def _this_python() -> str:
    return "{} (Python {}.{}.{})".format(sys.executable or "this Python", *sys.version_info[:3])


def _fault(missing: "list[str]") -> str:
    if sys.version_info < NEEDED_PYTHON:
        return f"is too old: xtune needs {missing[0]}"
    if len(missing) > 3:
        return f"lacks {', '.join(missing[:3])} and {len(missing) - 3} more that xtune needs"
    return f"lacks {', '.join(missing)}"


def _numbers(version: str) -> "list[int]":
    """The leading numbers of a version: 2.13.0+cpu -> [2, 13, 0]."""
    import re  # here, so that Ctrl-C in the first moment meets the verb, which answers it

    found = re.match(r"\d+(\.\d+)*", version)
    return [int(part) for part in found.group().split(".")] if found else []


def say(text: str) -> None:
    """Print to stderr."""
    if sys.stderr is not None:  # closed with 2>&-
        print(text, file=sys.stderr, flush=True)
