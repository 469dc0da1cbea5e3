"""template='auto' on templates like published ones: where answers end, and where they are found."""

from __future__ import annotations

import json

import pytest

from tests.data.tiny_tokenizer import tiny_tokenizer
from tests.golden.rendering import marked
from xtune.data.map_fns.base import UnusableRow
from xtune.data.templates import build_template
from xtune.data.templates.named import trained_templates
from xtune.data.templates.render import Renderer

CHATML = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
TWO_ENDS = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}"
    "{% if m.role == 'assistant' %}<eoa>{% endif %}<|im_end|>{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
OPENS_THE_NEXT = (
    "{% for m in messages %}<|{{ 'observation' if m.role == 'tool' else m.role }}|>\n"
    "{{ m.content }}{% for c in m.tool_calls or [] %}{{ c.function.name }}"
    "{{ c.function.arguments | tojson }}{% endfor %}{% endfor %}{% if tools %}{% endif %}"
    "{% if add_generation_prompt %}<|assistant|>\n{% endif %}"
)
# As Qwen1.5's first template: nothing ends the last message
NOT_AFTER_THE_LAST = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}"
    "{% if not loop.last or add_generation_prompt %}<|im_end|>\n{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
# As Phi-4-mini's: the EOS ends the dialogue, not the answer
EOS_OF_THE_DIALOGUE = (
    "{% for m in messages %}<|{{ m.role }}|>{{ m.content }}<|end|>{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% else %}{{ eos_token }}{% endif %}"
)
# As Mistral Nemo's: the system text stands with the last question
SYSTEM_LAST = (
    "{{ bos_token }}{% set ns = namespace(system='') %}{% for m in messages %}"
    "{% if m.role == 'system' %}{% set ns.system = m.content + ' ' %}"
    "{% elif m.role == 'user' %}[INST]{{ (ns.system if loop.last else '') + m.content }}[/INST]"
    "{% else %}{{ m.content + eos_token }}{% endif %}{% endfor %}"
)
# As Qwen3's: only the last answer has its thinking written
THINKS_LAST = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n"
    "{% if m.role == 'assistant' and loop.last %}<think>\n\n</think>\n\n{% endif %}"
    "{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
# As DeepSeek's: arguments are joined to text
TEXT_ARGUMENTS = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{% if m.tool_calls %}"
    "{% for c in m.tool_calls %}{{ c.function.name + ' ' + c.function.arguments }}{% endfor %}"
    "{% else %}{{ m.content }}{% endif %}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
CALL = {"type": "function", "function": {"name": "add", "arguments": {"a": 2}}}
TOOL = {"type": "function", "function": {"name": "add", "parameters": {}}}


def auto(jinja, **options):
    return build_template("auto", tiny_tokenizer(chat_template=jinja, **options))


def dialogue(*contents, system=None):
    made = [] if system is None else [{"role": "system", "content": system}]
    for number, content in enumerate(contents):
        made.append({"role": ("user", "assistant")[number % 2], "content": content})
    return {"messages": made}


def texts(template, conversation):
    return [marked(spans) for spans in template.samples_of(conversation)]


def test_an_end_of_two_tokens_is_trained_up_to_the_eos_which_is_the_stop_word():
    template = auto(TWO_ENDS, eos="<|im_end|>")
    assert template.stop_words == ("<|im_end|>",)
    assert texts(template, dialogue("a", "b", "c", "d")) == [
        "<|im_start|>user\na<|im_end|><|im_start|>assistant\n«b<eoa><|im_end|>»"
        "<|im_start|>user\nc<|im_end|><|im_start|>assistant\n«d<eoa><|im_end|>»"
    ]


def test_two_tokens_of_which_none_is_the_eos_end_at_the_first():
    template = auto(TWO_ENDS)
    assert template.stop_words == ("<eoa>",)
    assert texts(template, dialogue("a", "b"))[0].endswith("«b<eoa>»<|im_end|>")


def test_an_eos_after_the_dialogue_alone_is_no_end_of_an_answer():
    template = auto(EOS_OF_THE_DIALOGUE)
    assert template.stop_words == ("<|end|>",)
    assert texts(template, dialogue("a", "b", "c", "d")) == [
        "<|user|>a<|end|><|assistant|>«b<|end|>»<|user|>c<|end|><|assistant|>«d<|end|>»</s>"
    ]


def test_where_nothing_ends_the_last_answer_what_follows_the_others_does():
    template = auto(NOT_AFTER_THE_LAST)
    assert template.stop_words == ("<|im_end|>",)
    assert texts(template, dialogue("a", "b", "c", "d")) == [
        "<|im_start|>user\na<|im_end|>\n<|im_start|>assistant\n«b<|im_end|>»\n"
        "<|im_start|>user\nc<|im_end|>\n<|im_start|>assistant\n«d<|im_end|>»"
    ]


