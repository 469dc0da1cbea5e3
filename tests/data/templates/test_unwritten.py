"""What a template leaves out is found by probes, and counted or dropped row by row."""

from __future__ import annotations

import pytest

from tests.data.tiny_tokenizer import tiny_tokenizer
from xtune.data.dataset import SFTDataset
from xtune.data.templates import build_template
from xtune.errors import DataError
from xtune.registry import TEMPLATES, names

FIRST_CALL = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n"
    "{% if m.tool_calls %}{{ m.tool_calls[0].function.name }} "
    "{{ m.tool_calls[0].function.arguments | tojson }}{% else %}{{ m.content }}{% endif %}"
    "<|im_end|>\n{% endfor %}{% if tools %}{% endif %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
FIRST_SYSTEM = (
    "{% if messages[0].role == 'system' %}{{ messages[0].content }}{% endif %}"
    "{% for m in messages %}{% if m.role != 'system' %}<|im_start|>{{ m.role }}\n"
    "{{ m.content }}<|im_end|>\n{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
NO_SYSTEM = FIRST_SYSTEM[FIRST_SYSTEM.index("{% for") :]
NO_RESULTS = (
    "{% for m in messages %}{% if m.role != 'tool' %}<|im_start|>{{ m.role }}\n{{ m.content }}"
    "{% for c in m.tool_calls or [] %}{{ c.function.name }}{% endfor %}<|im_end|>\n{% endif %}"
    "{% endfor %}{% if tools %}{{ tools | tojson }}{% endif %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
MORE, TEXT, TOOLS = (
    "the second and later calls of a message",
    "text next to a call",
    "the list of tools",
)

ASKED = {"role": "user", "content": "2 + 2?"}
TOOL = {"type": "function", "function": {"name": "add", "parameters": {"type": "object"}}}


def calling(*names, content=""):
    calls = [{"type": "function", "function": {"name": name, "arguments": {}}} for name in names]
    return {"role": "assistant", "content": content, "tool_calls": calls}


def dataset(write_rows, jinja, *rows):
    return SFTDataset(
        data_path=write_rows(rows),
        tokenizer=tiny_tokenizer(chat_template=jinja),
        map_fn="openai",
        max_length=128,
    )


@pytest.mark.parametrize(
    ("jinja", "left_out"),
    [
        (FIRST_CALL, {MORE, TEXT, TOOLS, "reasoning"}),
        (FIRST_SYSTEM, {"a system text after the beginning", "reasoning"}),
        (
            NO_SYSTEM,
            {
                "a system text at the beginning",
                "a system text after the beginning",
                "reasoning",
            },
        ),
        (NO_RESULTS, {"results of tools", "reasoning"}),
    ],
)
def test_probes_find_what_is_left_out(jinja, left_out):
    template = build_template("auto", tiny_tokenizer(chat_template=jinja))
    assert template.unwritten.parts == left_out


@pytest.mark.parametrize("name", names(TEMPLATES))
def test_registered_templates_leave_out_reasoning_at_most(name):
    assert build_template(name, tiny_tokenizer()).unwritten.parts <= {"reasoning"}


def test_text_next_to_a_call_is_counted_and_a_second_call_drops_its_row(write_rows):
    """A second call that is not written would leave a result that nobody has asked for."""
    alone = {"messages": [ASKED, calling("add")]}
    text = {"messages": [ASKED, calling("add", content="Let me see.")], "tools": [TOOL]}
    two = {"messages": [ASKED, calling("add", "mul")]}
    report = dataset(write_rows, FIRST_CALL, alone, text, two).report
    assert report.unwritten == {TEXT: 1, TOOLS: 1}
    assert report.dropped == {f"template 'auto' does not write {MORE}": 1}
    assert f"unwritten 1: {TEXT}, which template 'auto' leaves out" in report.lines()


def test_a_row_whose_results_are_not_written_is_dropped(write_rows):
    row = {"messages": [ASKED, calling("add"), {"role": "tool", "content": "4"}, calling("x")]}
    with pytest.raises(DataError, match="1 template 'auto' does not write results of tools"):
        dataset(write_rows, NO_RESULTS, row)


def test_a_system_text_that_is_not_written_is_counted(write_rows):
    answer = {"role": "assistant", "content": "4"}
    later = {"role": "system", "content": "Be brief."}
    rows = (
        {"messages": [later, ASKED, answer, later, ASKED, answer]},
        {"messages": [ASKED, answer]},
    )
    assert dataset(write_rows, FIRST_SYSTEM, *rows).report.unwritten == {
        "a system text after the beginning": 1
    }


@pytest.mark.parametrize(
    ("jinja", "text"),
    [
        ("{% if messages[0].role != 'system' %}<s>Be good.\n{% endif %}" + NO_SYSTEM, ""),
        (
            "{% if messages[0].role == 'system' %}<s>{{ messages[0].content }}\n"
            "{% else %}<s>Be good.\n{% endif %}" + NO_SYSTEM,
            "Be good.",
        ),
        (FIRST_SYSTEM, ""),
    ],
)
def test_the_default_system_text_is_what_stands_in_place_of_a_given_one(jinja, text):
    template = build_template("auto", tiny_tokenizer(chat_template=jinja))
    assert template.unwritten.default_system == text
