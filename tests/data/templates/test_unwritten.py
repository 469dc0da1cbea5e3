"""What a template leaves out is found by probes, and counted or dropped row by row."""

from __future__ import annotations

import pytest

from tests.data.tiny_tokenizer import tiny_tokenizer
from xtune.data.dataset import SFTDataset
from xtune.data.templates import build_template
from xtune.data.templates.unwritten import TOOL_PARTS
from xtune.errors import DataError
from xtune.generation.generate import prompt_ids
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
NO_TOOLS = {"calls of tools", MORE, TOOLS}

ASKED = {"role": "user", "content": "2 + 2?"}
TOOL = {"type": "function", "function": {"name": "add", "parameters": {"type": "object"}}}


def calling(*names, content=""):
    calls = [{"type": "function", "function": {"name": name, "arguments": {}}} for name in names]
    return {"role": "assistant", "content": content, "tool_calls": calls}


def dataset(write_rows, jinja, *rows, **options):
    return SFTDataset(
        data_path=write_rows(rows),
        tokenizer=tiny_tokenizer(chat_template=jinja),
        map_fn="openai",
        max_length=128,
        pack_to_max_length=False,
        **options,
    )


@pytest.mark.parametrize(
    ("jinja", "left_out"),
    [
        (FIRST_CALL, {MORE, TEXT, TOOLS, "reasoning"}),
        (FIRST_SYSTEM, {"a system text after the beginning", "reasoning", *NO_TOOLS}),
        (
            NO_SYSTEM,
            {
                "a system text at the beginning",
                "a system text after the beginning",
                "reasoning",
                *NO_TOOLS,
            },
        ),
        (NO_RESULTS, {"results of tools", "reasoning"}),
    ],
)
def test_probes_find_what_is_left_out(jinja, left_out):
    template = build_template("auto", tiny_tokenizer(chat_template=jinja))
    assert template.unwritten.parts == left_out


@pytest.mark.parametrize("name", names(TEMPLATES))
def test_registered_templates_leave_out_reasoning_and_all_of_tools_or_none(name):
    template = build_template(name, tiny_tokenizer())
    without_tools = {*TOOL_PARTS, TEXT} if "tools" not in template.source else set()
    assert template.unwritten.parts <= {"reasoning"} | without_tools


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


# As the first that DeepSeek published with V3: no list of tools, arguments joined to text, and an
# end after the second call of a turn only
V3 = (
    "{{ bos_token }}{% for m in messages %}"
    "{% if m['role'] == 'system' %}{{ m['content'] }}"
    "{% elif m['role'] == 'user' %}{{ '<|user|>' + m['content'] }}"
    "{% elif m['role'] == 'tool' %}{{ '<eoh>' + m['content'] + '<eor>' }}"
    "{% elif 'tool_calls' in m and m['tool_calls'] %}{{ '<|assistant|>' }}"
    "{% for c in m['tool_calls'] %}"
    "{{ '<eoc>' + c['function']['name'] + ' ' + c['function']['arguments'] + '<eom>' }}"
    "{% if not loop.first and loop.last %}{{ '<eot>' + eos_token }}{% endif %}{% endfor %}"
    "{% else %}{{ '<|assistant|>' if loop.previtem.role != 'tool' }}{{ m['content'] + eos_token }}"
    "{% endif %}{% endfor %}"
    "{% if add_generation_prompt and messages[-1]['role'] != 'tool' %}{{ '<|assistant|>' }}"
    "{% endif %}"
)


def trained(data):
    tokenizer = tiny_tokenizer(chat_template=V3)
    made = []
    for n in range(len(data)):
        ids, labels = data.sample(n).input_ids.tolist(), data.sample(n).labels.tolist()
        made.append(tokenizer.decode([i for i, at in zip(ids, labels, strict=True) if at >= 0]))
    return made


def test_a_template_without_a_list_of_tools_trains_calls_whose_end_it_leaves_out(write_rows):
    """No row ends the run, and the advice names templates that this tokenizer has the tokens of."""
    result = {"role": "tool", "content": "4"}
    said = {"role": "assistant", "content": "Four."}
    rows = (
        {"messages": [ASKED, calling("add")], "tools": [TOOL]},
        {"messages": [ASKED, calling("add", "mul")], "tools": [TOOL]},
        {"messages": [ASKED, calling("add"), result, said], "tools": [TOOL]},
        {"messages": [ASKED, said]},
    )
    data = dataset(write_rows, V3, *rows)
    one = "<eoc>add {}<eom><eot></s>"
    assert trained(data) == [one, "<eoc>add {}<eom><eoc>mul {}<eom><eot></s>", one, "Four.</s>"] + [
        "Four.</s>"
    ]
    assert (data.report.answers, data.report.ended_answers) == (5, 5)
    line = next(line for line in data.report.lines() if TOOLS in line)
    assert "prompt_template = " in line
    assert " deepseek_v3 " in line


