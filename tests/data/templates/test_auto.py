"""template='auto': any jinja, found out by rendering."""

from __future__ import annotations

import pytest

from tests.data.tiny_tokenizer import tiny_tokenizer
from tests.golden.rendering import marked
from xtune.data.map_fns.base import UnusableRow
from xtune.data.templates import build_template
from xtune.data.templates.render import Renderer
from xtune.errors import TemplateError

CHATML = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def dialogue(*contents):
    roles = ["user", "assistant"] * len(contents)
    return {"messages": [{"role": r, "content": c} for r, c in zip(roles, contents, strict=False)]}


def auto(jinja, **options):
    return build_template("auto", tiny_tokenizer(chat_template=jinja, **options))


def test_renderer_is_apply_chat_template():
    tokenizer = tiny_tokenizer(chat_template=CHATML + "{{ bos_token }}{{ tools | tojson }}")
    messages = dialogue("Hi", "«» \n{{ x }}", "é 漢 👍")["messages"]
    tools = [{"type": "function", "function": {"name": "f", "parameters": {}}}]
    for prompt in (False, True):
        assert Renderer(tokenizer.chat_template, tokenizer)(
            messages, tools, add_generation_prompt=prompt
        ) == tokenizer.apply_chat_template(
            messages, tools=tools, add_generation_prompt=prompt, tokenize=False
        )


def test_answer_that_ends_in_the_end_token_keeps_both():
    spans = auto(CHATML).spans(dialogue("Write it.", "It is <|im_end|>"))
    assert marked(spans).endswith("assistant\n«It is <|im_end|><|im_end|>»\n")


def test_answer_that_ends_in_line_breaks_keeps_them():
    spans = auto(CHATML).spans(dialogue("Code.", "x = 1\n\n"))
    assert marked(spans).endswith("assistant\n«x = 1\n\n<|im_end|>»\n")


def test_template_without_generation_prompt_trains_the_header_too():
    jinja = CHATML.partition("{% if")[0]
    spans = auto(jinja).spans(dialogue("Hi", "Hello."))
    assert marked(spans).endswith("<|im_end|>\n«<|im_start|>assistant\nHello.<|im_end|>»\n")


def test_template_without_an_end_token_has_no_stop_words():
    template = auto("{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}")
    assert template.stop_words == ()
    assert marked(template.spans(dialogue("Hi", "Hello."))) == "user: Hi\n«assistant: Hello.»\n"


def test_template_that_looks_at_later_messages_gives_one_sample_an_answer():
    questions = "{{ messages | selectattr('role', 'eq', 'user') | list | length }} questions\n"
    first, second = auto(questions + CHATML).samples_of(dialogue("a", "b", "c", "d"))
    assert marked(first) == (
        "1 questions\n<|im_start|>user\na<|im_end|>\n<|im_start|>assistant\n«b<|im_end|>»\n"
    )
    assert marked(second) == (
        "2 questions\n<|im_start|>user\na<|im_end|>\n<|im_start|>assistant\nb<|im_end|>\n"
        "<|im_start|>user\nc<|im_end|>\n<|im_start|>assistant\n«d<|im_end|>»\n"
    )


def test_prompt_that_depends_on_the_answer_is_an_error_with_both_texts():
    with pytest.raises(TemplateError) as caught:
        auto("{{ messages | length }} messages\n" + CHATML).samples_of(dialogue("a", "b"))
    assert "1 messages" in str(caught.value)
    assert "2 messages" in str(caught.value)


def test_spans_of_a_dialogue_that_makes_two_samples_is_an_error():
    questions = "{{ messages | selectattr('role', 'eq', 'user') | list | length }}"
    with pytest.raises(TemplateError, match="2 samples"):
        auto(questions + CHATML).spans(dialogue("a", "b", "c", "d"))


def test_own_reasoning_in_the_answer_continues_an_opened_tag():
    jinja = (
        "{% for m in messages %}<|im_start|>{{ m.role }}\n"
        "{{ m.content.split('</think>')[-1] }}<|im_end|>\n{% endfor %}"
        "{% if add_generation_prompt %}<|im_start|>assistant\n<think>\n{% endif %}"
    )
    spans = auto(jinja).spans(dialogue("2 + 2?", "<think>\n2 and 2\n</think>\n\nFour."))
    assert marked(spans).endswith("assistant\n<think>\n«2 and 2\n</think>\n\nFour.<|im_end|>»\n")


def test_dialogue_that_the_template_refuses_is_an_unusable_row():
    template = auto("{{ raise_exception('no dialogues on Sundays') }}")
    with pytest.raises(UnusableRow, match="no dialogues on Sundays"):
        template.samples_of(dialogue("a", "b"))


def test_without_a_chat_template_dialogues_are_an_error_that_names_templates():
    with pytest.raises(TemplateError, match="chatml"):
        auto(None).samples_of(dialogue("a", "b"))


def test_plain_text_is_trained_between_bos_and_eos_and_needs_no_chat_template():
    assert marked(auto(None).spans({"text": "Once."})) == "«<s>Once.</s>»"
    assert marked(auto(None, bos=None).spans({"text": "Once."})) == "«Once.</s>»"


def test_dialogue_without_a_trained_answer_gives_no_sample():
    conversation = dialogue("a", "b")
    conversation["messages"][1]["loss"] = False
    assert auto(CHATML).samples_of(conversation) == []


def test_template_given_by_a_users_file(tmp_path):
    file = tmp_path / "mine.py"
    file.write_text(
        "from xtune.data.templates import Template\n"
        "def mine(tokenizer):\n"
        "    jinja = '{% for m in messages %}{{ m.content }}<eoa>{% endfor %}'\n"
        "    return Template('mine', jinja, tokenizer, stop='<eoa>')\n"
    )
    template = build_template(f"{file}:mine", tiny_tokenizer())
    assert template.stop_words == ("<eoa>",)
    assert marked(template.spans(dialogue("Hi", "Hello."))) == "Hi<eoa>«Hello.<eoa>»"


def test_template_that_is_no_jinja_is_an_error_that_names_the_line():
    with pytest.raises(TemplateError, match="line 2"):
        auto("{{ bos_token }}\n{% for m in %}")
