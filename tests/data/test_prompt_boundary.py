"""Where the prompt of judged answers ends: at the template's own border, in ids and in text."""

from __future__ import annotations

import numpy as np
import pytest

from tests.data.tiny_tokenizer import tiny_tokenizer
from xtune.data.preferences import PreferenceDataset
from xtune.data.templates import build_template
from xtune.structures import IGNORE_INDEX

# The forms of chat templates that are in use, each with whether it writes a BOS itself
TEMPLATES = {
    "chatml": (
        "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
        "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
    ),
    "llama3": (
        "{{ bos_token }}{% for m in messages %}<|start_header_id|>{{ m.role }}<|end_header_id|>\n\n"
        "{{ m.content | trim }}<|eot_id|>{% endfor %}{% if add_generation_prompt %}"
        "<|start_header_id|>assistant<|end_header_id|>\n\n{% endif %}"
    ),
    "mistral": (
        "{{ bos_token }}{% for m in messages %}{% if m.role == 'user' %}[INST] {{ m.content }} "
        "[/INST]{% elif m.role == 'assistant' %} {{ m.content }}{{ eos_token }}{% endif %}"
        "{% endfor %}"
    ),
    "gemma": (
        "{{ bos_token }}{% for m in messages %}<start_of_turn>"
        "{{ 'model' if m.role == 'assistant' else m.role }}\n{{ m.content | trim }}<end_of_turn>\n"
        "{% endfor %}{% if add_generation_prompt %}<start_of_turn>model\n{% endif %}"
    ),
    "plain words": (
        "{{ bos_token }}{% for m in messages %}{{ m.role }}: {{ m.content }}"
        "{{ eos_token if m.role == 'assistant' else '' }}\n{% endfor %}"
        "{% if add_generation_prompt %}assistant:{% endif %}"
    ),
}
PROMPT = [
    {"role": "user", "content": "Hi"},
    {"role": "assistant", "content": "Hello."},
    {"role": "user", "content": "Add 2 and 2."},
]
# Beginnings that a tokenizer may merge with the prompt's last token
ANSWERS = [("Four.", "Five."), ("\n\nFour.", "  x = 5"), ("4", "\nfour"), ("é", "👍 it is")]


def made_by(jinja, answers, write_rows, **options):
    tokenizer = tiny_tokenizer(chat_template=jinja, **options)
    rows = [
        {
            "prompt": PROMPT,
            "chosen": [{"role": "assistant", "content": better}],
            "rejected": [{"role": "assistant", "content": worse}],
        }
        for better, worse in answers
    ]
    made = PreferenceDataset(
        data_path=write_rows(rows), tokenizer=tokenizer, map_fn="preference", max_length=512
    )
    return tokenizer, made


@pytest.mark.parametrize("like_llama3", [False, True])
@pytest.mark.parametrize("name", sorted(TEMPLATES))
def test_both_answers_stand_after_the_ids_that_a_server_would_give(name, like_llama3, write_rows):
    tokenizer, made = made_by(TEMPLATES[name], ANSWERS, write_rows, like_llama3=like_llama3)
    assert made.report.groups == len(ANSWERS)
    prompt = tokenizer.apply_chat_template(
        PROMPT, add_generation_prompt=True, tokenize=True, return_dict=False
    )
    end_ids = set(tokenizer.convert_tokens_to_ids(list(made.template.end_tokens)))
    for number in range(2 * len(ANSWERS)):
        text = ANSWERS[number // 2][number % 2]
        sample = made.sample(number)
        ids = sample.input_ids.tolist()
        trained = sample.labels != IGNORE_INDEX
        border = int(np.argmax(trained))
        whole = tokenizer.apply_chat_template(
            [*PROMPT, {"role": "assistant", "content": text}], tokenize=False
        )
        assert whole.startswith(tokenizer.decode(ids))  # nothing twice, nothing lost
        assert ids.count(tokenizer.bos_token_id) == ("bos_token" in TEMPLATES[name])
        assert trained[border:].all()
        assert ids[-1] in end_ids
        if name == "plain words":  # the blank after 'assistant:' is of no answer alone
            continue
        assert ids[:border] == prompt
        joint = tokenizer(whole, add_special_tokens=False).input_ids
        if joint[: len(prompt)] == prompt:  # else tokens reach over the border: it wins
            assert ids == joint[: len(ids)]


def test_a_prompt_that_fills_the_length_is_cut_alike_and_answers_that_do_are_dropped(write_rows):
    tokenizer = tiny_tokenizer()
    rows = [
        {"prompt": "weather " * 200, "chosen": "Four.", "rejected": "It is five."},
        {"prompt": "2?", "chosen": "weather " * 60, "rejected": "Five."},
    ]
    made = PreferenceDataset(
        data_path=write_rows(rows),
        tokenizer=tokenizer,
        map_fn="preference",
        template="chatml",
        max_length=60,
    )
    assert made.report.cut == {"prompt cut": 1}
    assert made.report.dropped == {
        "the answers to one prompt are together longer than max_length": 1
    }
    better, worse = made.sample(0), made.sample(1)
    assert len(better) + len(worse) <= 60
    ends = [tokenizer.decode(one.input_ids[one.labels != IGNORE_INDEX]) for one in (better, worse)]
    assert ends == ["Four.<|im_end|>", "It is five.<|im_end|>"]


def test_rows_whose_answers_hold_the_prompt_are_told(write_rows):
    asked = {"role": "user", "content": "2?"}
    rows = [
        {
            "prompt": "2?",
            "chosen": [asked, {"role": "assistant", "content": "Two."}],
            "rejected": [asked, {"role": "assistant", "content": "Three."}],
        },
        {"prompt": "Two and two?", "chosen": "Two and two?\nFour.", "rejected": "Two and two?\n5."},
        {"prompt": "Two and two?", "chosen": "Four.", "rejected": "Five."},
    ]
    tokenizer = tiny_tokenizer()
    made = PreferenceDataset(
        data_path=write_rows(rows),
        tokenizer=tokenizer,
        map_fn="auto",
        template=build_template("chatml", tokenizer).name,
        max_length=128,
    )
    assert "prompt    2 rows: chosen and rejected hold the prompt" in made.report.lines()
    texts = [tokenizer.decode(made.sample(number).input_ids) for number in range(6)]
    assert [text.count("?") for text in texts] == [1] * 6
