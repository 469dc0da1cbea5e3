"""What becomes of dialogues that are too long."""

from __future__ import annotations

import random
from collections import Counter

import pytest

from tests.data.tiny_tokenizer import tiny_tokenizer
from xtune.data.fit import Shorter, fit
from xtune.data.map_fns.base import UnusableRow
from xtune.data.templates import build_template
from xtune.data.templates.base import single_answers
from xtune.data.tokenize import Encoder
from xtune.structures import IGNORE_INDEX

TOKENIZER = tiny_tokenizer()
TEMPLATE = build_template("chatml", TOKENIZER)
ENCODE = Encoder(TOKENIZER)


def fitted(conversation, max_length):
    cut = Counter()
    samples = ENCODE(TEMPLATE.samples_of(conversation))
    samples = fit(
        conversation, samples, template=TEMPLATE, encode=ENCODE, max_length=max_length, cut=cut
    )
    assert all(len(sample) <= max_length for sample in samples)
    return samples, cut


def dialogue(*turns, system=None):
    messages = [{"role": "system", "content": system}] if system else []
    for question, answer in turns:
        messages += [
            {"role": "user", "content": question},
            {"role": "assistant", "content": answer},
        ]
    return {"messages": messages}


def text(sample) -> str:
    return TOKENIZER.decode(sample.input_ids)


def trained(sample) -> str:
    return TOKENIZER.decode(sample.input_ids[sample.labels != IGNORE_INDEX])


LONG = "weather " * 30  # 31 tokens


def test_what_fits_is_left_alone():
    conversation = dialogue(("Hi", "Hello."))
    (sample,), cut = fitted(conversation, 100)
    assert text(sample) == "".join(span.text for span in TEMPLATE.spans(conversation)).rstrip()
    assert not cut


def test_oldest_turns_go_first_and_the_system_message_stays():
    conversation = dialogue(
        (LONG, "One."), (LONG, "Two."), ("Then?", "Three."), ("And?", "Four."), system="Be brief."
    )
    (sample,), cut = fitted(conversation, 70)
    kept = dialogue(("Then?", "Three."), ("And?", "Four."), system="Be brief.")
    assert text(sample) == "".join(span.text for span in TEMPLATE.spans(kept)).rstrip()
    assert cut == {"oldest turns cut": 2}


def test_prompt_of_the_last_exchange_is_cut_from_the_left_and_the_answer_kept():
    (sample,), cut = fitted(dialogue((LONG + "What now?", "Four.")), 40)
    assert len(sample) == 40
    assert trained(sample) == "Four.<|im_end|>"
    assert "What now?<|im_end|>\n<|im_start|>assistant\n" in text(sample)
    assert cut == {"prompt cut": 1}


def test_answer_longer_than_everything_is_cut_at_its_end():
    (sample,), cut = fitted(dialogue(("Hi", LONG)), 30)
    assert len(sample) == 30
    assert text(sample).startswith("<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\nweather")
    assert "<|im_end|>" not in trained(sample)
    assert cut == {"answer cut": 1}


def test_prompt_and_answer_both_too_long_is_an_unusable_row():
    with pytest.raises(UnusableRow, match="each longer than max_length"):
        fitted(dialogue((LONG, LONG)), 20)


def test_plain_text_becomes_several_samples_and_every_token_is_trained_once():
    samples, cut = fitted({"text": LONG}, 16)
    assert len(samples) > 1
    assert "".join(map(trained, samples)) == f"{LONG}</s>"
    assert text(samples[0]).startswith("<s>weather")
    assert cut == {"text split": 1}


def test_tool_results_stay_with_their_question():
    conversation = dialogue((LONG, "One."), ("Then?", "Calling."))
    conversation["messages"] += [
        {"role": "tool", "content": "42"},
        {"role": "assistant", "content": "It is 42."},
    ]
    (sample,), cut = fitted(conversation, 50)
    assert text(sample).startswith("<|im_start|>user\nThen?")
    assert trained(sample) == "Calling.<|im_end|>It is 42.<|im_end|>"
    assert cut == {"oldest turns cut": 1}


def by_trying(conversation, max_length, template):
    """As it was once: one turn less after the other."""
    cut = Counter()
    made = []
    samples = ENCODE(template.samples_of(conversation))
    parts = [conversation] if len(samples) == 1 else list(single_answers(conversation))
    for part, sample in zip(parts, samples, strict=True):
        for rest in Shorter(part):
            if len(sample) <= max_length:
                break
            sample = ENCODE([template.spans(rest)])[0]
            cut["oldest turns cut"] += 1
        if len(sample) <= max_length:
            made.append(sample.input_ids.tolist())
    return made, cut["oldest turns cut"]


EACH_ALONE = build_template(
    "auto",
    tiny_tokenizer(
        chat_template="{% for m in messages %}<|im_start|>{{ m.role }}\n"
        "{% if loop.last and m.role == 'assistant' %}<think></think>{% endif %}"
        "{{ m.content }}<|im_end|>\n{% endfor %}"
        "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
    ),
)


@pytest.mark.parametrize("template", [TEMPLATE, EACH_ALONE], ids=["one sample", "several"])
def test_bisecting_cuts_as_many_turns_as_trying_one_after_the_other(template):
    draw = random.Random(3)
    for _ in range(40):
        turns = [
            ("weather " * draw.randint(1, 12), "sunny " * draw.randint(1, 9))
            for _ in range(draw.randint(1, 12))
        ]
        conversation = dialogue(*turns, system=draw.choice([None, "Be brief."]))
        max_length = draw.randint(60, 200)
        cut = Counter()
        samples = fit(
            conversation,
            ENCODE(template.samples_of(conversation)),
            template=template,
            encode=ENCODE,
            max_length=max_length,
            cut=cut,
        )
        expected, turns_cut = by_trying(conversation, max_length, template)
        if not (cut["prompt cut"] or cut["answer cut"]):
            assert [sample.input_ids.tolist() for sample in samples] == expected
        assert cut["oldest turns cut"] == turns_cut


def test_few_dialogues_are_rendered_to_find_what_fits():
    turns = [(f"Question {n}, please?", f"Answer {n}, gladly.") for n in range(100)]
    rendered = []
    template = build_template("chatml", TOKENIZER)
    render = template._render
    template._render = lambda messages, *rest, **how: (
        rendered.append(len(messages)),
        render(messages, *rest, **how),
    )[1]
    conversation = dialogue(*turns)
    samples = ENCODE(template.samples_of(conversation))
    rendered.clear()
    cut = Counter()
    fit(conversation, samples, template=template, encode=ENCODE, max_length=512, cut=cut)
    assert cut["oldest turns cut"] > 50
    assert len(rendered) < 60  # bisecting takes 7, and each answer that stays at most two, twice
    assert sum(rendered) < 100 * 100 / 4


def test_shorter_never_yields_a_dialogue_without_a_trained_answer():
    conversation = dialogue(("a", "b"), ("c", "d"))
    conversation["messages"][-1]["loss"] = False
    assert list(Shorter(conversation)) == []
