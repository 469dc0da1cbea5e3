"""MOSS's plugins: what the model writes is run, and stays in the dialogue as it was trained."""

from __future__ import annotations

import pytest

from tests.agents.scripted import Box, Scripted
from tests.golden.rendering import golden_template
from xtune.agents.moss_form import MossForm
from xtune.agents.react import ReAct
from xtune.data.map_fns.moss_003_sft import moss_003_sft_map_fn
from xtune.data.templates.render import Renderer
from xtune.generation.reply import Reply

THINKS = '<|Inner Thoughts|>: It wants a product.<eot>\n<|Commands|>: Calculate("3*3")<eoc>'
NOTHING = "<|Inner Thoughts|>: None<eot>\n<|Commands|>: None<eoc>"
ASK = {"role": "user", "content": "3 * 3?"}


def reply(written, text=""):
    return Reply({"role": "assistant", "content": text}, written)


def run(*replies, plugins=("calculate",)):
    box = Box(calculator=lambda expression: {"3*3": 9}[expression])
    agent = ReAct(Scripted(*replies), box, MossForm(plugins))
    return agent.run([ASK]), box


def test_a_command_is_run_and_the_dialogue_renders_as_in_training():
    outcome, box = run(reply(THINKS), reply(" Nine.<eom>", "Nine."))
    assert box.called == [("calculator", {"expression": "3*3"})]
    assert [(s.kind, s.thought, s.result) for s in outcome.steps] == [
        ("call", "It wants a product.", "9"),
        ("answer", "", "Nine."),
    ]
    row = {
        "chat": {
            "turn_1": {
                "Human": "<|Human|>: 3 * 3?<eoh>\n",
                "Inner Thoughts": "<|Inner Thoughts|>: It wants a product.<eot>\n",
                "Commands": '<|Commands|>: Calculate("3*3")<eoc>\n',
                "Tool Responses": '<|Results|>: Calculate("3*3") =>\n9<eor>\n',
                "MOSS": "<|MOSS|>: Nine.<eom>\n",
            }
        }
    }
    trained = moss_003_sft_map_fn(row)["messages"]
    assert [ASK, *outcome.messages] == trained
    template, tokenizer = golden_template("moss_sft")
    render = Renderer(template.jinja, tokenizer)
    text = "".join(span.text for span in template.spans({"messages": trained}))
    assert render([ASK, *outcome.messages]) == text
    assert all(token in text for token in ("<eoh>", "<eot>", "<eoc>", "<eor>", "<eom>"))


def test_no_command_is_a_turn_of_its_own():
    outcome, box = run(reply(NOTHING), reply(" Hello.<eom>", "Hello."))
    assert (outcome.answer, box.called) == ("Hello.", [])
    assert [message["content"] for message in outcome.messages] == [NOTHING, "None", "Hello."]


def test_a_stop_word_that_is_no_token_is_completed():
    outcome, _ = run(reply(THINKS.removesuffix("<eoc>")), reply("Nine.", "Nine."))
    assert outcome.messages[0]["content"] == THINKS


@pytest.mark.parametrize("command", ['Solve("x=1")', 'Text2Image("a fjord")'])
def test_a_plugin_that_is_off_is_no_tool(command):
    written = f"<|Inner Thoughts|>: x<eot>\n<|Commands|>: {command}<eoc>"
    outcome, _ = run(reply(written), reply("Sorry.", "Sorry."))
    assert outcome.steps[0].ok is False
    assert "there is no tool" in outcome.messages[1]["content"]


def test_thoughts_without_commands_are_malformed():
    outcome, _ = run(reply("<|Inner Thoughts|>: hm"), reply("Nine.", "Nine."))
    assert [step.kind for step in outcome.steps] == ["repair", "answer"]


def test_the_instructions_are_mosss_own():
    from xtune.data.templates.system_texts import SYSTEM_TEXTS

    all_on = MossForm(["calculate", "solve", "search"]).instructions
    assert SYSTEM_TEXTS["moss_sft"].strip().endswith(all_on)
    assert "- Web search: disabled." in MossForm(["calculate"]).instructions
