"""`LossWeights`: how much the parts of an answer count in the loss.

    loss_weights = dict(thought=0.5, call=2.0, answer=1.0)      each times its message's `weight`

    <think>To km.</think>I look it up.  thought   reasoning, and the text before a call
    <tool_call>{…}</tool_call><|im_end|>  call    from where it begins to the end of the turn
    It is 12 km.<|im_end|>              answer    all else

What is a call is what chat and server would read as one (tool_calls.py), or one of the forms that
are written in plain text: ReAct's, MSAgent's, MOSS's. A kind that is not named counts once, one of
weight 0 is not trained. The text, and so the tokens, are the same with weights and without.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Literal, TypeAlias, get_args

from xtune.data.templates.base import Template
from xtune.data.tool_calls import MalformedCall, call_form, call_in
from xtune.errors import ConfigError, did_you_mean
from xtune.structures import Span

__all__ = ["KINDS", "Kind", "LossWeights"]

Kind: TypeAlias = Literal["thought", "call", "answer"]
KINDS: tuple[Kind, ...] = get_args(Kind)

# Where a call begins in the forms that no template writes
_TEXT_CALLS = re.compile(
    r"<\|startofthink\|>|<\|Commands\|>|^(?:Action|行动)[:：](?!\s*Finish\b)", re.MULTILINE
)
# Where thinking ends without a call
_THOUGHT_ENDS = re.compile(r"</think>\s*|^(?=(?:Final Answer|最终答案)[:：])", re.MULTILINE)


class LossWeights:
    """The weights of the kinds, for one template.

    Args:
        weights: by kind, of `KINDS`.
        template: what writes calls.

    Raises:
        ConfigError: not a dict; a kind that there is not; a weight that is no number from 0 on.
    """

    def __init__(self, weights: Mapping[Kind, float], template: Template) -> None:
        if not isinstance(weights, Mapping):
            raise ConfigError(
                f"loss_weights must be a dict such as {{'call': 2.0}}, not {weights!r}; kinds: "
                f"{', '.join(KINDS)}"
            )
        for kind, weight in weights.items():
            if kind not in KINDS:
                raise ConfigError(
                    f"loss_weights has no kind {kind!r}{did_you_mean(kind, KINDS) or ';'} "
                    f"there are: {', '.join(KINDS)}"
                )
            if not isinstance(weight, int | float) or not 0 <= weight < math.inf:
                raise ConfigError(f"loss_weights[{kind!r}] must be 0 or more, not {weight!r}")
        self._weights = {kind: weight for kind, weight in weights.items() if weight != 1}
        self._form = call_form(template)
        self._ends = template.end_tokens

    def __bool__(self) -> bool:
        """Whether some kind does not count once."""
        return bool(self._weights)

    def __call__(self, spans: Sequence[Span]) -> list[Span]:
        """Return the spans, with the weights of their parts where they are trained."""
        return [self._weighted(span) if span.trained else span for span in spans]

    def _weighted(self, span: Span) -> Span:
        own = span.weights[0][1] if span.weights else 1.0  # its message's
        parts = tuple(
            (characters, own * self._weights.get(kind, 1.0))
            for kind, characters in self._parts(span.text)
            if characters
        )
        return span._replace(weights=() if all(w == 1 for _, w in parts) else parts)

    def _parts(self, text: str) -> Iterator[tuple[Kind, int]]:
        call = self._call_in(text)
        if call is not None:
            yield "thought", call
            yield "call", len(text) - call
            return
        end = _THOUGHT_ENDS.search(text)
        thought = end.end() if end else 0
        yield "thought", thought
        yield "answer", len(text) - thought

    def _call_in(self, text: str) -> int | None:
        """Where the first call begins; None if there is none."""
        begin = 0 if "</think>" not in text else text.index("</think>") + len("</think>")
        end = next((word for word in self._ends if text.endswith(word)), "")
        if call_in(text[begin:].removesuffix(end)):  # as the demo toolcall writes it
            return begin
        if self._form is not None and (found := self._form.opens.search(text, begin)):
            try:
                if self._form.read(text[begin:])[1]:
                    return found.start()
            except MalformedCall:  # trained all the same, as the text that it is
                pass
        found = _TEXT_CALLS.search(text, begin)
        return found.start() if found else None
