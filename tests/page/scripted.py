"""An engine that says what it is told to, as fast as it is told to: for what no tiny model says.

    engine = ScriptedEngine({"Who are you?": ["A ", "parrot."]})

The server, its streams and the page are the real ones; only what would be a model is not.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future

from xtune.serve.engine.questions import Broken, Busy, End, Event, Piece, Question

__all__ = ["Broke", "ScriptedEngine"]


class Broke(str):
    """A piece that is no text, but the engine's failure, with this message."""


class ScriptedEngine:
    """Answers what it knows, and says "?" to all else.

    Args:
        answers: the pieces of each, by a text of the prompt; the last in it counts.
        decode: prompts to texts.
        held: a piece is said only when `let` lets it.
        busy: how many questions are refused before one is taken.

    Attributes:
        running: answers that are being written.
        asked: the prompts of all questions, oldest first.
    """

    def __init__(
        self,
        answers: Mapping[str, Sequence[str]],
        *,
        decode: Callable[[Sequence[int]], str],
        held: bool = False,
        busy: int = 0,
    ) -> None:
        self.running = 0
        self.asked: list[str] = []
        self._answers = dict(answers)
        self._decode = decode
        self._free = threading.Semaphore(0) if held else None
        self._busy = busy

    def let(self, pieces: int = 1) -> None:
        """Have some more pieces said."""
        assert self._free is not None
        self._free.release(pieces)

    def ask(self, questions: Sequence[Question], on_event: Callable[[Event], None]) -> _Ticket:
        if self._busy:
            self._busy -= 1
            raise Busy("too many wait; ask again in 1 second", 1)
        ticket = _Ticket()
        for index, question in enumerate(questions):
            prompt = self._decode(question.prompt)
            self.asked.append(prompt)
            pieces = self._pieces(prompt)
            threading.Thread(
                target=self._write, args=(ticket, index, pieces, on_event), daemon=True
            ).start()
        return ticket

    def _pieces(self, prompt: str) -> Sequence[str]:
        at, text = max((prompt.rfind(text), text) for text in self._answers)
        return self._answers[text] if at >= 0 else ["?"]

    def _write(self, ticket, index, pieces, on_event) -> None:
        self.running += 1
        try:
            for piece in pieces:
                while self._free is not None and not self._free.acquire(timeout=0.02):
                    if ticket.left.is_set():
                        return
                if ticket.left.is_set():
                    return
                if isinstance(piece, Broke):
                    on_event(Broken(str(piece)))
                    return
                on_event(Piece(index, 0, piece))
            on_event(End(index, "", "stop", len(pieces), 0, "".join(pieces)))
        finally:
            self.running -= 1

    def room(self, model: str) -> int | None:
        return None

    def embed(self, model: str, prompts: Sequence[tuple[int, ...]]) -> Future:
        raise NotImplementedError

    def counts(self) -> dict[str, float]:
        return {"rows_running": self.running}

    def close(self) -> None:
        pass


class _Ticket:
    def __init__(self) -> None:
        self.left = threading.Event()

    def leave(self) -> None:
        self.left.set()
