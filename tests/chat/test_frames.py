"""What a model writes as it was trained to is read as the answer's own text, for every template."""

from __future__ import annotations

import pytest

from tests.golden.rendering import golden_template, main_name
from xtune.data.templates.render import Renderer
from xtune.data.tokenize import Encoder
from xtune.generation.answer import Answer
from xtune.registry import TEMPLATES, names
from xtune.structures import IGNORE_INDEX

MAIN = [name for name in names(TEMPLATES) if main_name(name) == name]
CONTENTS = ["Four.", "Line.\n\n    indented", "é 漢 👍", "a", "ends in a dot . "]


def said(template, tokenizer, content) -> tuple[str, str]:
    """The text of an answer whose tokens are the trained ones, and what was shown of it."""
    dialogue = [{"role": "user", "content": "2 + 2?"}, {"role": "assistant", "content": content}]
    (sample,) = Encoder(tokenizer)(template.samples_of({"messages": dialogue}))
    ids = sample.input_ids[sample.labels != IGNORE_INDEX].tolist()
    stops = tokenizer.convert_tokens_to_ids(list(template.stop_words))
    answer = Answer(tokenizer, stop_ids=stops, frame=template.frame)
    shown = "".join(map(answer.push, ids)) + answer.finish()
    assert answer.ended
    return answer.text, shown


@pytest.mark.parametrize("content", CONTENTS)
@pytest.mark.parametrize("name", MAIN)
def test_the_answer_is_its_own_text(name, content):
    template, tokenizer = golden_template(name)
    stripped = content.strip() if name in ("cohere_chat", "gemma", "minicpm") else content
    if name in ("llama3_chat", "llama3_1_chat", "mistral_v3"):
        stripped = content.strip()
    assert said(template, tokenizer, content) == (stripped, stripped)


@pytest.mark.parametrize("name", MAIN)
def test_the_next_prompt_holds_the_answer_as_it_was_trained(name):
    """The second turn of a chat is the second turn of a trained dialogue."""
    template, tokenizer = golden_template(name)
    content, _ = said(template, tokenizer, "Four.")
    dialogue = [
        {"role": "user", "content": "2 + 2?"},
        {"role": "assistant", "content": content},
        {"role": "user", "content": "And 3?"},
    ]
    trained = [*dialogue, {"role": "assistant", "content": "Seven."}]
    spans = template.samples_of({"messages": trained})[-1]
    first = next(i for i in reversed(range(len(spans))) if spans[i].trained)
    prompt = Renderer(template.jinja, tokenizer)(dialogue, add_generation_prompt=True)
    assert prompt == "".join(span.text for span in spans[:first])


def test_an_answer_that_does_not_begin_as_the_template_does_is_whole():
    template, tokenizer = golden_template("moss_sft")
    assert template.frame == ("<|MOSS|>: ", "")
    answer = Answer(tokenizer, frame=template.frame)
    text = "<|Inner Thoughts|>: None"
    shown = "".join(map(answer.push, tokenizer.encode(text, add_special_tokens=False)))
    assert shown + answer.finish() == answer.text == text


def test_what_is_cut_off_keeps_its_last_space():
    _, tokenizer = golden_template("llama2_chat")
    answer = Answer(tokenizer, frame=(" ", " "))
    for token in tokenizer.encode(" So it is ", add_special_tokens=False):
        answer.push(token)
    answer.finish()
    assert (answer.text, answer.ended_by) == ("So it is ", "length")
