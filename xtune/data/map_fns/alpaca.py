"""Stanford Alpaca's format: an instruction, perhaps an input, and an output."""

from __future__ import annotations

from typing import Any

from xtune.data.map_fns.base import UnusableRow, text_field
from xtune.data.map_fns.dialogue import as_list, dialogue
from xtune.data.map_fns.pair import earlier, pair
from xtune.data.map_fns.takes import takes
from xtune.registry import MAP_FNS
from xtune.structures import Conversation

__all__ = ["alpaca_map_fn"]

_NO_OUTPUT = "<nooutput>"  # what Alpaca's own file has where its generator gave up


@MAP_FNS.register_module("alpaca")
@takes(texts="instruction input output system", also="history")
def alpaca_map_fn(row: dict[str, Any]) -> Conversation:
    r"""Read `instruction`, `input` (empty, null or left out if there is none) and `output`.

    The request is the instruction, and on the next line the input. LLaMA-Factory's additions are
    read where a row has them: `system`, and `history`, a list of earlier [request, answer], whose
    answers are trained too.

    >>> alpaca_map_fn({'instruction': 'Add.', 'input': '2 and 2', 'output': '4'})['messages']
    [{'role': 'user', 'content': 'Add.\n2 and 2'}, {'role': 'assistant', 'content': '4'}]

    Raises:
        UnusableRow: the output is empty, null or '<nooutput>', or nothing is asked.
        DataError: `instruction` or `output` is missing, a field is not text, or an addition is of
            another form.
    """
    asked = ("instruction", "input") if "input" in row else ("instruction",)
    made = pair(row, asked=asked, answer="output")
    if made["messages"][-1]["content"].strip() == _NO_OUTPUT:
        raise UnusableRow("empty answer")
    if row.get("system") is None and row.get("history") is None:
        return made
    system = text_field(row, "system") if "system" in row else ""
    return dialogue(
        [
            *([{"role": "system", "content": system}] if system else []),
            *earlier(as_list(row.get("history"), name="history")),
            *made["messages"],
        ]
    )
