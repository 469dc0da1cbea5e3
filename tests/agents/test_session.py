"""What a dialogue with an agent keeps and saves, and that it renders as it would be trained."""

from __future__ import annotations

import io
import json

import pytest

from tests.agents.scripted import Box, Scripted, native
from tests.data.test_tool_calls import WITH_TOOLS
from tests.golden.rendering import golden_template
from xtune.agents.forms import NativeForm
from xtune.agents.react import ReAct
from xtune.agents.react_text import ReActForm
from xtune.agents.session import AgentSession
from xtune.agents.show import AgentRepl
from xtune.chat.commands import run_command
from xtune.data.map_fns.openai import openai_map_fn
from xtune.data.templates.render import Renderer
from xtune.data.tokenize import Encoder
from xtune.data.tool_calls import Call
from xtune.generation.settings import GenerationSettings

SETTINGS = GenerationSettings(max_new_tokens=20)
SUM = {"a": 1, "b": 2}
TEXT = ['Thought: x\nAction: add\nAction Input: {"a": 1, "b": 2}', "Final Answer: It is 3."]
DEMO = ['{"name": "add", "arguments": {"a": 1, "b": 2}}', "It is 3."]
CALLS = [native("", Call("add", SUM)), native("It is 3.")]


def session_of(replies, form, *, system="Be brief.", context=None, **options):
    model = Scripted(*replies)
    model.context = context
    model.count_tokens = lambda messages, tools: sum(len(m["content"]) for m in messages)
    box = Box()
    agent = ReAct(model, box, form(box), **options)
    return AgentSession(agent, model, box, settings=SETTINGS, system=system), model, box


@pytest.mark.parametrize(
    ("name", "replies", "form"),
    [
        ("smollm2", DEMO, ReActForm),  # the demo's template, and a call as the demo trains it
        ("smollm2", TEXT, ReActForm),
        *((name, CALLS, NativeForm) for name in WITH_TOOLS),
    ],
)
def test_a_saved_dialogue_loads_again_and_renders_as_in_training(name, replies, form, tmp_path):
    session, model, _ = session_of(replies, form)
    assert "3" in session.pursue("1 + 2?").answer
    assert [message["role"] for message in session.history][0::3] == ["user", "assistant"]
    session.save(tmp_path / "chat.json")

    other, _, _ = session_of([], form, system="another")
    other.load(tmp_path / "chat.json")
    assert other.system == "Be brief."
    assert other.messages == session.messages

    template, tokenizer = golden_template(name)
    render = Renderer(template.jinja, tokenizer)
    row = json.loads((tmp_path / "chat.json").read_text(encoding="utf-8"))
    trained = openai_map_fn(row)
    samples = template.samples_of(trained)
    texts = ["".join(span.text for span in sample) for sample in samples]
    encode = lambda text: tokenizer.encode(text, add_special_tokens=False)  # noqa: E731
    rendered = render(other.messages, other.tools)
    if len(texts) == 1:  # else the template shows earlier answers otherwise than it trains them
        assert encode(rendered) == encode(texts[0])
        samples *= len(model.asked)
    # Each prompt that the model was given is what stands before that answer in training
    for asked, sample in zip(model.asked, Encoder(tokenizer)(samples), strict=True):
        prompt = encode(render(asked, session.tools, add_generation_prompt=True))
        assert sample.input_ids[: len(prompt)].tolist() == prompt


def test_the_instructions_stand_in_the_system_message_once():
    session, model, _ = session_of(DEMO * 2, ReActForm)
    session.pursue("1 + 2?")
    session.pursue("And again?")
    systems = [m for m in model.asked[-1] if m["role"] == "system"]
    assert len(systems) == 1
    assert systems[0]["content"].startswith("Be brief.\nYou can use these tools:\n- add: Does add.")


def test_no_answer_leaves_no_trace_in_the_history():
    session, _, _ = session_of([*DEMO, *["Thought: hm"] * 5], ReActForm, max_turns=3)
    session.pursue("1 + 2?")
    before = session.messages
    assert session.pursue("And?").ended_by == "malformed"
    assert session.messages == before


def test_an_error_of_the_model_leaves_no_trace_either():
    session, _, _ = session_of([ValueError("lost")], ReActForm)
    with pytest.raises(ValueError, match="lost"):
        session.pursue("1 + 2?")
    assert session.history == []


def test_whole_turns_go_when_the_context_is_full():
    session, model, _ = session_of([*TEXT, "Final Answer: yes"], ReActForm)
    notices = []
    session._notice = notices.append
    session.pursue("1 + 2? " + "x" * 300)
    model.context = model.count_tokens(session.messages, []) + 200
    session.pursue("z" * 300)
    assert "forgot the oldest turn" in notices[0]
    assert session.history[0]["content"] == "z" * 300


def test_reset_forgets_what_tools_keep():
    session, _, box = session_of(DEMO, ReActForm)
    session.pursue("1 + 2?")
    run_command("/reset", session, lambda text: None)
    assert (session.history, box.stopped) == ([], 1)


def test_a_pipe_gets_answers_alone_and_the_steps_go_elsewhere():
    answers, notices = io.StringIO(), io.StringIO()
    session, _, _ = session_of([*TEXT, *["Thought: hm"] * 5], ReActForm)
    repl = AgentRepl(answers=answers, notices=notices)
    assert repl.run(["1 + 2?", "And?"], session) == 0
    assert repl.unanswered == 1
    assert answers.getvalue() == "It is 3.\n"
    shown = notices.getvalue()
    assert '→ add {"a": 1, "b": 2}\n← 3  (0.0 s)\n' in shown
    assert "the message is forgotten" in shown


def test_json_lines():
    answers = io.StringIO()
    session, _, _ = session_of(TEXT, ReActForm)
    AgentRepl(answers=answers, notices=io.StringIO(), as_json=True).run(["1 + 2?"], session)
    lines = [json.loads(line) for line in answers.getvalue().splitlines()]
    assert [(line["step"], line["kind"], line["result"]) for line in lines] == [
        (1, "call", "3"),
        (2, "answer", "It is 3."),
    ]


def test_ctrl_c_returns_to_the_prompt():
    session, _, box = session_of([KeyboardInterrupt, *DEMO], ReActForm)
    answers, notices = io.StringIO(), io.StringIO()
    repl = AgentRepl(answers=answers, notices=notices)
    assert repl.run(["1 + 2?", "1 + 2?"], session) == 0
    assert "stopped by Ctrl-C" in notices.getvalue()
    assert answers.getvalue() == "It is 3.\n"
    assert (box.stopped, repl.unanswered) == (1, 0)
