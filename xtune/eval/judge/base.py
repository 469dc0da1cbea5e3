"""Whom to ask for verdicts: what every judge can do."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

__all__ = ["Judge", "Said"]


@dataclass(frozen=True, slots=True)
class Said:
    """What came of one request.

    Attributes:
        raw: all that the judge wrote; '' where it refused.
        cut: it was not done when its tokens ended.
        refused: why there is no answer, such as a prompt beyond its context; '' if there is one.
    """

    raw: str = ""
    cut: bool = False
    refused: str = ""


class Judge(Protocol):
    """A model that is asked for verdicts.

    Attributes:
        name: for people.
        identity: what its verdicts are kept by: the name, and a hash of weights that are ours.
    """

    name: str
    identity: str

    def ask(
        self,
        dialogues: Sequence[list[dict[str, str]]],
        on_answer: Callable[[int, Said], None],
        *,
        temperature: float,
        seed: int,
    ) -> None:
        """Ask all of them, in any order.

        Args:
            dialogues: messages of each.
            on_answer: called with the place in `dialogues` and what came of it, one at a time,
                from this thread. What it raises ends the asking.
            temperature: 0 for the likeliest answer.
            seed: for a temperature above 0.

        Raises:
            ModelError: the judge cannot be asked any more.
        """
        ...