def test_a_call_whose_closing_token_stands_between_two_is_not_counted_as_ended(write_rows):
    jinja = V3.replace("{{ '<eot>' + eos_token }}", "")
    data = dataset(write_rows, jinja, {"messages": [ASKED, calling("add")]})
    assert (data.report.answers, data.report.ended_answers) == (1, 0)


def test_calls_are_dropped_row_by_row_where_the_template_knows_none(write_rows):
    said = {"role": "assistant", "content": "Four."}
    rows = {"messages": [ASKED, calling("add")]}, {"messages": [ASKED, said], "tools": [TOOL]}
    report = dataset(write_rows, FIRST_SYSTEM, *rows).report
    assert report.dropped == {"template 'auto' does not write calls of tools": 1}
    assert report.unwritten == {TOOLS: 1}
    with pytest.raises(DataError, match=r"not write calls of tools.*prompt_template = .*chatml \|"):
        dataset(write_rows, FIRST_SYSTEM, rows[0])


QWEN2_5 = (
    "{% if messages[0]['role'] == 'system' %}"
    "{{ '<|im_start|>system\n' + messages[0]['content'] + '<|im_end|>\n' }}"
    "{% else %}{{ '<|im_start|>system\nYou are Qwen.<|im_end|>\n' }}{% endif %}"
    "{% for m in messages %}{% if m['role'] != 'system' %}"
    "{{ '<|im_start|>' + m['role'] + '\n' + m['content'] + '<|im_end|>\n' }}{% endif %}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)


@pytest.mark.parametrize("system", [None, "", "Be brief."])
def test_what_is_trained_and_asked_begins_as_the_row_does(write_rows, system):
    """An empty system message asks a template with a text of its own for none."""
    first = [] if system is None else [{"role": "system", "content": system}]
    messages = [*first, ASKED, {"role": "assistant", "content": "4"}]
    tokenizer = tiny_tokenizer(chat_template=QWEN2_5)
    data = dataset(write_rows, QWEN2_5, {"messages": messages})
    wanted = tokenizer.apply_chat_template(messages, tokenize=False).rstrip()
    assert tokenizer.decode(data.sample(0).input_ids) == wanted
    asked = tokenizer.apply_chat_template(messages[:-1], add_generation_prompt=True, tokenize=False)
    assert tokenizer.decode(prompt_ids(tokenizer, messages[:-1])) == asked
    assert data.report.default_system_rows == (system is None)
    assert data.report.empty_system_rows == 0


def test_an_empty_system_message_is_left_out_and_said_where_there_is_no_text_to_replace(write_rows):
    """Some templates refuse the role."""
    messages = [{"role": "system", "content": ""}, ASKED, {"role": "assistant", "content": "4"}]
    refusal = "{% if messages[0].role == 'system' %}{{ raise_exception('no') }}{% endif %}"
    jinja = refusal + NO_SYSTEM
    data = dataset(write_rows, jinja, {"messages": messages})
    tokenizer = tiny_tokenizer(chat_template=jinja)
    wanted = tokenizer.apply_chat_template(messages[1:], tokenize=False).rstrip()
    assert tokenizer.decode(data.sample(0).input_ids) == wanted
    assert data.report.empty_system_rows == 1
    assert "note      1 rows have an empty system message: left out" in data.report.lines()[-1]
    assert prompt_ids(tokenizer, messages[:-1]) == prompt_ids(tokenizer, messages[1:-1])


def test_the_systems_text_of_the_config_stands_in_place_of_an_empty_one(write_rows):
    messages = [{"role": "system", "content": ""}, ASKED, {"role": "assistant", "content": "4"}]
    data = dataset(write_rows, QWEN2_5, {"messages": messages}, system="Be good.")
    text = tiny_tokenizer().decode(data.sample(0).input_ids)
    assert text.startswith("<|im_start|>system\nBe good.<|im_end|>\n<|im_start|>user\n2 + 2?")


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
