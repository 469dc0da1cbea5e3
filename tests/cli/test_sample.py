"""`xtune sample`: the best of many answers to each prompt, as data to train on."""

from __future__ import annotations

import json

import pytest

from tests.engine.rollout.conftest import OWN
from tests.parrot import LINES
from xtune.cli.entry import main
from xtune.data.dataset import SFTDataset
from xtune.models import load_tokenizer


@pytest.fixture
def prompts(tmp_path):
    file = tmp_path / "prompts.jsonl"
    rows = [
        {"messages": [{"role": "user", "content": asked}, {"role": "assistant", "content": said}]}
        for asked, said in LINES
    ]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return file


def sample(parrot_folder, prompts, out, *further):
    words = ["sample", str(parrot_folder), str(prompts), str(out), "--map-fn", "openai"]
    words += ["--reward", "exact_answer", "--n", "3", "--max-new-tokens", "40", "--seed", "1"]
    return main([*words, *further])


def rows_of(file):
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]


def test_the_right_answers_are_kept_once_with_where_they_come_from(
    parrot_folder, prompts, tmp_path, capsys
):
    """A model that knows the lines by heart, at a temperature that changes nothing."""
    out = tmp_path / "best.jsonl"
    cold = ["--temperature", "0.01", "--floor", "1"]
    assert sample(parrot_folder, prompts, out, *cold) == 0
    rows = rows_of(out)
    assert [row["messages"][-1]["content"] for row in rows] == [said for _, said in LINES]
    assert {row["reward"] for row in rows} == {1.0}
    assert rows[0]["rewards"] == {"exact_answer": 1.0}
    told = rows[0]["sampled"]
    assert (told["by"], told["of"], told["from"]) == (str(parrot_folder), 3, f"{prompts}:1")
    said = capsys.readouterr().out
    assert f"mean reward 1.000, of the best of each 1.000; {len(LINES)} answers kept" in said
    assert f"{2 * len(LINES)} repeated" in said
    data = SFTDataset(
        data_path=str(out),
        tokenizer=load_tokenizer(str(parrot_folder)),
        map_fn="openai",
        max_length=256,
    )
    assert data.report.kept == len(LINES)


def test_answers_below_the_floor_are_counted_and_left_out(parrot_folder, prompts, tmp_path, capsys):
    out = tmp_path / "best.jsonl"
    assert sample(parrot_folder, prompts, out, "--floor", "2") == 0
    assert rows_of(out) == []
    assert f"none of {len(LINES)} prompts;" in capsys.readouterr().out


def test_interrupted_it_goes_on_and_writes_the_same(parrot_folder, prompts, tmp_path):
    from xtune.data.prompts import PromptDataset
    from xtune.engine.rollout.rewards import Rewards
    from xtune.generation.model import ChatModel
    from xtune.rewards.best_of import BestOf

    model = ChatModel.load(parrot_folder)
    data = PromptDataset(
        data_path=str(prompts),
        tokenizer=model.tokenizer,
        map_fn="openai",
        max_length=256,
        max_new_tokens=8,
    )
    rewards = Rewards([{"type": f"{OWN}:differs"}], None, seconds=60)
    sampler = BestOf(model, rewards, count=3, keep=2, max_new_tokens=8, seed=4)
    many = [*data.rows, *data.rows]
    sampler.write(many, tmp_path / "whole.jsonl")

    def stop(done, whole):
        if done >= 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        sampler.write(many, tmp_path / "rest.jsonl", on_progress=stop)
    assert not (tmp_path / "rest.jsonl").exists()
    sampler.write(many, tmp_path / "rest.jsonl")
    assert rows_of(tmp_path / "rest.jsonl") == rows_of(tmp_path / "whole.jsonl")
    assert not list(tmp_path.glob("*.part"))


@pytest.mark.parametrize(
    ("further", "said"),
    [
        (["--temperature", "0"], "all 3 answers would be the same"),
        (["--keep", "4"], "keep at most as many"),
        (["--n", "0"], "--n is 0"),
        (["--reward", "nonsense"], "unknown reward 'nonsense'"),
        (["--reward", "number", "column"], "give options as KEY=VALUE"),
    ],
)
def test_wrong_words_are_misuse_or_named(further, said, parrot_folder, prompts, tmp_path, capsys):
    assert sample(parrot_folder, prompts, tmp_path / "best.jsonl", *further) != 0
    assert said in capsys.readouterr().err
    assert not (tmp_path / "best.jsonl").exists()
