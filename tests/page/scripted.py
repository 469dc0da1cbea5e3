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
    """Answers a question that ends with a known request.

    Args:
        answers: the pieces of each, by a text that stands in the prompt; the last that fits.
        seconds: between two pieces.
        busy: how many questions are refused before one is taken.

    Attributes:
        running: answers that are being written.
        asked: all questions.
        go: answers go on only while it is set.
    """

    def __init__(
        self,
        answers: Mapping[str, Sequence[str]],
        *,
        decode: Callable[[Sequence[int]], str],
        seconds: float = 0.0,
        busy: int = 0,
    ) -> None:
        self.answers = dict(answers)
        self.running = 0
        self.asked: list[Question] = []
        self.go = threading.Event()
        self.go.set()
        self._decode = decode
        self._seconds = seconds
        self._busy = busy

    def ask(self, questions: Sequence[Question], on_event: Callable[[Event], None]) -> _Ticket:
        if self._busy:
            self._busy -= 1
            raise Busy("too many wait; ask again in 1 second", 1)
        ticket = _Ticket()
        self.asked += questions
        for index, question in enumerate(questions):
            pieces = self._pieces(self._decode(question.prompt))
            threading.Thread(
                target=self._write, args=(ticket, index, pieces, on_event), daemon=True
            ).start()
        return ticket

    def _pieces(self, prompt: str) -> Sequence[str]:
        found = [(prompt.rfind(text), text) for text in self.answers]
        at, text = max(found)
        return self.answers[text] if at >= 0 else ["?"]

    def _write(self, ticket, index, pieces, on_event) -> None:
        self.running += 1
        try:
            for piece in pieces:
                self.go.wait()
                if ticket.left.wait(self._seconds):
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
        self.go.set()


class _Ticket:
    def __init__(self) -> None:
        self.left = threading.Event()

    def leave(self) -> None:
        self.left.set()
