"""Every template, on every dialogue: the text, what is trained, and the tokens of both."""

from __future__ import annotations

from itertools import groupby

import pytest

from tests.golden.dialogues import DIALOGUES
from tests.golden.rendering import golden_names, golden_path, golden_template, golden_text
from xtune.data.tokenize import Encoder
from xtune.registry import TEMPLATES, names
from xtune.structures import IGNORE_INDEX


def refused(name, title) -> bool:
    """Whether the golden file says that the template has no place for this dialogue."""
    return f"======== {title}\nREFUSED" in golden_path(name).read_text(encoding="utf-8")


CASES = [
    pytest.param(name, conversation, id=f"{name}-{title.split()[0]}")
    for name in golden_names()
    for title, conversation in DIALOGUES.items()
    if not refused(name, title)
]


def trained_runs(sample) -> list[tuple[int, int]]:
    """Where each unbroken stretch of trained tokens begins and ends."""
    runs, place = [], 0
    for trained, group in groupby(sample.labels != IGNORE_INDEX):
        length = len(list(group))
        if trained:
            runs.append((place, place + length))
        place += length
    return runs


@pytest.mark.parametrize("name", golden_names())
def test_text_and_mask_are_those_of_the_golden_file(name):
    template, _ = golden_template(name)
    assert golden_text(template) == golden_path(name).read_text(encoding="utf-8")


def test_every_registered_template_has_a_golden_file():
    assert {path.stem for path in golden_path("x").parent.glob("*.txt")} == set(golden_names())
    assert set(names(TEMPLATES)) >= {
        "chatml",
        "default",
        "internlm2_chat",
        "internlm_chat",
        "llama2_chat",
        "llama3_chat",
    }


@pytest.mark.parametrize(("name", "conversation"), CASES)
def test_trained_tokens_are_the_trained_text(name, conversation):
    template, tokenizer = golden_template(name)
    samples = template.samples_of(conversation)
    for spans, sample in zip(samples, Encoder(tokenizer)(samples), strict=True):
        trained = [tokenizer.decode(sample.input_ids[a:b]) for a, b in trained_runs(sample)]
        assert trained == [span.text for span in spans if span.trained]
        ends = {
            tokenizer.convert_ids_to_tokens(int(sample.input_ids[b - 1]))
            for _, b in trained_runs(sample)
        }
        assert ends <= {*template.stop_words, "<|eom_id|>"}


@pytest.mark.parametrize(("name", "conversation"), CASES)
def test_prompt_tokens_are_those_of_apply_chat_template(name, conversation):
    template, tokenizer = golden_template(name)
    samples = template.samples_of(conversation)
    tokenizer.chat_template = template.jinja
    messages = conversation["messages"]
    expected = [
        tokenizer.apply_chat_template(
            messages[:index],
            tools=conversation.get("tools"),
            add_generation_prompt=True,
            return_dict=False,
        )
        for index, message in enumerate(messages)
        if message["role"] == "assistant" and message.get("loss", True)
    ]
    prompts = [
        sample.input_ids[:begin].tolist()
        for sample in Encoder(tokenizer)(samples)
        for begin, _ in trained_runs(sample)
    ]
    assert prompts == expected


@pytest.mark.parametrize(("name", "conversation"), CASES)
def test_whole_text_is_that_of_apply_chat_template(name, conversation):
    template, tokenizer = golden_template(name)
    samples = template.samples_of(conversation)
    if len(samples) > 1 or name == "opens_thinking":
        pytest.skip("rendered answer by answer")
    tokenizer.chat_template = template.jinja
    whole = tokenizer.apply_chat_template(
        conversation["messages"], tools=conversation.get("tools"), tokenize=False
    )
    assert "".join(span.text for span in samples[0]) == whole
