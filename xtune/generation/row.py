"""A row of a batch: a prompt, how its answer is sampled, and the answer as far as it is written."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple, Protocol

import torch
from torch import Tensor

from xtune.generation.answer import Answer
from xtune.generation.settings import GenerationSettings

if TYPE_CHECKING:
    from xtune.generation.cache_form import PromptCache

__all__ = ["Guide", "Noted", "Row", "next_tokens"]

_LIKELY = 256  # tokens that mostly tell what top_k and top_p leave; sorting all takes long


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
        bias: added to the logits of some tokens.
        reads: note the prompt's tokens too, as `alternatives` says.
        writes: False: the row ends when its prompt has been noted, with an empty answer.

    Attributes:
        answer: what is written so far.
        ids: the prompt, and all tokens of the answer.
        noted: how likely each token of the answer was, as the model has it: before temperature,
            penalties and guide.
        read: how likely each token of the prompt was, without the first, as far as it is read.
        reading: the cache of a prompt that is noted in pieces.
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
        bias: Mapping[int, float] | None = None,
        reads: bool = False,
        writes: bool = True,
    ) -> None:
        self.prompt = tuple(prompt)
        self.settings = settings
        self.alternatives = alternatives
        self.guide = guide
        self.alpha = alpha
        self.bias = dict(bias or {})
        self.reads = reads and alternatives is not None
        self.writes = writes
        self.answer = new_answer()
        self.ids = list(self.prompt)
        self.noted: list[Noted] = []
        self.read: list[Noted] = []
        self.reading: PromptCache | None = None
        self.known: int | None = None
        self._said: Tensor | None = None
        self._dice: torch.Generator | None = None

    @property
    def done(self) -> bool:
        """Whether the answer has ended or has all the tokens that it may have."""
        if self.answer.ended_by != "length":
            return True
        if not self.writes:
            return not self.unread
        return self.answer.tokens >= self.settings.max_new_tokens

    @property
    def unread(self) -> int:
        """How many tokens of the prompt are still to be noted."""
        return len(self.prompt) - 1 - len(self.read) if self.reads else 0

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
        """Return its logits [V] with its bias, without penalties and forbidden tokens."""
        settings = self.settings
        if self.bias:
            tokens = torch.tensor(list(self.bias), dtype=torch.long, device=logits.device)
            more = torch.tensor(list(self.bias.values()), dtype=logits.dtype, device=logits.device)
            logits = logits.index_add(0, tokens, more)
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
        """Note how likely a token was among all.

        Args:
            logits: fp32 [V], the model's own.
            token: that was taken.
        """
        self.noted += self._noted(logits[None], [token])

    def note_prompt(self, logits: Tensor) -> None:
        """Note how likely the prompt's next tokens were.

        Args:
            logits: [T, V], behind the tokens from the first on that is not noted yet; one behind
                the whole prompt is not looked at.
        """
        first = len(self.read) + 1
        tokens = self.prompt[first : first + len(logits)]
        self.read += self._noted(logits[: len(tokens)].float(), tokens)

    def _noted(self, logits: Tensor, tokens: Sequence[int]) -> list[Noted]:
        assert self.alternatives is not None
        if not tokens:
            return []
        shares = logits.log_softmax(-1)
        best = shares.topk(min(self.alternatives, shares.shape[1]))
        own = shares[torch.arange(len(tokens)), torch.tensor(tokens)].tolist()
        return [
            Noted(token, log_probability, tuple(zip(ids, values, strict=True)))
            for token, log_probability, ids, values in zip(
                tokens, own, best.indices.tolist(), best.values.tolist(), strict=True
            )
        ]

    def throw(self, count: int) -> Tensor:
        """Throw the row's own dice, one for each token: log of exponential numbers, [V]."""
        if self._dice is None:
            assert self.settings.seed is not None
            self._dice = torch.Generator().manual_seed(self.settings.seed)
        return torch.empty(count).exponential_(generator=self._dice).log_()

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
    """Draw a token for each row: int64 [S]; `logits` are fp32 [S, V].

    Each token has a die of its own, and the one with the largest share / die wins: it does so as
    often as its share says. A sum in another order, which moves all shares by a hair, then changes
    the winner about as often as two are that close. (Dice that fall into sums of shares would
    change it in each hundredth answer: in the tail a hair is a token.)
    """
    dice = torch.stack([row.throw(logits.shape[1]) for row in rows]).to(logits.device)
    won = (logits / _column([row.settings.temperature for row in rows], logits) - dice).argmax(-1)
    cut = [at for at, row in enumerate(rows) if row.settings.top_k or row.settings.top_p < 1]
    if cut:
        where = torch.tensor(cut, device=logits.device)
        kept = _kept(logits[where], [rows[at] for at in cut])
        heat = _column([rows[at].settings.temperature for at in cut], logits)
        scores = (logits[where] / heat - dice[where]).masked_fill(~kept, -torch.inf)
        won[where] = scores.argmax(-1)
    return won


