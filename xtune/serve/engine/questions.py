"""What the server asks an engine, and what comes back: the contract of all engines."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeAlias

from xtune.errors import XtuneError
from xtune.generation.settings import GenerationSettings

if TYPE_CHECKING:
    from xtune.generation.row import Guide, Noted

__all__ = [
    "Broken",
    "Busy",
    "Closed",
    "End",
    "Engine",
    "Event",
    "Piece",
    "Question",
    "Read",
    "Refused",
    "Ticket",
]


@dataclass(frozen=True, slots=True)
class Question:
    """A prompt, and how its answer is written.

    Attributes:
        model: the id of a served model.
        prompt: token ids, at least one.
        settings: with a seed, unless the temperature is 0.
        stop: strings that end the answer, besides the model's own ends.
        stop_ids: tokens that do.
        alternatives: how many others are noted for each token; None: not even the token's own.
        is_chat: what the chat template writes around an answer is no part of it.
        new_guide: makes what says which tokens may come next; None: all may.
        penalty_alpha: of contrastive search among `settings.top_k` tokens; None: no such search.
        bias: tokens, and what is added to the logit of each.
        reads: the prompt's tokens are noted too, as `alternatives` says.
        writes: False: there is no answer; what is asked for is the prompt's tokens.
    """

    model: str
    prompt: tuple[int, ...]
    settings: GenerationSettings
    stop: tuple[str, ...] = ()
    stop_ids: tuple[int, ...] = ()
    alternatives: int | None = None
    is_chat: bool = True
    new_guide: Callable[[], Guide] | None = None
    penalty_alpha: float | None = None
    bias: tuple[tuple[int, float], ...] = ()
    reads: bool = False
    writes: bool = True


@dataclass(frozen=True, slots=True)
class Piece:
    """A token of an answer.

    Attributes:
        index: of the question.
        token: its id.
        text: what may be shown now, often none.
        noted: how likely it was, if that was asked for.
    """

    index: int
    token: int
    text: str
    noted: Noted | None = None


@dataclass(frozen=True, slots=True)
class Read:
    """A prompt whose tokens were to be noted; comes before any piece of its answer.

    Attributes:
        index: of the question.
        noted: of each token of the prompt but the first.
    """

    index: int
    noted: tuple[Noted, ...]


@dataclass(frozen=True, slots=True)
class End:
    """The end of an answer.

    Attributes:
        index: of the question.
        text: what was held back until now.
        ended_by: 'length' where it was cut.
        tokens: of the answer, the one that ended it included.
        known: tokens of the prompt that did not have to be computed.
        written: all of the answer, special tokens included: where calls are looked for.
    """

    index: int
    text: str
    ended_by: Literal["stop", "length", "interrupt"]
    tokens: int
    known: int
    written: str


@dataclass(frozen=True, slots=True)
class Broken:
    """No answer, for a reason that is none of the question's."""

    message: str


Event: TypeAlias = "Piece | Read | End | Broken"


class Busy(XtuneError):
    """More questions wait than may; `retry_after` are the seconds after which to ask again."""

    exit_code = 1

    def __init__(self, message: str, retry_after: int) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class Closed(XtuneError):
    """The engine does not answer yet, or any more."""

    exit_code = 1


class Refused(XtuneError):
    """The model cannot answer such a question; says why."""

    exit_code = 2


class Ticket(Protocol):
    """Questions that were asked together."""

    def leave(self) -> None:
        """Nobody waits for the answers any more; their rows are free within one step."""


class Engine(Protocol):
    """Who answers."""

    def ask(self, questions: Sequence[Question], on_event: Callable[[Event], None]) -> Ticket:
        """Ask some questions; `on_event` is called from another thread.

        Args:
            questions: of one client.
            on_event: is given the pieces of each answer, and its end.

        Raises:
            Busy: too many wait.
            Closed: it does not answer yet, or any more.
            Refused: the model cannot answer such a question.
        """

    def room(self, model: str) -> int | None:
        """How many tokens a prompt and its answer may have together; None: any number."""

    def embed(self, model: str, prompts: Sequence[tuple[int, ...]]) -> Any:
        """Have the mean of the last layer over each prompt, scaled to length 1.

        Args:
            model: the id of a served model.
            prompts: token ids of each.

        Returns:
            A `concurrent.futures.Future` of lists of floats.
        """

    def counts(self) -> dict[str, float]:
        """Return what it has done, by the names of metrics."""

    def close(self) -> None:
        """End; what is being answered gets no end."""
