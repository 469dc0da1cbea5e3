"""A row of a batch: a prompt, how its answer is sampled, and the answer as far as it is written."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from xtune.generation.answer import Answer
from xtune.generation.settings import GenerationSettings

__all__ = ["Guide", "Noted", "Row", "next_tokens"]

_LIKELY = 256  # tokens among which nearly all draws fall


class Guide(Protocol):
    """Says which tokens may come next: those of a grammar."""

    def allowed(self, logits: Tensor) -> Tensor:
        """Return logits [V] in which what may not come next is -inf."""

    def push(self, token: int) -> None:
        """Go on behind a token."""


class Noted(NamedTuple):
    """How likely a token was.

    Attributes:
        token: its id.
        log_probability: natural.
        others: the likeliest there, with theirs, best first.
    """

    token: int
    log_probability: float
    others: tuple[tuple[int, float], ...]


class Row:
    """One prompt on its way to an answer.

    Its answer is a function of the model, the prompt and the settings, whatever rows are computed
    next to it: the dice are its own. (A sum of floating-point numbers in another order may differ
    in its last bits; only a tie of two tokens within these would show it.)

    Args:
        prompt: token ids, at least one.
        new_answer: makes the empty Answer that the row fills.
        settings: with a seed, unless the temperature is 0.
        alternatives: note how likely each token was, and this many others; None: note nothing.
        guide: says which tokens may come next; None: all may.
        alpha: of contrastive search, contrastive.py; None: no such search.

    Attributes:
        answer: what is written so far.
        ids: the prompt, and all tokens of the answer.
        noted: how likely each token of the answer was, as the model has it: before temperature,
            penalties and guide.
        known: how many tokens of the prompt were computed already when its turn came; None before.
    """

    def __init__(
        self,
        prompt: Sequence[int],
        new_answer: Callable[[], Answer],
        settings: GenerationSettings,
        *,
        alternatives: int | None = None,
        guide: Guide | None = None,
        alpha: float | None = None,
    ) -> None:
        self.prompt = tuple(prompt)
        self.settings = settings
        self.alternatives = alternatives
        self.guide = guide
        self.alpha = alpha
        self.answer = new_answer()
        self.ids = list(self.prompt)
        self.noted: list[Noted] = []
        self.known: int | None = None
        self._said: Tensor | None = None
        self._dice: torch.Generator | None = None

    @property
    def done(self) -> bool:
        """Whether the answer has ended or has all the tokens that it may have."""
        ended = self.answer.ended_by != "length"
        return ended or self.answer.tokens >= self.settings.max_new_tokens

    def leave(self) -> None:
        """End the answer here: nobody waits for it any more."""
        self.answer.ended_by = "interrupt"

    def push(self, token: int) -> str:
        """Take the answer's next token; return the text that may be shown now."""
        self.ids.append(token)
        if self._said is not None:
            self._said[token] = True
        if self.guide is not None:
            self.guide.push(token)
        return self.answer.push(token)

    def changed(self, logits: Tensor) -> Tensor:
        """Return its logits [V] with the penalties taken off and without forbidden tokens."""
        settings = self.settings
        if settings.repetition_penalty != 1:
            penalty = settings.repetition_penalty
            less = torch.where(logits < 0, logits * penalty, logits / penalty)
            logits = torch.where(self.said(logits), less, logits)
        if settings.presence_penalty or settings.frequency_penalty:
            counts = Counter(self.ids[len(self.prompt) :])
            tokens = torch.tensor(list(counts), dtype=torch.long, device=logits.device)
            times = torch.tensor(list(counts.values()), dtype=logits.dtype, device=logits.device)
            less = settings.presence_penalty + settings.frequency_penalty * times
            logits = logits.index_add(0, tokens, -less)
        return logits if self.guide is None else self.guide.allowed(logits)

    def note(self, logits: Tensor, token: int) -> None:
        """Note how likely a token was among all; `logits` [V] are fp32 and the model's own."""
        assert self.alternatives is not None
        shares = logits.log_softmax(-1)
        best = shares.topk(min(self.alternatives, len(shares)))
        others = tuple(zip(best.indices.tolist(), best.values.tolist(), strict=True))
        self.noted.append(Noted(token, shares[token].item(), others))

    def throw(self) -> float:
        """Throw the row's own dice: at least 0, below 1."""
        if self._dice is None:
            assert self.settings.seed is not None
            self._dice = torch.Generator().manual_seed(self.settings.seed)
        return torch.rand((), generator=self._dice, dtype=torch.float64).item()

    def said(self, logits: Tensor) -> Tensor:
        """Which tokens stand in the prompt or the answer: bool [V], where `logits` [V] are."""
        if self._said is None:
            self._said = torch.zeros_like(logits, dtype=torch.bool)
            self._said[torch.tensor(self.ids, device=logits.device)] = True
        return self._said


