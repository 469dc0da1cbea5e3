"""What one can say to the chat program itself, rather than to the model."""

from __future__ import annotations

from collections.abc import Callable, Sized
from pathlib import Path

from xtune.chat.session import ChatSession
from xtune.errors import DataError, did_you_mean

__all__ = ["COMMANDS", "is_command", "is_retry", "run_command"]

COMMANDS = {
    "/help": ("", "show this"),
    "/reset": ("", "forget the dialogue, keep the system prompt (also: RESET)"),
    "/undo": ("", "take back the last message and its answer"),
    "/retry": ("", "answer the last message once more"),
    "/system": ("[TEXT|off]", "show, set or remove the system prompt; the dialogue goes on"),
    "/save": ("FILE", 'write the dialogue as JSON, {"messages": [...]}'),
    "/load": ("FILE", "go on with a saved dialogue"),
    "/exit": ("", "leave (also: EXIT, Ctrl-D)"),
}
_BARE = {"RESET": "/reset", "EXIT": "/exit"}  # as in XTuner

_KEYS = """\
Enter sends. A new line within a message: Alt-Enter, or a backslash at the end of the line;
pasted lines stay together. Ctrl-C stops an answer. To send a message that begins with a slash,
put a space first."""


def is_command(line: str) -> bool:
    """Whether a message is for the program.

    >>> [is_command(line) for line in ('/reset', 'RESET', ' /reset', 'reset', '/a\\nb')]
    [True, True, False, False, False]
    """
    return line in _BARE or (line.startswith("/") and "\n" not in line)


def is_retry(line: str) -> bool:
    """Whether a message asks for another answer, which is given where answers are."""
    return is_command(line) and _parts(line)[0] == "/retry"


def run_command(line: str, session: ChatSession, notice: Callable[[str], None]) -> bool:
    """Do what a command says.

    Args:
        line: a message of which `is_command` holds.
        session: the dialogue.
        notice: told what was done, or what is wrong with the command.

    Returns:
        Whether the program goes on.
    """
    verb, argument = _parts(line)
    if verb == "/exit":
        return False
    if verb == "/help":
        notice(_help())
    elif verb == "/reset":
        session.reset()
        notice("forgot the dialogue" + ("; the system prompt stays" if session.system else ""))
    elif verb == "/undo":
        undone = session.undo()
        notice("there is nothing to take back" if undone is None else f"took back: {undone}")
    elif verb == "/system":
        _system(argument, session, notice)
    elif verb in ("/save", "/load"):
        _file(verb, argument, session, notice)
    else:
        notice(f"unknown command {verb}{did_you_mean(verb, COMMANDS)} /help lists them")
    return True


def _parts(line: str) -> tuple[str, str]:
    verb, _, argument = _BARE.get(line, line).strip().partition(" ")
    return verb, argument.strip()


def _system(argument: str, session: ChatSession, notice: Callable[[str], None]) -> None:
    if argument:
        session.system = "" if argument == "off" else argument
        session.no_system = argument == "off"
    if session.system:
        notice(f"system prompt: {session.system}")
    elif session.default_system and not session.no_system:
        notice(f"no system prompt; the chat template writes one: {session.default_system}")
    else:
        notice("no system prompt")


def _file(verb: str, argument: str, session: ChatSession, notice: Callable[[str], None]) -> None:
    if not argument:
        notice(f"{verb} needs the name of a file: {verb} chat.json")
        return
    try:
        if verb == "/save":
            if argument != session.saved_to and Path(argument).expanduser().exists():
                notice(f"{argument} is there already; save to another name, or delete it")
                return
            session.save(argument)
            notice(f"saved {_counted(session.messages)} to {argument}")
        else:
            session.load(argument)
            notice(f"loaded {_counted(session.messages)} from {argument}")
    except (OSError, DataError) as error:
        notice(f"{verb} failed: {error}")


def _counted(messages: Sized) -> str:
    return f"{len(messages)} message{'' if len(messages) == 1 else 's'}"


def _help() -> str:
    calls = {verb: f"{verb} {argument}".strip() for verb, (argument, _) in COMMANDS.items()}
    width = max(map(len, calls.values()))
    lines = [f"  {calls[verb]:<{width}}  {what}" for verb, (_, what) in COMMANDS.items()]
    return "\n".join([*lines, _KEYS])
