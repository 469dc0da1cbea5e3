"""MSAgent's form: what is trained is what a model writes, is read, and is shown it again."""

from __future__ import annotations

import json

import pytest

from tests.agents.scripted import Box, Scripted, trace
from tests.agents.test_local import local
from tests.golden.rendering import golden_template
from xtune.agents.build import build_agent
from xtune.agents.calling import approve_all
from xtune.agents.msagent_form import MSAgentForm, exec_block, think_block
from xtune.agents.react import ReAct
from xtune.agents.react_text import ReActForm
from xtune.agents.session import AgentSession
from xtune.data.map_fns.msagent import msagent_map_fn
from xtune.data.map_fns.msagent_react import msagent_react_map_fn
from xtune.data.pipeline import Pipeline
from xtune.data.tool_calls import Call
from xtune.generation.generate import prompt_ids
from xtune.generation.reply import Reply
from xtune.generation.settings import GenerationSettings
from xtune.structures import IGNORE_INDEX

ASK = {"role": "user", "content": "1 + 2?"}
ADD = Call("add", {"a": 1, "b": 2})
THINK = think_block(ADD)


def row(box, said="I add.\n", result="3", call=ADD):
    """A row as MSAgent-Bench has them: call and result stand in the answer."""
    answer = f"{said}{think_block(call)}\n\n{exec_block(result)}\nThree."
    return {
        "conversations": [
            {"from": "system", "value": MSAgentForm(box).instructions},
            {"from": "user", "value": "1 + 2?"},
            {"from": "assistant", "value": answer},
        ]
    }


class Rows:
    def __init__(self, *rows):
        self._rows = rows

    def rows(self):
        return (("here", row) for row in self._rows)


def sample_of(row, template, tokenizer):
    """As it is trained, through the whole of the data's way."""
    pipeline = Pipeline(
        Rows(row), msagent_map_fn, template, tokenizer, max_length=4000, max_rows=None
    )
    (sample,) = next(iter(pipeline.chunks()))
    return sample


def answers_of(sample):
    """The ids of each unbroken stretch of trained tokens."""
    runs, before = [], False
    for token, label in zip(sample.input_ids.tolist(), sample.labels.tolist(), strict=True):
        if label != IGNORE_INDEX:
            runs[len(runs) - 1 :] = [[*runs[-1], token]] if before else [*runs[-1:], [token]]
        before = label != IGNORE_INDEX
    return runs


@pytest.mark.parametrize("name", ["default", "chatml", "qwen_chat", "internlm2_chat", "smollm2"])
@pytest.mark.parametrize("said", ["I add.\n", ""])
@pytest.mark.parametrize("result", ["3", 'He said "no".\n漢 <|im_end|><eoh>'])
def test_trained_written_parsed_called_and_rendered_as_trained(name, said, result):
    box = Box(add=lambda a, b: result)
    template, tokenizer = golden_template(name)
    sample = sample_of(row(box, said, result), template, tokenizer)
    first, second = answers_of(sample)
    model, llm, *_ = local(name, first, second)
    agent = build_agent("react", model, box, max_turns=5, approve=approve_all, trained_on="msagent")
    session = AgentSession(agent, model, box, settings=GenerationSettings())
    outcome = session.pursue("1 + 2?")
    assert trace(outcome) == [
        ("call", "add", {"a": 1, "b": 2}, result),
        ("answer", "", {}, "Three."),
    ]
    assert outcome.steps[0].thought == said.strip()
    ids = sample.input_ids.tolist()
    for prompt in llm.prompts:
        assert ids[: len(prompt)] == prompt
    assert len(llm.prompts[1]) + len(second) == len(ids)