def _kept(logits: Tensor, rows: Sequence[Row]) -> Tensor:
    """Which tokens `top_k` and `top_p` leave, bool [S, V]; mostly told by the likeliest K alone."""
    kept = torch.zeros_like(logits, dtype=torch.bool)
    size = min(_LIKELY, logits.shape[1])
    best, places = logits.topk(size, dim=-1)
    # equal ones in the order of their ids, as a stable sort of all has them
    places, order = places.sort(dim=-1)
    best, order = best.gather(1, order).sort(dim=-1, descending=True, stable=True)
    places = places.gather(1, order)
    counts, ends = _lengths(best, logits, rows)
    first = torch.arange(size, device=logits.device) < counts
    kept.scatter_(1, places, first)
    # the last that is kept may have others of its kind behind the K
    last = best.gather(1, (counts - 1).clamp(max=size - 1))
    sure = (ends & (last > best[:, -1:]))[:, 0] if size < logits.shape[1] else ends[:, 0]
    if rest := [at for at, is_sure in enumerate(sure.tolist()) if not is_sure]:
        where = torch.tensor(rest, device=logits.device)
        ranked, tokens = logits[where].sort(dim=-1, descending=True, stable=True)
        counts, _ = _lengths(ranked, logits[where], [rows[at] for at in rest])
        first = torch.arange(logits.shape[1], device=logits.device) < counts
        kept[where] = torch.zeros_like(first).scatter_(1, tokens, first)
    return kept


def _lengths(best: Tensor, logits: Tensor, rows: Sequence[Row]) -> tuple[Tensor, Tensor]:
    """How many of the best are kept, int64 [S, 1], and whether that is told by these, bool [S, 1].

    Args:
        best: the likeliest K logits, sorted, [S, K].
        logits: all, [S, V].
        rows: whose settings say it.
    """
    heat = _column([row.settings.temperature for row in rows], logits)
    top_p = _column([row.settings.top_p for row in rows], logits)
    most = _column([row.settings.top_k or logits.shape[1] for row in rows], logits)
    behind = torch.arange(best.shape[1], device=logits.device) >= most
    ranked = (best.double() / heat).masked_fill(behind, -torch.inf)
    is_short = most <= best.shape[1]  # the shares are those of `top_k` tokens
    whole = (logits.double() / heat).logsumexp(-1, keepdim=True)
    whole = torch.where(is_short, ranked.logsumexp(-1, keepdim=True), whole)
    shares = (ranked - whole).exp()
    sums = shares.cumsum(-1)
    counts = ((sums - shares < top_p) & ~behind).sum(-1, keepdim=True)
    return counts, is_short | (sums[:, -1:] >= top_p) | (best.shape[1] == logits.shape[1])


def _column(values: Sequence[float], like: Tensor) -> Tensor:
    return torch.tensor(values, dtype=torch.float64, device=like.device)[:, None]
