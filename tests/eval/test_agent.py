"""The agent's evaluation over a model whose every turn is written down, with tools that run."""

import json

import pytest

from xtune.data.tool_calls import Call
from xtune.demos.agent_tools import AgentToolsSource
from xtune.eval import agent_turns
from xtune.eval.evaluate import measure
from xtune.eval.subject import Subject
from xtune.eval.tasks.agent import AgentEvaluation
from xtune.generation.reply import Reply, message_with
from xtune.models import load_model, load_tokenizer

ROWS = [
    ("6 * 7?", [("calculator", {"expression": "6 * 7"})], "It is 42.", ["42"], "single"),
    ("Hello", [], "Hello!", [], "no_tool"),
]


class Scripted:
    """Says the next of its turns for the request that it is asked."""

    native = True

    def __init__(self, script):
        self.script = {request: list(turns) for request, turns in script.items()}

    def __call__(self, *args, count, **kwargs):
        return self

    def answer(self, messages, tools, on_text, *, stop=()):
        request = next(m["content"] for m in messages if m["role"] == "user")
        turn = self.script[request].pop(0)
        message = message_with("", [turn]) if isinstance(turn, Call) else message_with(turn)
        return Reply(message, str(turn))

    def leave(self):
        pass

    def serve(self):
        pass


@pytest.fixture(scope="module")
def subject(parrot_folder):
    return Subject(load_model(str(parrot_folder)), load_tokenizer(str(parrot_folder)))


@pytest.fixture
def evaluation(tmp_path):
    tools = [
        each for _, row in AgentToolsSource(split="train", rows=1).rows() for each in row["tools"]
    ]
    lines = []
    for request, calls, answer, expect, kind in ROWS:
        messages = [{"role": "user", "content": request}]
        if calls:
            made = [{"type": "function", "function": {"name": n, "arguments": a}} for n, a in calls]
            messages += [{"role": "assistant", "content": "", "tool_calls": made}]
            messages += [{"role": "tool", "name": "calculator", "content": "42"}]
        messages.append({"role": "assistant", "content": answer})
        lines.append({"messages": messages, "tools": tools, "kind": kind, "expect": expect})
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return AgentEvaluation(data_path=str(path), tools={"calculator": {}})


@pytest.mark.parametrize(
    ("turns", "hello", "checks", "needless"),
    [
        ([Call("calculator", {"expression": "6*7"}), "42"], "Hi", (True, True, True), 0),
        ([Call("calculator", {"expression": "6+7"}), "42"], "Hi", (True, False, True), 0),
        ([Call("calculator", {"expression": "6*7"}), "142"], "Hi", (True, True, False), 0),
        (["42"], "Hi", (False, False, False), 0),
        (
            [Call("calculator", {"expression": "6*7"}), "42"],
            Call("calculator", {"expression": "1"}),
            (True, True, True),
            1,
        ),
    ],
)
def test_each_measure(subject, evaluation, monkeypatch, turns, hello, checks, needless):
    script = {"6 * 7?": turns, "Hello": [hello, "Hi"]}
    monkeypatch.setattr(agent_turns, "TogetherModel", Scripted(script))
    result = measure(subject, {"agent": evaluation})["agent"]
    first, second = result.rows
    assert tuple(first.metrics[name] for name in ("tool", "arguments", "answer")) == checks
    assert first.metrics["right"] == first.metrics["exact_calls"] == all(checks)
    assert result.overall == {"needless_calls": needless}
    assert second.metrics == dict.fromkeys(("right", "no_needless_calls"), float(needless == 0))
