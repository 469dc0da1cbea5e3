"""ReAct in plain text, for models whose chat template has no place for tools.

    Thought: I multiply.                          思考：…
    Action: calculator                            行动：calculator
    Action Input: {"expression": "12*31"}         行动输入：{"expression": "12*31"}
    Observation: 372          (we write this)     Response:372
    Final Answer: 372                             最终答案：372

It is read leniently: any case, either colon, marks of Markdown around the words, a call in one
line or as one JSON object, quotes of either kind, a bracket that was forgotten. An answer without
any of these words is a final answer. In Chinese it is what `msagent_react` trains.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Callable, Sequence
from typing import Any, Literal, NamedTuple

from xtune.agents.base import Step, Tools
from xtune.agents.forms import Turn
from xtune.data.map_fns.msagent_react import REACT_ZH
from xtune.data.tool_calls import Call, call_in, reasoning_in
from xtune.generation.reply import Reply
from xtune.structures import Message
from xtune.tools.spec import ToolSpec

__all__ = ["ReActForm", "read_arguments_text", "read_react"]

REACT_EN = """\
You can use these tools:
{tools}

To use one, answer in this form:
Thought: what you need to know
Action: the name of one tool, of [{names}]
Action Input: its arguments, a JSON object
Then you are told its result. When you need no more tools, answer in this form:
Final Answer: the answer to the question"""

_WORDS = {
    "input": r"Action[ _]?Inputs?|Arguments|行动输入|动作输入|工具输入|工具参数|参数",
    "action": r"Action|Tool|行动|动作|工具",
    "thought": r"Thoughts?|思考|想法",
    "observation": r"Observations?|Response|Results?|观察|结果|响应",
    "answer": r"Final[ _]?Answer|最终答案|最终回答|最后答案",
}
_MARK = re.compile(
    r"^[ \t>*#_-]*(?:" + "|".join(f"(?P<{kind}>{words})" for kind, words in _WORDS.items()) + ")"
    r"[ \t]*\d*[*_]*[ \t]*[:：][*_]*",
    re.IGNORECASE | re.MULTILINE,
)
_FENCED = re.compile(r"```\w*\s*(.*?)\s*(?:```|\Z)", re.DOTALL)
_IN_ONE_LINE = re.compile(r"\s*[`'\"\[<]?([\w.-]+)[`'\"\]>]?\s*(?:[(\[](.*)[)\]])?\s*\Z", re.DOTALL)
_STOP = ("\nObservation:", "\nObservation：", "\nResponse:", "\n观察：", "\n观察:", "\nResult:")
_FINISH = ("finish", "final answer", "final_answer", "answer", "none")


class _Section(NamedTuple):
    kind: str
    text: str
    end: int  # where it ends in the whole


class ReActForm:
    """Thought, Action, Action Input, Final Answer.

    Args:
        tools: the tool box.
        language: of the instructions: 'en', or 'zh' as `msagent_react` trains it.
        takes_role: whether the model's template shows messages of a role; results come as
            'system' ('zh', as in training) or 'tool', else as 'user'.
    """

    def __init__(
        self,
        tools: Tools,
        *,
        language: Literal["en", "zh"] = "en",
        takes_role: Callable[[str], bool] = lambda role: role == "user",
    ) -> None:
        self.tools: list[dict[str, Any]] = []
        self.stop: tuple[str, ...] = _STOP
        self._specs = {spec.name: spec for spec in tools.specs}
        wanted = ("system", "tool", "user") if language == "zh" else ("tool", "user")
        self._role = next((role for role in wanted if takes_role(role)), "user")
        self._prefix = "Response:" if language == "zh" else "Observation: "
        form, between = (REACT_ZH, "：") if language == "zh" else (REACT_EN, ": ")
        listed = [
            f"- {spec.name}{between}{spec.description} "
            f"{'参数：' if language == 'zh' else 'Arguments: '}"
            f"{json.dumps(spec.parameters.get('properties', {}), ensure_ascii=False)}"
            for spec in tools.specs
        ]
        self.instructions = form.format(tools="\n".join(listed), names=", ".join(self._specs))

    def read(self, reply: Reply) -> Turn:
        """Say what a turn means."""
        return read_react(reply.message["content"], self._specs)

    def said(self, reply: Reply, turn: Turn) -> Message:
        """Return the turn without what the model made up after its call.

        Args: as `Form.said`.
        """
        text = reasoning_in(reply.message["content"])[1].strip()
        if turn.calls:
            text = _up_to_the_call(text)
        return {"role": "assistant", "content": text}

    def heard(self, steps: Sequence[Step], calls: Sequence[Call]) -> list[Message]:
        """Return the result: as a message of the role tool bare, else after its word.

        Args: as `Form.heard`.
        """
        text = "\n".join(step.result for step in steps)
        if self._role == "tool":
            return [{"role": "tool", "content": text, "name": calls[0].name}]
        # A user's message with a name is a result, and begins no turn
        return [{"role": self._role, "content": self._prefix + text, "name": calls[0].name}]


def read_react(text: str, specs: dict[str, ToolSpec]) -> Turn:
    """Read a turn in ReAct's text.

    Args:
        text: what the model wrote.
        specs: the tools, by name; a plain text is taken for the one argument that a tool needs.
    """
    reasoning, text = reasoning_in(text)
    text = text.strip()
    if not text:
        return Turn(malformed="it is empty")
    if bare := _bare_call(text):
        return Turn(thought=reasoning, calls=(bare,))
    sections = _sections(text)
    if {section.kind for section in sections} <= {"", "observation"}:
        return Turn(thought=reasoning, answer=text)  # a plain answer, perhaps with 'Result:' in it
    thoughts = [reasoning]
    for at, section in enumerate(sections):
        thought = "\n".join(filter(None, thoughts))
        if section.kind in ("", "thought"):
            thoughts.append(section.text)
        if section.kind == "answer":
            if not section.text:
                return Turn(thought=thought, malformed="there is nothing after Final Answer:")
            return Turn(thought=thought, answer=section.text)
        if section.kind == "action":
            following = sections[at + 1] if at + 1 < len(sections) else None
            given = following.text if following and following.kind == "input" else None
            return _action(thought, section.text, given, specs)
    return Turn(
        thought="\n".join(filter(None, thoughts)),
        malformed="it has neither 'Action:' with 'Action Input:' nor 'Final Answer:'",
    )


def read_arguments_text(name: str, given: str, specs: dict[str, ToolSpec]) -> dict[str, Any] | None:
    """Read arguments that are JSON, a Python literal, or the text of a tool's only needed one.

    Args:
        name: of the tool that is called.
        given: the text after it.
        specs: the tools that there are, by name.

    Returns:
        The arguments; None if the text is none of these.
    """
    fenced = _FENCED.search(given)
    given = (fenced[1] if fenced else given).strip()
    if given in ("", "None", "none", "无"):
        return {}
    for closing in ("", "}", '"}', "}}"):
        try:
            read = json.JSONDecoder(strict=False).raw_decode(given + closing)[0]
        except (ValueError, RecursionError):
            continue
        if isinstance(read, dict):
            return read
        break
    if given.startswith("{"):
        try:
            literal = ast.literal_eval(given)
        except (ValueError, SyntaxError, MemoryError, RecursionError):
            return None
        return literal if isinstance(literal, dict) else None
    spec = specs.get(name)
    properties = spec.parameters.get("properties", {}) if spec else {}
    needed = list(spec.parameters.get("required", ())) if spec else []
    only = needed or list(properties)
    if len(only) != 1:
        return None
    wanted = properties[only[0]].get("type")
    plain = given.splitlines()[0] if wanted in ("number", "integer", "boolean") else given
    return {only[0]: _unquoted(plain)}


def _action(thought: str, named: str, given: str | None, specs: dict[str, ToolSpec]) -> Turn:
    if bare := _bare_call(named):
        return Turn(thought=thought, calls=(bare,))
    first, _, rest = named.partition("\n")
    if named.strip("`'\" .").lower() in _FINISH[:-1] and named not in specs:
        named = first = "finish"
    found = _IN_ONE_LINE.match(named) or _IN_ONE_LINE.match(first)
    if found is None:
        # 'Final Answer' after 'Action:', or a sentence
        return Turn(thought=thought, malformed=f"'Action:' must name a tool, not {named[:80]!r}")
    name, inside = found[1], found[2]
    if given is None:
        given = inside if inside is not None else rest
    arguments = read_arguments_text(name, given, specs)
    if name.lower() in _FINISH and name not in specs:
        answer = (arguments or {}).get("final_answer") or (arguments or {}).get("answer") or given
        return Turn(thought=thought, answer=str(answer).strip())
    if arguments is None:
        return Turn(
            thought=thought, malformed=f"'Action Input:' must be a JSON object, not {given[:80]!r}"
        )
    return Turn(thought=thought, calls=(Call(name, arguments),))


def _sections(text: str) -> list[_Section]:
    marks = list(_MARK.finditer(text))
    made = []
    before = text[: marks[0].start()] if marks else text
    if before.strip():
        made.append(_Section("", before.strip(), len(before)))
    for at, mark in enumerate(marks):
        end = marks[at + 1].start() if at + 1 < len(marks) else len(text)
        made.append(_Section(mark.lastgroup or "", text[mark.end() : end].strip(), end))
    return made


def _up_to_the_call(text: str) -> str:
    kinds = [section.kind for section in _sections(text)]
    if "action" not in kinds:
        return text
    at = kinds.index("action")
    at += at + 1 < len(kinds) and kinds[at + 1] == "input"
    return text[: _sections(text)[at].end].strip()


def _bare_call(text: str) -> Call | None:
    """The call that the text is, as the demo trains it, perhaps in a fence."""
    fenced = _FENCED.fullmatch(text.strip())
    read = call_in(fenced[1] if fenced else text)
    return Call(read["name"], read["arguments"]) if read else None


def _unquoted(text: str) -> str:
    if len(text) > 1 and text[0] == text[-1] and text[0] in "'\"`":
        return text[1:-1]
    return text
