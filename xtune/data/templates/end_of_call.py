r"""How one call ends, where a template ends a turn of calls after the second of them only.

    two   …"a"}<|call_end|>\n…"b"}<|call_end|><|calls_end|><|eos|>
    one   …"a"}<|call_end|>                     and nothing says that the turn is over

DeepSeek's first templates do that. A model trained so goes on after its call; so what is lacking is
trained too. And a token that closes a call, and stands between two, is not taken for an end.
"""

from __future__ import annotations

import re
from typing import Any, NamedTuple

from xtune.data.templates.call_style import CALL, TOOL, VALUE
from xtune.data.templates.render import Renderer
from xtune.errors import DataError
from xtune.structures import Message

__all__ = ["EndOfCall", "end_of_call"]

_OTHER = "another probe's value"
_OTHER_CALL: dict[str, Any] = {
    **CALL,
    "id": "probe0002",
    "function": {**CALL["function"], "arguments": {"text": _OTHER}},
}


class EndOfCall(NamedTuple):
    """What is known of it; both are '' where one call ends as two do.

    Attributes:
        lacking: what has to follow one call for the turn to end.
        closing: the special token after one call, which is no end of a turn.
    """

    lacking: str = ""
    closing: str = ""


def end_of_call(renderer: Renderer, special: re.Pattern[str], stop: str | None) -> EndOfCall:
    """Ask a template for one call and for two.

    Args:
        renderer: the template.
        special: matches special tokens.
        stop: the token that ends a plain answer.
    """
    try:
        one, two = (_rendered(renderer, *calls) for calls in ((CALL,), (CALL, _OTHER_CALL)))
    except DataError:
        return EndOfCall()
    after_one = one.rpartition(VALUE)[2].rstrip()
    between, found, after_two = two.rpartition(VALUE)[2].partition(_OTHER)
    if not found or VALUE not in one:
        return EndOfCall()
    ends = [match[0] for match in special.finditer(after_one) if match.end() == len(after_one)]
    closing = ends[-1] if ends else ""
    if stop in ends or (closing and closing not in between):
        return EndOfCall()
    rest = after_two[len(after_one) :] if after_two.startswith(after_one) else ""
    places = [match.end() for match in special.finditer(rest)]
    if stop and stop in rest:
        places = [rest.index(stop) + len(stop)]
    return EndOfCall(rest[: places[-1]] if places else "", closing)


def _rendered(renderer: Renderer, *calls: dict[str, Any]) -> str:
    asked: Message = {"role": "user", "content": "?"}
    return renderer([asked, {"role": "assistant", "content": "", "tool_calls": [*calls]}], [TOOL])