def next_tokens(logits: Tensor, rows: Sequence[Row]) -> list[int]:
    """Choose each row's next token by its settings.

    Args:
        logits: of the next token, [S, V].
        rows: S of them; those that sample throw their dice once.
    """
    logits = logits.float()
    watched = {
        at: logits[at].clone() for at, row in enumerate(rows) if row.alternatives is not None
    }
    for at, row in enumerate(rows):
        raw = logits[at]
        if (changed := row.changed(raw)) is not raw:
            logits[at] = changed
    chosen = logits.argmax(-1)
    sampled = [at for at, row in enumerate(rows) if row.settings.temperature > 0]
    if sampled:
        where = torch.tensor(sampled, device=logits.device)
        chosen[where] = _drawn(logits[where], [rows[at] for at in sampled])
    tokens = chosen.tolist()
    for at, raw in watched.items():
        rows[at].note(raw, tokens[at])
    return tokens


def _drawn(logits: Tensor, rows: Sequence[Row]) -> Tensor:
    """Draw a token for each row: int64 [S]; `logits` are fp32 [S, V]."""
    thrown = [row.throw() for row in rows]
    tokens, sure = _drawn_among_likely(logits, rows, thrown)
    if rest := [at for at, is_sure in enumerate(sure.tolist()) if not is_sure]:
        where = torch.tensor(rest, device=logits.device)
        tokens[where] = _drawn_among_all(
            logits[where], [rows[at] for at in rest], [thrown[at] for at in rest]
        )
    return tokens


def _drawn_among_likely(
    logits: Tensor, rows: Sequence[Row], thrown: Sequence[float]
) -> tuple[Tensor, Tensor]:
    """Draw among the likeliest K, for sorting all takes longer than a layer of a small model.

    Returns:
        Tokens, int64 [S], and whether each is what `_drawn_among_all` draws, bool [S].
    """
    best, places = logits.topk(min(_LIKELY, logits.shape[1]), dim=-1)
    # equal ones in the order of their ids, as a stable sort of all has them
    places, order = places.sort(dim=-1)
    best, order = best.gather(1, order).sort(dim=-1, descending=True, stable=True)
    places = places.gather(1, order)
    heat = _column([row.settings.temperature for row in rows], logits)
    top_k = _column([float(row.settings.top_k) for row in rows], logits)
    top_p = _column([row.settings.top_p for row in rows], logits)
    ranked = best.double() / heat
    cut = (top_k > 0) & (torch.arange(best.shape[1], device=logits.device) >= top_k)
    ranked = ranked.masked_fill(cut, -torch.inf)
    is_short = (top_k > 0) & (top_k <= best.shape[1])
    whole = (logits.double() / heat).logsumexp(-1, keepdim=True)
    whole = torch.where(is_short, ranked.logsumexp(-1, keepdim=True), whole)
    shares = (ranked - whole).exp()
    sums = shares.cumsum(-1)
    likely = shares.masked_fill(sums - shares >= top_p, 0)
    sums_likely = likely.cumsum(-1)
    ends_here = is_short | (sums[:, -1:] >= top_p)  # nothing behind the K can be drawn
    total = torch.where(ends_here, sums_likely[:, -1:], torch.ones_like(whole))
    place = torch.searchsorted(sums_likely, _column(thrown, logits) * total, right=True)
    found = place.clamp(max=best.shape[1] - 1)
    # one that is as likely as the last of the K may have others of its kind behind it
    sure = (place < best.shape[1]) & (best.gather(1, found) > best[:, -1:])
    sure &= ends_here | ((top_p >= 1) & (top_k == 0))
    return places.gather(1, found)[:, 0], sure[:, 0]


def _drawn_among_all(logits: Tensor, rows: Sequence[Row], thrown: Sequence[float]) -> Tensor:
    ranked, tokens = logits.double().sort(dim=-1, descending=True, stable=True)
    ranked = ranked / _column([row.settings.temperature for row in rows], logits)
    most = _column([float(row.settings.top_k or logits.shape[1]) for row in rows], logits)
    ranked = ranked.masked_fill(
        torch.arange(logits.shape[1], device=logits.device) >= most, -torch.inf
    )
    shares = ranked.softmax(-1)
    before = shares.cumsum(-1) - shares  # what the likelier ones have together
    top_p = _column([row.settings.top_p for row in rows], logits)
    shares = shares.masked_fill(before >= top_p, 0)
    sums = shares.cumsum(-1)
    place = torch.searchsorted(sums, _column(thrown, logits) * sums[:, -1:], right=True)
    return tokens.gather(1, place.clamp(max=logits.shape[1] - 1))[:, 0]


def _column(values: Sequence[float], like: Tensor) -> Tensor:
    return torch.tensor(values, dtype=torch.float64, device=like.device)[:, None]
