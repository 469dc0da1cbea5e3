"""Ask a judge all that is not yet known: what is out of form again, what is known never twice."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from xtune.errors import ModelError, UsageError
from xtune.eval.judge.base import Judge, Said
from xtune.eval.judge.requests import Request
from xtune.eval.judge.verdict_store import VerdictStore

__all__ = ["ATTEMPTS", "Cost", "ask_missing", "cost_of"]

ATTEMPTS = 4  # the first at temperature 0, the others at _RETRY_TEMPERATURE
_RETRY_TEMPERATURE = 0.3
_PROBE = 8  # requests after which a judge that has not once answered in form is given up


@dataclass(frozen=True, slots=True)
class Cost:
    """What is still to be asked.

    Attributes:
        requests: in all.
        known: of them, those that need no call.
        calls: to be made, if every answer is in form.
        most: calls, if none is.
        characters: of the prompts of `calls`.
    """

    requests: int
    known: int
    calls: int
    most: int
    characters: int


def cost_of(requests: Sequence[Request], judge: Judge, store: VerdictStore) -> Cost:
    """Count the calls to a judge before the first is made.

    Args:
        requests: all of them.
        judge: who is asked.
        store: what is known.
    """
    open_ = _missing(requests, judge, store)
    return Cost(
        requests=len(requests),
        known=len(requests) - len(open_),
        calls=len(open_),
        most=sum(ATTEMPTS - len(store.attempts(key)) for key in open_),
        characters=sum(
            len(message["content"]) for request in open_.values() for message in request.messages
        ),
    )


def ask_missing(
    requests: Sequence[Request],
    judge: Judge,
    store: VerdictStore,
    *,
    max_calls: int | None = None,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> int:
    """Ask whatever the store does not know.

    An answer without a verdict in form is asked for again, up to three times at temperature 0.3;
    then it is left out. Everything is kept as it comes, also where this ends with an error.

    Args:
        requests: all of them; two that are alike are asked once.
        judge: who is asked.
        store: what is known, and where answers go.
        max_calls: no more calls than these.
        on_progress: called with the number of requests that are settled, and of all.

    Returns:
        The number of requests that the judge refused, such as prompts beyond its context.

    Raises:
        UsageError: more calls than `max_calls` are needed; none was made.
        ModelError: the judge cannot be asked any more, its first answers were all out of form or
            refused, or retries have used up `max_calls`.
    """
    cost = cost_of(requests, judge, store)
    if max_calls is not None and cost.calls > max_calls:
        raise UsageError(
            f"{cost.calls} calls of the judge are needed and --max-judge-calls is {max_calls}: "
            "allow more, or judge fewer questions: --rows N"
        )
    missing = _missing(requests, judge, store)
    keys = list(missing)
    asking = _Asking(requests, judge, store, max_calls, on_progress, missing)
    asking.settle(keys[:_PROBE])
    if keys and not asking.in_form:
        raise ModelError(asking.never_in_form())
    asking.settle(keys[_PROBE:])
    return len(asking.refused)


def _missing(requests: Sequence[Request], judge: Judge, store: VerdictStore) -> dict[str, Request]:
    """The requests without a verdict that may be asked again, each once."""
    found = {}
    for request in requests:
        key = request.key(judge.identity)
        if len(store.attempts(key)) < ATTEMPTS and store.verdict(key, request.prompt.form) is None:
            found[key] = request
    return found


class _Asking:
    """One run of asking."""

    def __init__(
        self,
        requests: Sequence[Request],
        judge: Judge,
        store: VerdictStore,
        max_calls: int | None,
        on_progress: Callable[[int, int], None],
        missing: dict[str, Request],
    ) -> None:
        self._requests = missing
        self._judge = judge
        self._store = store
        self._max_calls = max_calls
        self._on_progress = on_progress
        self._settled = len(requests) - len(missing)
        self._total = len(requests)
        self._calls = 0
        self._last = ""
        verdicts = (store.verdict(each.key(judge.identity), each.prompt.form) for each in requests)
        self.in_form = sum(verdict is not None for verdict in verdicts)
        self.refused: dict[str, str] = {}

    def settle(self, keys: Sequence[str]) -> None:
        """Ask these until each has a verdict, is refused, or has had all its attempts."""
        left = list(keys)
        while left:
            # Those that a killed run has asked once go on where it stopped.
            attempt = min(len(self._store.attempts(key)) for key in left)
            now = [key for key in left if len(self._store.attempts(key)) == attempt]
            if self._max_calls is not None:
                now = now[: self._max_calls - self._calls]
                if not now:
                    raise ModelError(
                        f"--max-judge-calls {self._max_calls} are used up, with {len(left)} "
                        "requests still without a verdict in form. What is done is kept: the same "
                        "command goes on"
                    )
            self._ask(now, attempt)
            left = [key for key in left if self._is_open(key)]

    def _ask(self, keys: Sequence[str], attempt: int) -> None:
        temperature = _RETRY_TEMPERATURE if attempt else 0.0

        def on_answer(place: int, said: Said) -> None:
            key = keys[place]
            request = self._requests[key]
            told = (
                {"refused": said.refused}
                if said.refused
                else {
                    "raw": said.raw,
                    "attempt": attempt,
                    "temperature": temperature,
                    "cut": said.cut,
                }
            )
            self._store.add(key, request, self._judge.name, told)
            self._calls += not said.refused
            self._last = said.refused or said.raw
            if said.refused:
                self.refused[key] = said.refused
            if self._store.verdict(key, request.prompt.form) is not None:
                self.in_form += 1
            if not self._is_open(key):
                self._settled += 1
                self._on_progress(self._settled, self._total)

        self._judge.ask(
            [self._requests[key].messages for key in keys],
            on_answer,
            temperature=temperature,
            seed=attempt,
        )

    def _is_open(self, key: str) -> bool:
        return (
            key not in self.refused
            and len(self._store.attempts(key)) < ATTEMPTS
            and self._store.verdict(key, self._requests[key].prompt.form) is None
        )

    def never_in_form(self) -> str:
        """What to say of a judge that has not once answered in form."""
        if self.refused and not self._calls:
            return f"{self._judge.name} refused every request; the last time it said: {self._last}"
        forms = {request.prompt.form for request in self._requests.values()}
        said = " ".join(self._last.split())[:200] or "(nothing)"
        return (
            f"{self._judge.name} answered {self._calls} times and never in the form that it was "
            f"asked for ({' or '.join(sorted(forms))}); the last answer begins: {said}\n"
            f"All answers are in {self._store.path}. Take another judge, other prompts (--prompts "
            "FILE), or more room for its answer (--max-new-tokens N)"
        )