def test_saved_and_loaded_it_renders_to_the_same_tokens(tmp_path):
    box = Box()
    template, tokenizer = golden_template("chatml")
    sample = sample_of(row(box), template, tokenizer)
    model, *_ = local("chatml", *answers_of(sample))
    agent = build_agent("react", model, box, max_turns=5, approve=approve_all, trained_on="msagent")
    session = AgentSession(agent, model, box, settings=GenerationSettings())
    session.pursue("1 + 2?")
    before = prompt_ids(tokenizer_of(template, tokenizer), session.messages)
    session.save(tmp_path / "saved.json")
    session.reset()
    session.load(tmp_path / "saved.json")
    assert prompt_ids(tokenizer, session.messages) == before
    assert before[: len(sample)] == sample.input_ids.tolist()


def tokenizer_of(template, tokenizer):
    tokenizer.chat_template = template.jinja
    return tokenizer


def reply(written):
    return Reply({"role": "assistant", "content": written}, written)


@pytest.mark.parametrize(
    ("written", "why"),
    [
        ("<|startofthink|>add 1 2<|endofthink|>", "the call is no JSON"),
        ('<|startofthink|>{"api_name": 3}<|endofthink|>', "a call is"),
        ("<|startofthink|>[]", "a call is"),
        ('<|startofthink|>{"api_name": "add", "parameters": [1]}', "a call is"),
        ('<|startofthink|>{"api_name": "add", "parameters": {"a": NaN}}', "NaN is no JSON"),
        ("<|startofthink|>" + "[" * 100_000, "the call is no JSON"),
        (" ", "it is empty"),
    ],
)
def test_what_is_no_call_is_told_why(written, why):
    assert why in MSAgentForm(Box()).read(reply(written)).malformed


@pytest.mark.parametrize(
    "written",
    [
        THINK,
        THINK.removesuffix("<|endofthink|>"),  # the stop word that ended it
        f"{THINK}\n{exec_block('7')}\nSeven.",  # a result of its own making
        f"{THINK}<|im_end|>",
        THINK.replace("```JSON\n", "").replace("\n```", ""),
    ],
)
def test_a_call_is_read_up_to_its_end(written):
    form = MSAgentForm(Box())
    turn = form.read(reply(written))
    assert turn.calls == (ADD,)
    message = form.said(reply(written), turn)["content"]
    assert message.endswith("<|endofthink|>")
    assert "startofexec" not in message


def test_the_tools_stand_in_the_data_sets_own_form():
    box = Box()
    made = msagent_react_map_fn(row(box))["messages"][0]["content"]
    assert "- add：Does add. 参数：[{" in made
    assert "[add, shout, fail]" in made


def test_the_notes_of_the_training_choose_the_form():
    box, model = Box(), Scripted(native=True)
    forms = {
        trained_on: type(
            build_agent(
                "react", model, box, max_turns=1, approve=approve_all, trained_on=trained_on
            )._form
        )  # fmt: skip
        for trained_on in ("", "openai", "msagent", "msagent_react")
    }
    assert forms["msagent"] is MSAgentForm
    assert forms["msagent_react"] is ReActForm
    assert forms[""] is forms["openai"] is not MSAgentForm


def test_several_questions_and_an_unknown_tool():
    unknown = think_block(Call("sub", {}))
    outcome = ReAct(Scripted(unknown, "Sorry."), box := Box(), MSAgentForm(box)).run([ASK])
    assert outcome.steps[0].ok is False
    assert "there is no tool 'sub'" in outcome.messages[1]["content"]


def test_a_models_training_notes_reach_the_agent(tmp_path, monkeypatch):
    """`xtune chat --lagent` with an adapter whose notes say msagent."""
    from xtune.generation import model as home

    _, _, template, tokenizer = local("chatml")
    (tmp_path / "xtune.json").write_text(json.dumps({"map_fn": "msagent"}))
    (tmp_path / "adapter_config.json").write_text("{}")
    monkeypatch.setattr(home, "load_tokenizer", lambda path: tokenizer)
    monkeypatch.setattr(home, "load_model", lambda *_, **__: local("chatml")[1])
    monkeypatch.setattr("xtune.models.load_adapter", lambda llm, folder: llm)
    loaded = home.ChatModel.load("smollm2", adapter=tmp_path)
    assert loaded.trained_on == "msagent"
