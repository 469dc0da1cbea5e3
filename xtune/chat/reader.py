"""Where messages come from: a person at a terminal, or the lines of a pipe."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from xtune.paths import cache_root

if TYPE_CHECKING:  # imported only where a terminal is used
    from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent

__all__ = ["read_pipe", "read_terminal"]

_PROMPT = "> "
_EMPTY_LINE = "\n"  # between an answer and the next prompt


def read_pipe(stream: TextIO) -> Iterator[str]:
    """Yield a message for each line; one that ends in a backslash goes on in the next.

    Empty lines are no messages.
    """
    pending: list[str] = []
    for line in stream:
        text = line.rstrip("\r\n")
        if text.endswith("\\"):
            pending.append(text[:-1])
            continue
        message = "\n".join([*pending, text])
        pending = []
        if message.strip():
            yield message
    if any(text.strip() for text in pending):
        yield "\n".join(pending)


def read_terminal(notice: Callable[[str], None]) -> Iterator[str]:
    """Yield what a person types, with line editing and a history that outlives the program.

    Enter sends, unless the line before the cursor ends in a backslash; Alt-Enter breaks the line,
    and a pasted text keeps its lines. Ctrl-C empties the line, Ctrl-D ends.
    """
    from prompt_toolkit import PromptSession
    from prompt_toolkit.history import FileHistory, History, InMemoryHistory

    file = _history_file()
    history: History = InMemoryHistory() if file is None else FileHistory(str(file))
    session: PromptSession[str] = PromptSession(
        history=history,
        multiline=True,
        key_bindings=_keys(),
        prompt_continuation=lambda width, line, wrapped: " " * width,
    )
    while True:
        try:
            message = session.prompt(_EMPTY_LINE + _PROMPT)
        except KeyboardInterrupt:
            notice("Ctrl-D or /exit leaves")
            continue
        except EOFError:
            return
        if message.strip():
            yield message.rstrip()


def _keys() -> KeyBindings:
    from prompt_toolkit.key_binding import KeyBindings

    keys = KeyBindings()

    @keys.add("enter")
    def _send(event: KeyPressEvent) -> None:
        buffer = event.current_buffer
        if buffer.document.text_before_cursor.endswith("\\"):
            buffer.delete_before_cursor()
            buffer.insert_text("\n")
        else:
            buffer.validate_and_handle()

    @keys.add("escape", "enter")  # what a terminal sends for Alt-Enter
    def _break_line(event: KeyPressEvent) -> None:
        event.current_buffer.insert_text("\n")

    return keys


def _history_file() -> Path | None:
    """The file that keeps what was typed, readable by its owner alone; None if it cannot be."""
    folder = cache_root()
    file = folder / "chat_history"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file.touch(mode=0o600)
    except OSError:
        return None
    return file if os.access(file, os.R_OK | os.W_OK) else None
