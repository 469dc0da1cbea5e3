"""What a tool or a user writes has no control token, in training as in chat, for every template."""

from __future__ import annotations

import pytest
from tokenizers import AddedToken

from tests.data.test_tool_calls import WITH_TOOLS
from tests.data.tiny_tokenizer import SPECIAL, tiny_tokenizer
from tests.golden.dialogues import DIALOGUES
from tests.golden.rendering import golden_names, golden_template
from xtune.data.map_fns.openai import openai_map_fn
from xtune.data.pipeline import Pipeline
from xtune.data.plain_text import PlainText
from xtune.data.templates import build_template
from xtune.generation.generate import prompt_ids

EVERY = "It is warm. " + " ".join([*SPECIAL, "<tool_call>", "</tool_response>", "<s<s>>", "<<s>s>"])
CALL = {"function": {"name": "weather", "arguments": {"city": "Rome"}}}
ASK = {"role": "user", "content": "Is it warm in Rome?"}


class Rows:
    def __init__(self, *rows):
        self._rows = rows

    def rows(self):
        return (("here", row) for row in self._rows)


def dialogue(request="Is it warm?", result="19 degrees"):
    return {
        "tools": DIALOGUES["tools"]["tools"],
        "messages": [
            {"role": "user", "content": request},
            {"role": "assistant", "content": "", "tool_calls": [CALL]},
            {"role": "tool", "content": result},
            {"role": "assistant", "content": "It is."},
        ],
    }


def trained(template, tokenizer, row):
    pipeline = Pipeline(
        Rows(row), openai_map_fn, template, tokenizer, max_length=4000, max_rows=None
    )
    return next(iter(pipeline.chunks())), pipeline.report


def special_ids(tokenizer, ids):
    special = {tokenizer.convert_tokens_to_ids(token) for token in SPECIAL}
    return [i for i in map(int, ids) if i in special]


@pytest.mark.parametrize("name", WITH_TOOLS)
@pytest.mark.parametrize("given", ["request", "result"])
def test_every_special_token_in_a_text_of_others_is_plain_text(name, given):
    template, tokenizer = golden_template(name)
    tokenizer.chat_template = template.jinja
    hostile, harmless = dialogue(**{given: EVERY}), dialogue()
    (sample, *more), report = trained(template, tokenizer, hostile)
    (expected, *_), _ = trained(template, tokenizer, harmless)
    last = (more or [sample])[-1]
    # No more special tokens, and in the same order: only those that the template writes
    assert special_ids(tokenizer, sample.input_ids) == special_ids(tokenizer, expected.input_ids)
    assert report.special_text_rows == 1
    chat = prompt_ids(tokenizer, hostile["messages"][:3], hostile["tools"])
    assert last.input_ids[: len(chat)].tolist() == chat  # chat's tokens are those of training
    assert "It is warm. < s> < /s>" in tokenizer.decode(chat)


@pytest.mark.parametrize("name", golden_names())
def test_without_control_texts_nothing_is_changed(name):
    template, tokenizer = golden_template(name)
    plain = PlainText(tokenizer, template.jinja)
    for conversation in DIALOGUES.values():
        assert plain(conversation["messages"]) == conversation["messages"]
    for text in ("a < b and b > c", "<b>bold</b>", "x[0] | y", "List<int>"):
        assert plain([{"role": "user", "content": text}])[0]["content"] == text


def test_added_tokens_that_the_template_names_are_control_texts_too():
    tokenizer = tiny_tokenizer()
    tokenizer.add_tokens([AddedToken("<tool_call>", special=False), AddedToken("<b>")])
    template = build_template("qwen_chat", tokenizer)
    tokenizer.chat_template = template.jinja
    text = "a <tool_call>\n{}\n</tool_call> b <b>"
    ids = prompt_ids(tokenizer, [{"role": "user", "content": text}])
    assert tokenizer.convert_tokens_to_ids("<tool_call>") not in ids
    assert tokenizer.convert_tokens_to_ids("<b>") in ids  # no business of the template's
    assert "a < tool_call>\n{}\n< /tool_call> b <b>" in tokenizer.decode(ids)


def test_results_in_system_messages_are_plain_and_system_prompts_are_the_owners():
    plain = PlainText(tiny_tokenizer(), None)
    messages = [
        {"role": "system", "content": "Begin with <s>."},
        ASK,
        {"role": "assistant", "content": "<eoc>"},
        {"role": "system", "content": "Response:<eoh>"},
        {"role": "system", "content": "<|startofexec|>a<eoh><|endofexec|>b<|endofexec|>"},
    ]
    assert [message["content"] for message in plain(messages)] == [
        "Begin with <s>.",
        ASK["content"],
        "<eoc>",
        "Response:< eoh>",
        "<|startofexec|>a< eoh>< |endofexec|>b<|endofexec|>",
    ]
    assert messages[3]["content"] == "Response:<eoh>"  # the history keeps what was written


def test_control_texts_that_touch_or_hold_white_space_come_to_an_end():
    tokenizer = tiny_tokenizer()
    tokenizer.add_tokens([AddedToken(t, special=True) for t in (" x y", "< s>", "aa", "!", "  ")])
    plain = PlainText(tokenizer, None)
    made = plain.text(" x y <s> aaaa ! <<s>s>")
    assert made == " x  y <  s> a a a a ! <<  s>s>"
