"""What a model has to write after a prompt, where the whole rendering does not begin with it.

    prompt   …[INST]Be brief.\\n\\n2 + 2?[/INST]          the system text, with the last question
    written  …[INST]2 + 2?[/INST]Four.</s>               that is not the last message any more

The prompt stays what inference gives. The answer is what the rendering ends with, from where it
would end otherwise with another answer in its place.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

from xtune.data.map_fns.base import UnusableRow
from xtune.data.templates.end_of_turn import PROBE
from xtune.data.templates.render import Renderer
from xtune.structures import Message

__all__ = ["Answers", "Disagreement", "Layout"]

_OPENED_TAG = re.compile(r"<(\w+)>\s*\Z")  # a generation prompt that begins with '<think>'

_Messages = Sequence[Message]
_Tools = Sequence[dict[str, Any]] | None


class Disagreement(Exception):
    """A prompt, and a rendering with the answer, of which it cannot be told what the answer is."""

    def __init__(self, prompt: str, written: str) -> None:
        super().__init__(prompt, written)
        self.prompt, self.written = prompt, written


class Layout(NamedTuple):
    r"""What a template writes before and after the tag that closes reasoning: '\n', '\n\n'."""

    before: str = "\n"
    after: str = "\n\n"


class Answers:
    """Finds what a template has the model write.

    Args:
        render: the template.
    """

    def __init__(self, render: Renderer) -> None:
        self._render = render
        self._layouts: dict[str, Layout] = {}
        self._plain: str | None = None  # as a plain answer to one question is written
        question: Message = {"role": "user", "content": "?"}
        probe: Message = {"role": "assistant", "content": PROBE}
        try:
            prompt = render([question], add_generation_prompt=True)
            written = render([question, probe])
        except UnusableRow:
            return
        if written.startswith(prompt):
            self._plain = written[len(prompt) :]

    def __call__(self, messages: _Messages, tools: _Tools) -> tuple[str, str]:
        """Return the prompt for the last message, and what is written for it then.

        Raises:
            Disagreement: nothing in the rendering is the answer to this prompt.
            UnusableRow: the template refuses the dialogue.
        """
        prompt = self._render(messages[:-1], tools, add_generation_prompt=True)
        written = self._render(messages, tools)
        if written.startswith(prompt):
            return prompt, written[len(prompt) :]
        for way in self._ways(prompt, messages, tools):
            try:
                answer = way(written)
            except UnusableRow:  # the template does not take the dialogue so
                continue
            if answer:
                return prompt, answer
        raise Disagreement(prompt, written)

    def _ways(
        self, prompt: str, messages: _Messages, tools: _Tools
    ) -> Iterator[Callable[[str], str | None]]:
        yield lambda written: self._after_opened_tag(prompt, written, messages[-1])
        yield lambda written: self._in_place_of_a_plain_one(written, messages, tools)
        yield lambda written: self._without_system(written, messages, tools)
        yield lambda _: self._without_reasoning(prompt, messages, tools)

    def _in_place_of_a_plain_one(
        self, written: str, messages: _Messages, tools: _Tools
    ) -> str | None:
        """The answer stands where another one would, of which it is known how it is written."""
        if self._plain is None:
            return None
        probe: Message = {"role": "assistant", "content": PROBE}
        other = self._render([*messages[:-1], probe], tools)
        head = other.removesuffix(self._plain)
        if head == other or not written.startswith(head):
            return None
        return written[len(head) :]

    def _without_system(self, written: str, messages: _Messages, tools: _Tools) -> str | None:
        """The answer is what the same dialogue without a system message ends with, too."""
        rest = [message for message in messages if message["role"] != "system"]
        if len(rest) == len(messages):
            return None
        prompt = self._render(rest[:-1], tools, add_generation_prompt=True)
        answered = self._render(rest, tools)
        answer = answered[len(prompt) :]
        if not answered.startswith(prompt) or not written.endswith(answer):
            return None
        return answer

    def _without_reasoning(self, prompt: str, messages: _Messages, tools: _Tools) -> str | None:
        """The prompt has closed the reasoning already, and what there is of it is left out."""
        if "reasoning_content" not in messages[-1]:
            return None
        last = {key: v for key, v in messages[-1].items() if key != "reasoning_content"}
        answered = self._render([*messages[:-1], last], tools)  # type: ignore[list-item]
        return answered[len(prompt) :] if answered.startswith(prompt) else None

    def _after_opened_tag(self, prompt: str, written: str, message: Message) -> str | None:
        """What to write after a prompt that opens a tag, for which `written` has no such opening.

            prompt   …<|Assistant|><think>\\n      written  …<|Assistant|>Four.<|end|>
            returned 2 and 2.\\n</think>\\n\\nFour.<|end|>

        The reasoning is the message's own, or empty: the model must learn to close what the prompt
        has opened. What the template writes around the closing tag decides how that is written.
        """
        opened = _OPENED_TAG.search(prompt)
        if opened is None or not written.startswith(prompt[: opened.start()]):
            return None
        opening, closing = f"<{opened[1]}>", f"</{opened[1]}>"
        answer = written[opened.start() :]
        content = message.get("content") or ""
        if closing in answer:  # parted from the prompt by no more than white space after the tag
            return answer.lstrip().removeprefix(opening).lstrip()
        if opening not in self._layouts:
            self._layouts[opening] = self._layout(opening, closing)
        before, after = self._layouts[opening]
        if closing in content:  # the template has dropped it, though it is the answer's own
            reasoning, _, rest = content.partition(closing)
            own = rest[: len(rest) - len(rest.lstrip())]
            after, answer = own or after, answer.lstrip()
        else:
            reasoning = str(message.get("reasoning_content") or "")
        reasoning = reasoning.strip().removeprefix(opening).strip()
        return f"{reasoning}{before}{closing}{after}{answer}"

    def _layout(self, opening: str, closing: str) -> Layout:
        """How the template itself writes an answer with reasoning, if it writes any."""
        thought = "xtune's thought"
        question: Message = {"role": "user", "content": "?"}
        for answer in (
            {"role": "assistant", "content": PROBE, "reasoning_content": thought},
            {"role": "assistant", "content": f"{opening}\n{thought}\n{closing}\n\n{PROBE}"},
        ):
            try:
                written = self._render([question, answer])  # type: ignore[list-item]
            except UnusableRow:
                continue
            between = written.partition(thought)[2].partition(PROBE)[0]
            before, found, after = between.partition(closing)
            if found and not (before + after).strip():
                return Layout(before, after)
        return Layout()
