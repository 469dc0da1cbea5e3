"""Prompts: rows up to the answer, rendered as chat renders them."""

from __future__ import annotations

import json

import pytest

from xtune.data.prompts import PromptDataset
from xtune.errors import DataError
from xtune.generation.generate import prompt_ids
from xtune.models import load_tokenizer

ROWS = [
    {"prompt": "2 + 2?"},
    {"prompt": [{"role": "user", "content": "Say <|im_end|>"}], "level": 3},
    {"prompt": "miles " * 60},
    {"prompt": [{"role": "system", "content": "Be kind."}, {"role": "user", "content": "Hi"}]},
]


@pytest.fixture
def tokenizer(inputs):
    return load_tokenizer(str(inputs.model))


@pytest.fixture
def data(tmp_path):
    path = tmp_path / "prompts.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    return path


def prompts(data, tokenizer, **further):
    settings = {"map_fn": "prompt", "max_length": 160, "max_new_tokens": 32, "system": "Short!"}
    return PromptDataset(data_path=str(data), tokenizer=tokenizer, **(settings | further))


def test_a_prompt_is_what_chat_gives_the_model(data, tokenizer):
    made = prompts(data, tokenizer)
    assert [row.messages[-1]["content"] for row in made.rows] == ["2 + 2?", "Say <|im_end|>", "Hi"]
    for row in made.rows:
        assert list(row.ids) == prompt_ids(tokenizer, row.messages)
    assert made.rows[0].messages[0] == {"role": "system", "content": "Short!"}
    assert made.rows[2].messages[0]["content"] == "Be kind."


def test_the_answer_and_the_row_are_for_the_rewards(data, tokenizer):
    made = prompts(data, tokenizer)
    assert made.rows[1].expected is None
    assert made.rows[1].row["level"] == 3
    assert made.rows[1].where.endswith("prompts.jsonl:2")


@pytest.mark.parametrize(
    ("map_fn", "row", "expected"),
    [
        (
            "openai",
            {
                "messages": [
                    {"role": "user", "content": "2 + 2?"},
                    {"role": "assistant", "content": "4"},
                ]
            },
            "4",
        ),
        ("alpaca", {"instruction": "2 + 2?", "input": "", "output": "4"}, "4"),
        ("preference", {"prompt": "2 + 2?", "chosen": "4", "rejected": "5"}, "4"),
    ],
)
def test_data_with_answers_are_prompts_too(map_fn, row, expected, tokenizer, tmp_path):
    path = tmp_path / "rows.jsonl"
    path.write_text(json.dumps(row))
    (made,) = prompts(path, tokenizer, map_fn=map_fn).rows
    assert made.messages[-1] == {"role": "user", "content": "2 + 2?"}
    assert (made.expected or {}).get("content") == expected


def test_no_row_vanishes(data, tokenizer):
    report = prompts(data, tokenizer).report
    assert (report.rows, report.kept, report.prompts) == (4, 3, 3)
    assert report.dropped == {"prompt longer than 128 tokens": 1}
    assert report.failures == []
    assert any(line.startswith("prompts   3 of ") for line in report.lines())


def test_every_process_draws_the_same_prompts(data, tokenizer):
    from xtune.parallel.world import World

    made = prompts(data, tokenizer)
    drawn = [
        [batch.samples for batch in made.loader(
            batch_size=1, accumulative_counts=2, seed=0, world=World(rank, 2)
        ).step(0)]
        for rank in (0, 1)
    ]  # fmt: skip
    assert drawn[0] == drawn[1]
    assert len(drawn[0]) == 2


@pytest.mark.parametrize(
    ("further", "said"),
    [
        ({"max_length": 32}, "give a larger max_length"),
        ({"map_fn": "pretrain"}, "makes text of a row, and no prompt"),
        ({"max_length": 34}, "prompt longer than 2 tokens"),
    ],
)
def test_what_gives_no_prompt_is_refused(further, said, data, tokenizer, tmp_path):
    if further.get("map_fn") == "pretrain":
        data = tmp_path / "text.jsonl"
        data.write_text('{"text": "Once upon a time."}\n')
    with pytest.raises(DataError, match=said):
        prompts(data, tokenizer, **further)
