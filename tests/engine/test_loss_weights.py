"""Weights of messages and of kinds in whole runs."""

from __future__ import annotations

import json

import pytest

from tests.runs import Inputs, losses, metrics, train

ROWS = [
    {
        "messages": [
            {"role": "user", "content": f"have {n} miles"},
            {"role": "assistant", "content": "kilometres " * (1 + n % 3), "weight": weight},
        ]
    }
    for n, weight in enumerate([1, 2, 0.5, 1, 3, 1, 1, 0.25])
]
DULL = ("lora.lora_dropout=0", "max_steps=3", "train_dataloader.shuffle=False", "max_norm=1e9")


@pytest.fixture
def run(inputs, tmp_path):
    """Train on rows; return the losses of the steps."""

    def run_on(name, rows, *further):
        data = tmp_path / f"{name}.jsonl"
        data.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
        own = Inputs(inputs.model, data, inputs.val)
        train(own, tmp_path / name, *DULL, "pack_to_max_length=False", *further)
        return [loss for _, loss in losses(tmp_path / name)]

    return run_on


def with_weight(row, weight):
    question, answer = row["messages"]
    return {"messages": [question, {**answer, "weight": weight}]}


def test_accumulation_is_one_batch_also_of_packs(run):
    whole = run("whole", ROWS, "batch_size=8", "accumulative_counts=1")
    apart = run("apart", ROWS, "batch_size=1", "accumulative_counts=8")
    packed = run("packed", ROWS, "pack_to_max_length=True", "accumulative_counts=8")
    assert apart == pytest.approx(whole, rel=1e-4)
    assert packed == pytest.approx(whole, rel=1e-4)


def test_weights_of_one_change_no_bit(run, tmp_path):
    without = [{"messages": [{k: m[k] for k in ("role", "content")} for m in row["messages"]]}
               for row in ROWS]  # fmt: skip
    plain = run("plain", without, "batch_size=4")
    assert run("ones", [with_weight(row, 1) for row in ROWS], "batch_size=4") == plain
    assert run("kinds", without, "batch_size=4", "loss_weights={'call': 2.0}") == plain
    assert run("halves", ROWS, "batch_size=4") != plain
    # All weights alike are a factor of sum and normalizer both
    alike = run("alike", without, "batch_size=4", "loss_weights={'answer': 0.25}")
    assert alike == pytest.approx(plain, rel=1e-5)


def test_weight_two_is_the_row_twice_and_weight_zero_is_not_there(run, tmp_path):
    rows = [with_weight(row, 1) for row in ROWS[:4]]
    twice = [*rows, rows[2]]
    heavy = [*rows[:2], with_weight(rows[2], 2), rows[3]]
    all_at_once = ("batch_size=5", "accumulative_counts=1")
    assert run("heavy", heavy, *all_at_once) == pytest.approx(
        run("twice", twice, *all_at_once), rel=1e-4
    )
    none = [*rows, with_weight(ROWS[5], 0)]
    assert run("none", none, *all_at_once) == run("few", rows, *all_at_once)
    assert (
        metrics(tmp_path / "heavy")[0]["trained_tokens"]
        < (metrics(tmp_path / "twice")[0]["trained_tokens"])
    )


def test_the_validation_loss_counts_by_weight(run, inputs, tmp_path):
    val = tmp_path / "val.jsonl"
    val.write_text("".join(json.dumps(with_weight(row, 3)) + "\n" for row in ROWS))
    run("a", ROWS, f"val_data_path={val}")
    val.write_text("".join(json.dumps(with_weight(row, 1)) + "\n" for row in ROWS))
    run("b", ROWS, f"val_data_path={val}")
    of_a, of_b = (metrics(tmp_path / name)[-1]["val_loss"] for name in "ab")
    assert of_a == pytest.approx(of_b, rel=1e-5)
