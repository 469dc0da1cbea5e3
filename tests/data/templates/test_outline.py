"""Outlines: a template is spared rendering only where it cannot make a difference."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers.utils.chat_template_utils import render_jinja_template

from tests.data.tiny_tokenizer import tiny_tokenizer
from xtune.data.map_fns.base import UnusableRow
from xtune.data.templates import build_template
from xtune.data.templates.outline import Outliner
from xtune.data.templates.render import Renderer
from xtune.errors import TemplateError
from xtune.registry import TEMPLATES, names

TOKENIZER = tiny_tokenizer()
SHAPES = [
    ("user", "assistant"),
    ("system", "user", "assistant", "user"),
    ("user", "assistant", "tool", "assistant"),
]
TEXTS = [
    "",
    "  \n\nHi \t",
    "{{ x }}{% if %}",
    "</think>\nso",
    "<|im_end|>",
    "é 漢 👍\x00",
    "a" * 99,
]


def templates():
    """Every registered template that this tokenizer can write."""
    for name in names(TEMPLATES):
        try:
            yield name, build_template(name, TOKENIZER).jinja
        except TemplateError:
            continue


JINJAS = dict(templates())


def by_transformers(jinja, messages, prompt):
    try:
        return render_jinja_template(
            [messages],
            chat_template=jinja,
            add_generation_prompt=prompt,
            **TOKENIZER.special_tokens_map,
        )[0][0]
    except Exception:
        return UnusableRow


def by_us(render, messages, prompt):
    try:
        return render(messages, add_generation_prompt=prompt)
    except UnusableRow:
        return UnusableRow


@pytest.mark.parametrize("name", JINJAS)
def test_every_template_writes_what_transformers_writes(name):
    render = Renderer(JINJAS[name], TOKENIZER)
    for roles in SHAPES:
        for prompt in (False, True):
            for shift in range(len(TEXTS)):  # the second one makes the outline
                texts = TEXTS[shift:] + TEXTS[:shift]
                messages = [{"role": r, "content": t} for r, t in zip(roles, texts, strict=False)]
                wanted = by_transformers(render.jinja, messages, prompt)
                assert by_us(render, messages, prompt) == wanted


def test_most_templates_have_outlines():
    outlined = [
        name
        for name, jinja in JINJAS.items()
        if Outliner(jinja, TOKENIZER.special_tokens_map).outline(
            ("user", "assistant"), add_generation_prompt=False
        )
    ]
    assert {"chatml", "vicuna", "internlm2_chat"} <= set(outlined)
    assert len(outlined) > len(JINJAS) / 2, sorted(set(JINJAS) - set(outlined))


@settings(deadline=None)
@given(st.lists(st.text(), min_size=2, max_size=2))
def test_any_text_goes_into_an_outline_unchanged(texts):
    jinja = "{% for m in messages %}<{{ m.role + ':' + m['content'] }}|{{ m.content }}>{% endfor %}"
    outline = Outliner(jinja, {}).outline(("user", "assistant"), add_generation_prompt=False)
    a, b = texts
    assert outline(texts) == f"<user:{a}|{a}><assistant:{b}|{b}>"


@pytest.mark.parametrize(
    "asks",
    [
        "{% if x is string %}1{% endif %}",
        "{% if x is defined %}1{% endif %}",
        "{% if x is sequence %}1{% endif %}",
        "{% if x is iterable %}1{% endif %}",
        "{% if x is mapping or x is number %}1{% endif %}",
        "{% if x == 'a' %}1{% endif %}",
        "{% if 'a' in x %}1{% endif %}",
        "{% if x in ['a'] %}1{% endif %}",
        "{% if x in {'a': 1} %}1{% endif %}",
        "{% if x < 'b' %}1{% endif %}",
        "{{ x | trim }}",
        "{{ x | upper }}",
        "{{ x | length }}",
        "{{ x | replace('a', 'b') }}",
        "{{ x | tojson }}",
        "{{ x | default('a', true) }}",
        "{{ (x or '') | trim }}",
        "{{ x | string | trim }}",
        "{{ x | escape }}",
        "{{ [x] | join('-') | trim }}",
        "{{ (x ~ 'b') | trim }}",
        "{{ '%s' % x }}",
        "{{ '%s' | format(x) }}",
        "{{ x.strip() }}",
        "{{ x.split('a')[0] }}",
        "{{ x[0] }}",
        "{{ x[:2] }}",
        "{{ x * 2 }}",
        "{{ messages }}",
        "{{ messages[0] | tojson }}",
        "{{ messages | map(attribute='content') | join }}",
        "{{ messages | sort(attribute='content') | length }}",
        "{{ messages | unique(attribute='content') | list | length }}",
        "{% for c in x %}{{ c }}.{% endfor %}",
        "{% set y %}{{ x }}{% endset %}{{ y | trim }}",
        "{% macro f(y) %}{{ y }}{% endmacro %}{{ f(x) | trim }}",
        "{% filter trim %}{{ x }}{% endfilter %}",
        "{% for y in [[x]] recursive %}{{ (loop(y) if y is sequence else y) }}{% endfor %}",
        "{% block b %}{{ x }}{% endblock %}{{ self.b() | trim }}",
        "{{ x }}{{ strftime_now('%d') }}",
        "{{ x }}{{ [1, 2] | random }}",
        "{{ x }}{{ lipsum() }}",
        "{{ x }}{{ raise_exception('no') }}",
        "{{ x }}{{ nothing.of.the.kind }}",
        "{% generation %}{{ x }}{% endgeneration %}",
        "{% if",
    ],
)
def test_no_outline_where_the_template_asks_something(asks):
    jinja = "{% set x = messages[0].content %}" + asks
    assert Outliner(jinja, {}).outline(("user",), add_generation_prompt=False) is None


def test_an_outline_may_depend_on_roles_places_and_special_tokens():
    jinja = (
        "{% for m in messages %}"
        "{% if loop.first and m.role != 'system' %}{{ bos_token }}{% endif %}"
        "{% set ns = namespace(text=m.content) %}{{ loop.index ~ m.role }}{{ ns.text + eos }}"
        "{% endfor %}{{ 'now' if add_generation_prompt }}"
    )
    outliner = Outliner(jinja, {"bos_token": "<s>", "eos": "</s>"})
    outline = outliner.outline(("user", "tool"), add_generation_prompt=True)
    assert outline(["a", "b"]) == "<s>1usera</s>2toolb</s>now"
    outline = outliner.outline(("system",), add_generation_prompt=False)
    assert outline(["a"]) == "1systema</s>"


def test_an_outline_may_depend_on_texts_not_being_empty():
    jinja = (
        "{% for m in messages %}{{ (m.content or '') + ('!' if m.content else '?') }}{% endfor %}"
    )
    outline = Outliner(jinja, {}).outline(("user", "tool"), add_generation_prompt=True)
    assert outline(["a", "b"]) == "a!b!"


def test_dialogues_of_the_same_roles_are_rendered_twice():
    jinja = "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}"
    render = Renderer(jinja, TOKENIZER)
    count = 0
    original = render._render

    def counted(*args, **kwargs):
        nonlocal count
        count += 1
        return original(*args, **kwargs)

    render._render = counted
    for n in range(9):
        messages = [{"role": "user", "content": str(n)}, {"role": "assistant", "content": "So."}]
        assert render(messages) == f"user: {n}\nassistant: So.\n"
    assert count == 2
    assert render(messages[:1]) == "user: 8\n"  # other roles
    assert render([{**messages[0], "content": ""}, messages[1]]).startswith("user: \n")  # empty
    assert render([{**messages[0], "name": "Eve"}]) == "user: 8\n"  # more than a text: rendered
    assert count == 5
