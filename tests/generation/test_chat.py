"""`ChatModel.chat`: one call from a question to a reply, for Python and notebooks."""

import dataclasses
import inspect

import pytest

from tests.agents.scripted import Box
from tests.agents.test_local import ASK, local
from xtune.errors import DataError, UsageError
from xtune.generation.model import ChatModel
from xtune.generation.settings import GenerationSettings

HI = {"role": "user", "content": "Who are you?"}


def test_a_question_gives_a_reply_that_prints_as_its_text(parrot):
    reply = parrot.chat("Who are you?")
    assert str(reply) == reply.text == "A parrot."
    assert reply.message == {"role": "assistant", "content": "A parrot."}
    assert reply.ended_by == "stop"
    assert parrot.chat([HI]) == reply
    assert parrot.chat([HI], max_new_tokens=1).ended_by == "length"


def test_it_is_streamed_to_a_function_or_printed(parrot, capsys):
    pieces = []
    assert parrot.chat("Who are you?", stream=pieces.append).text == "".join(pieces) == "A parrot."
    assert len(pieces) > 1
    assert capsys.readouterr().out == ""
    parrot.chat("Who are you?", stream=True)
    assert capsys.readouterr().out == "A parrot.\n"


def test_an_interrupt_ends_the_answer_where_it_stands(parrot):
    pieces = []

    def interrupt(piece):
        pieces.append(piece)
        raise KeyboardInterrupt

    reply = parrot.chat("Who are you?", stream=interrupt)
    assert reply.ended_by == "interrupt"
    assert "A parrot.".startswith(reply.text)


def test_the_system_prompt_of_the_training_stands_first_unless_one_is_given(parrot):
    trained = dataclasses.replace(parrot, system="Speak.")
    own = {"role": "system", "content": "Sing."}
    assert trained.dialogue("Hi")[0] == {"role": "system", "content": "Speak."}
    assert [m["content"] for m in trained.dialogue([own, HI])] == ["Sing.", "Who are you?"]
    assert [m["content"] for m in trained.dialogue([{**own, "content": ""}, HI])][0] == ""
    assert len(parrot.dialogue([HI])) == 1


@pytest.mark.parametrize(
    ("messages", "error", "said"),
    [
        ([HI, {"role": "assistant", "content": "A."}], UsageError, "ends with a message of role"),
        ([{"role": "system", "content": "A."}], UsageError, "must end with what is to be answered"),
        ([], DataError, "no messages"),
        (["Hi"], DataError, "message 1 must be an object with a role"),
        ([{"role": "usr", "content": "Hi"}], DataError, "did you mean 'user'"),
    ],
)
def test_what_is_no_question_is_refused(parrot, messages, error, said):
    with pytest.raises(error, match=said):
        parrot.chat(messages)


def test_tools_that_the_template_would_leave_out_are_refused(parrot):
    tool = {"type": "function", "function": {"name": "now", "parameters": {"type": "object"}}}
    with pytest.raises(UsageError, match="does not write calls of tools: leave tools out"):
        parrot.chat("What time is it?", tools=[tool])


def test_a_call_is_read_and_is_no_part_of_what_is_streamed():
    call = '<tool_call>\n{"name": "add", "arguments": {"a": 1, "b": 2}}\n</tool_call>'
    agents_model, llm, _, tokenizer = local("chatml", f"I add.\n{call}<|im_end|>", "3.<|im_end|>")
    model = agents_model._model
    pieces = []
    reply = model.chat([ASK], tools=Box().schemas(), stream=pieces.append)
    assert ("".join(pieces), reply.text) == ("I add.\n", "I add.")
    assert reply.message["tool_calls"][0]["function"] == {
        "name": "add",
        "arguments": {"a": 1, "b": 2},
    }
    result = {"role": "tool", "content": "3"}
    assert model.chat([ASK, reply.message, result], tools=Box().schemas()).text == "3."
    assert call in tokenizer.decode(llm.prompts[1])
    assert len(llm.prompts[0]) == model.count_tokens([ASK], Box().schemas())


def test_settings_are_those_of_the_record():
    """They are written out, so that an editor completes them; this keeps the two alike."""
    parameters = inspect.signature(ChatModel.chat).parameters
    for field in dataclasses.fields(GenerationSettings):
        assert parameters[field.name].default == field.default


@pytest.mark.parametrize(("name", "value"), [("temperature", -1), ("top_p", 0), ("top_k", -2)])
def test_a_setting_out_of_range_is_refused_before_anything_is_computed(parrot, name, value):
    with pytest.raises(UsageError, match=f"{name} is {value}; allowed:"):
        parrot.chat("Hi", **{name: value})


def test_other_quantizations_than_there_are(parrot_folder):
    with pytest.raises(UsageError, match="bits is 3; allowed: 4, 8"):
        ChatModel.load(parrot_folder, bits=3)
