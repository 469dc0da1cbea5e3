"""Our own model as agents see it: a llama that writes the tokens of a script, all else real."""

from __future__ import annotations

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from tests.agents.scripted import Box, Seen, trace
from tests.data.test_tool_calls import WITH_TOOLS
from tests.golden.rendering import golden_template
from xtune.agents.forms import NativeForm
from xtune.agents.local import LocalModel
from xtune.agents.moss_form import MossForm
from xtune.agents.react import ReAct
from xtune.agents.react_text import ReActForm
from xtune.data.tokenize import Encoder
from xtune.data.tool_calls import Call
from xtune.generation.model import ChatModel
from xtune.generation.settings import GenerationSettings
from xtune.structures import IGNORE_INDEX

ASK = {"role": "user", "content": "1 + 2?"}
ADD = Call("add", {"a": 1, "b": 2})
SETTINGS = GenerationSettings(max_new_tokens=400)


class TokenScript(LlamaForCausalLM):
    """Writes token after token of the next script until it is stopped; keeps its prompts."""

    def generate(self, input_ids, stopping_criteria, **_):
        self.prompts.append(input_ids[0].tolist())
        for token in self.scripts.pop(0):
            input_ids = torch.cat([input_ids, torch.tensor([[token]])], 1)
            if stopping_criteria(input_ids, None).all():
                break
        return input_ids


def local(name, *scripts):
    template, tokenizer = golden_template(name)
    tokenizer.chat_template = template.jinja
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=8,
        intermediate_size=8,
        num_hidden_layers=1,
        num_attention_heads=1,
        max_position_embeddings=8192,
    )
    llm = TokenScript(config)
    llm.scripts = [
        tokenizer.encode(script, add_special_tokens=False) if isinstance(script, str) else script
        for script in scripts
    ]
    llm.prompts = []
    model = ChatModel(llm, tokenizer, stop_words=tuple(template.stop_words))
    return LocalModel(model, SETTINGS), llm, template, tokenizer


def trained_ids(name, dialogue):
    template, tokenizer = golden_template(name)
    sample = Encoder(tokenizer)(template.samples_of(dialogue))[-1]
    return sample.input_ids[sample.labels != IGNORE_INDEX].tolist()


@pytest.mark.parametrize("name", WITH_TOOLS)
def test_a_call_as_it_was_trained_is_made_and_the_next_prompt_is_the_trained_one(name):
    box = Box()
    answer = {"role": "assistant", "content": "", "tool_calls": [ADD.as_message_part()]}
    result = {"role": "tool", "content": "3"}
    last = {"role": "assistant", "content": "Three."}
    tools = box.schemas()
    first = trained_ids(name, {"tools": tools, "messages": [ASK, answer]})
    # The trained tokens of both answers, of which the second are those after the first
    both = trained_ids(name, {"tools": tools, "messages": [ASK, answer, result, last]})
    second = both[len(first) :] if both[: len(first)] == first else both
    model, llm, template, tokenizer = local(name, first, second)
    assert model.native
    seen = Seen()
    outcome = ReAct(model, box, NativeForm(box)).run([ASK], seen)
    assert trace(outcome) == [
        ("call", "add", {"a": 1, "b": 2}, "3"),
        ("answer", "", {}, "Three."),
    ]
    assert "tool_call>" not in seen.written
    assert "parameters" not in seen.written
    samples = template.samples_of({"tools": tools, "messages": [ASK, answer, result, last]})
    # One sample, or one for each answer where the template shows earlier answers otherwise
    encoded = Encoder(tokenizer)(samples * (2 // len(samples)))
    for prompt, sample in zip(llm.prompts, encoded, strict=True):
        assert sample.input_ids[: len(prompt)].tolist() == prompt


def test_a_call_that_is_no_json_is_repaired():
    model, _, _, _ = local("chatml", "I add.\n<tool_call>\n{'name'<|im_end|>", "It is 3.<|im_end|>")
    box, seen = Box(), Seen()
    outcome = ReAct(model, box, NativeForm(box)).run([ASK], seen)
    assert [step.kind for step in outcome.steps] == ["repair", "answer"]
    assert "the call is no JSON" in outcome.steps[0].result
    assert seen.written == "I add.\nIt is 3."


def test_a_template_without_tools_is_given_react_and_stops_before_the_observation():
    text = 'Action: add\nAction Input: {"a": 1, "b": 2}\nObservation: 7\nFinal Answer: 7'
    model, llm, _, tokenizer = local("smollm2", text, "Final Answer: 3<|im_end|>")
    assert not model.native
    box = Box()
    form = ReActForm(box, takes_role=model.takes_role)
    outcome = ReAct(model, box, form).run([ASK])
    assert (outcome.answer, box.called) == ("3", [("add", {"a": 1, "b": 2})])
    assert outcome.messages[1] == {"role": "tool", "content": "3", "name": "add"}
    assert "7" not in tokenizer.decode(llm.prompts[1])


def test_mosss_special_tokens_stay_in_the_next_prompt():
    thinks = '<|Inner Thoughts|>: Sum.<eot>\n<|Commands|>: Calculate("1+2")<eoc>'
    model, llm, _, tokenizer = local("moss_sft", thinks, " Three.<eom>")
    box = Box(calculator=lambda expression: 3)
    outcome = ReAct(model, box, MossForm(["calculate"])).run([ASK])
    assert (outcome.answer, box.called) == ("Three.", [("calculator", {"expression": "1+2"})])
    assert tokenizer.decode(llm.prompts[1]).endswith(
        f'1 + 2?<eoh>\n{thinks}\n<|Results|>: Calculate("1+2") =>\n3<eor>\n<|MOSS|>:'
    )
    for token in ("<eot>", "<eoc>", "<eor>"):
        assert tokenizer.convert_tokens_to_ids(token) in llm.prompts[1]


def test_which_roles_a_template_shows():
    assert [local("smollm2")[0].takes_role(role) for role in ("user", "tool")] == [True, True]
    assert local("gemma")[0].takes_role("tool") is False


def test_tools_count_for_the_context():
    model, _, _, _ = local("chatml")
    assert model.count_tokens([ASK], Box().schemas()) > model.count_tokens([ASK], []) + 50