def test_the_token_that_opens_the_next_turn_ends_an_answer_and_that_of_a_result_a_call():
    template = auto(OPENS_THE_NEXT)
    assert template.stop_words == ("<|user|>", "<|observation|>")
    made = dialogue("a", "b", "c")
    made["tools"] = [TOOL]
    made["messages"] += [
        {"role": "assistant", "content": "", "tool_calls": [CALL]},
        {"role": "tool", "content": "4"},
        {"role": "assistant", "content": "d"},
    ]
    assert texts(template, made) == [
        "<|user|>\na<|assistant|>\n«b<|user|>»\nc<|assistant|>\n"
        '«add{"a": 2}<|observation|>»\n4<|assistant|>\n«d<|user|>»'
    ]
    made["messages"] = made["messages"][:-2]
    assert texts(template, made)[0].endswith('«add{"a": 2}<|observation|>»')


def test_a_system_text_with_the_last_question_is_in_each_prompt():
    assert texts(auto(SYSTEM_LAST), dialogue("a", "b", "c", "d", system="Be brief.")) == [
        "<s>[INST]Be brief. a[/INST]«b</s>»",
        "<s>[INST]a[/INST]b</s>[INST]Be brief. c[/INST]«d</s>»",
    ]


def test_two_answers_in_a_row_are_each_trained_after_their_prompt():
    made = dialogue("a", "b")
    made["messages"].append({"role": "assistant", "content": "c"})
    template = auto(THINKS_LAST)
    first = "<|im_start|>user\na<|im_end|>\n<|im_start|>assistant\n"
    thought = "<think>\n\n</think>\n\n"
    assert texts(template, made) == [
        f"{first}«{thought}b<|im_end|>»\n",
        f"{first}{thought}b<|im_end|>\n<|im_start|>assistant\n«{thought}c<|im_end|>»\n",
    ]


def test_a_row_whose_answer_cannot_be_found_is_counted_where_others_can():
    odd = "{% if messages | length > 3 %}{{ messages | length }}{% endif %}"
    template = auto(odd + CHATML + odd)
    assert len(texts(template, dialogue("a", "b"))) == 1
    made = dialogue("a", "b", "c")
    made["messages"].append({"role": "assistant", "content": "d", "tool_calls": []})
    with pytest.raises(UnusableRow, match="cannot be told"):
        template.samples_of(
            {"messages": [m | {"loss": i > 2} for i, m in enumerate(made["messages"])]}
        )


def test_arguments_are_json_text_where_the_template_joins_them_to_text():
    made = dialogue("a")
    made["messages"].append({"role": "assistant", "content": "", "tool_calls": [CALL]})
    assert texts(auto(TEXT_ARGUMENTS), made)[0].endswith('assistant\n«add {"a": 2}<|im_end|>»\n')


def test_dialogues_with_tools_are_rendered_with_the_template_for_tools():
    named = {"default": CHATML, "tool_use": "{{ tools | tojson }}" + CHATML}
    tokenizer = tiny_tokenizer(chat_template=named)
    template = build_template("auto", tokenizer)
    assert trained_templates(template, tokenizer) == named
    with_tools = {**dialogue("a", "b"), "tools": [TOOL]}
    for conversation in (dialogue("a", "b"), with_tools):
        written = "".join(span.text for span in template.spans(conversation))
        assert written == tokenizer.apply_chat_template(
            conversation["messages"], tools=conversation.get("tools"), tokenize=False
        )
    assert json.dumps([TOOL]) in "".join(span.text for span in template.spans(with_tools))


@pytest.mark.parametrize("closed", ["</think>", "</think>\n", "\n</think>\n\n"])
def test_after_an_opened_tag_the_template_decides_how_it_is_closed(closed):
    jinja = (
        "{% for m in messages %}<|im_start|>{{ m.role }}\n"
        "{% if m.role == 'assistant' %}<think>" + closed + "{% endif %}"
        "{{ m.content }}<|im_end|>\n{% endfor %}"
        "{% if add_generation_prompt %}<|im_start|>assistant\n<think>\n{% endif %}"
    )
    wanted = f"<think>\n«{closed.lstrip()}  Four.<|im_end|>»\n"
    if closed.startswith("\n"):  # the prompt's own line break
        wanted = f"<think>\n«{closed[1:]}  Four.<|im_end|>»\n"
    assert texts(auto(jinja), dialogue("2 + 2?", "  Four."))[0].endswith(wanted)


def test_the_day_of_a_run_is_written_for_todays_date():
    date = "{% set d = strftime_now('%d %b %Y, %-d %B, %H:%M') %}  {{ d }}\n"
    template = build_template("auto", tiny_tokenizer(chat_template=date + CHATML), day="2024-07-05")
    written = texts(template, dialogue("a", "b"))[0]
    assert written.startswith("  05 Jul 2024, 5 July, 00:00\n<|im_start|>user")
    other = build_template("auto", tiny_tokenizer(chat_template=date + CHATML), day="2024-07-06")
    assert template.key != other.key
    same = [
        build_template("auto", tiny_tokenizer(chat_template=CHATML), day=d)
        for d in ("2024-07-05", "2024-07-06")
    ]
    assert same[0].key == same[1].key


def test_a_day_changes_nothing_but_the_date():
    jinja = "  {% if strftime_now is defined %}{% endif %}\n{{ bos_token }}\n" + CHATML
    tokenizer = tiny_tokenizer(chat_template=jinja)
    messages = dialogue("a", "b")["messages"]
    assert Renderer(jinja, tokenizer, day="2024-07-05")(messages) == Renderer(jinja, tokenizer)(
        messages
    )
