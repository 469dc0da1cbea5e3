"""Every template, on every dialogue: the text, what is trained, and the tokens of both."""

from __future__ import annotations

from itertools import groupby
from pathlib import Path

import pytest

from tests.data.test_tool_calls import WITH_TOOLS
from tests.golden.dialogues import DIALOGUES
from tests.golden.rendering import (
    golden_names,
    golden_path,
    golden_template,
    golden_text,
    main_name,
    marked,
)
from xtune.data.formats import all_formats
from xtune.data.tokenize import Encoder
from xtune.registry import MAP_FNS, TEMPLATES, names
from xtune.structures import IGNORE_INDEX

REPOSITORY = Path(__file__).parents[2]


def refused(name, title) -> bool:
    """Whether the golden file says that the template has no place for this dialogue."""
    return f"======== {title}\nREFUSED" in golden_path(name).read_text(encoding="utf-8")


CASES = [
    pytest.param(name, conversation, id=f"{name}-{title.replace(' ', '_')}")
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


XTUNERS = """default zephyr internlm_chat internlm2_chat moss_sft llama2_chat code_llama_chat
    chatglm2 chatglm3 qwen_chat baichuan_chat baichuan2_chat wizardlm wizardcoder vicuna
    deepseek_coder deepseekcoder deepseek_moe deepseek_v2 mistral mixtral minicpm
    gemma cohere_chat llama3_chat phi3_chat"""
NEWER = """qwen3 qwen3_no_thinking llama3 llama3_1_chat gemma2 gemma3 phi4 phi4_mini deepseek_v3
    deepseek_r1 glm4 mistral_v3 internlm3 chatml chatml_tools alpaca bloom_chat openchat"""
SECOND_NAMES = {
    "code_llama_chat": "llama2_chat",
    "deepseek_moe": "deepseek_v2",
    "deepseekcoder": "deepseek_coder",
    "gemma2": "gemma",
    "gemma3": "gemma",
    "internlm3": "internlm2_chat",
    "llama3": "llama3_chat",
    "mixtral": "mistral",
    "wizardcoder": "alpaca",
    "wizardlm": "vicuna",
}


def test_every_registered_template_has_a_golden_file():
    assert {path.stem for path in golden_path("x").parent.glob("*.txt")} == set(golden_names())


def test_the_names_are_those_that_xtuner_had_and_those_of_newer_models():
    assert len(XTUNERS.split()) == 26
    assert set(names(TEMPLATES)) == {*XTUNERS.split(), *NEWER.split()}
    assert {n: main_name(n) for n in names(TEMPLATES) if main_name(n) != n} == SECOND_NAMES


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
    if len(samples) > 1 or name in ("opens_thinking", "deepseek_r1"):
        pytest.skip("rendered answer by answer")
    tokenizer.chat_template = template.jinja
    whole = tokenizer.apply_chat_template(
        conversation["messages"], tools=conversation.get("tools"), tokenize=False
    )
    assert "".join(span.text for span in samples[0]) == whole


@pytest.mark.parametrize("language", ["en", "zh"])
def test_every_name_stands_in_the_users_pages(language):
    page = (REPOSITORY / f"docs/{language}/data.md").read_text(encoding="utf-8")
    assert [name for name in names(TEMPLATES) if f"`{name}`" not in page] == []
    assert f" {len(names(TEMPLATES))} " in page


@pytest.mark.parametrize("name", WITH_TOOLS)
def test_calls_are_trained_and_tools_and_results_are_not(name):
    template, tokenizer = golden_template(name)
    for title in ("tools", "one call, its arguments as text"):
        if refused(name, title):  # by a template that takes one call at a time, or objects alone
            continue
        trained = masked = ""
        samples = template.samples_of(DIALOGUES[title])
        for sample in Encoder(tokenizer)(samples):
            on = sample.labels != IGNORE_INDEX
            trained += tokenizer.decode(sample.input_ids[on])
            masked += tokenizer.decode(sample.input_ids[~on])
        calls = 2 if title == "tools" else 1
        assert trained.count("weather") == trained.count("city") == calls
        assert "Rome" in trained
        assert ("In Rome." if calls == 2 else "It is.") in trained
        assert "degrees" not in trained
        assert "properties" not in trained
        assert "19 degrees" in masked


def test_every_template_with_tools_has_a_golden_call():
    for name in WITH_TOOLS:
        assert not (refused(name, "tools") and refused(name, "one call, its arguments as text"))


def test_moss_is_trained_on_its_thoughts_commands_and_answers_and_not_on_results():
    row = all_formats()["moss_003_sft"].row
    template, _ = golden_template("moss_sft")
    text = marked(template.spans(MAP_FNS.get("moss_003_sft")(row)))
    assert text.partition("<eoh>\n")[2] == (
        "«<|Inner Thoughts|>: It wants a product.<eot>\n"
        '<|Commands|>: Calculate("3*3")<eoc>»\n'
        '<|Results|>: Calculate("3*3") => 9<eor>\n'
        "<|MOSS|>:« Nine.<eom>»\n"
    )
