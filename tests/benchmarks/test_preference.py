"""The comparison with TRL: its pairs, and when two curves are not one."""

from __future__ import annotations

import json
from argparse import Namespace

import pytest
from harness.preference_rows import pairs
from preference_cpu import _curve, _speed

STEPS = Namespace(steps=2, batch=4)


@pytest.fixture
def tokenizer_file(tmp_path):
    words = {f"Ġ{'abcdefghij'[n % 10] * 3}{'klmnopqrst'[n // 10]}": n for n in range(100)}
    file = tmp_path / "tokenizer.json"
    file.write_text(json.dumps({"model": {"vocab": words}}))
    return file


def result(**changes):
    return {
        "loss": [0.6931, 0.5],
        "margin": [0.0, 0.4],
        "accuracy": [0.0, 1.0],
        "grad_norm": [7.0, 8.0],
        "pairs": [["a", "b"], ["c", "d"]],
        "trainable": 100,
        "seconds": [9.0, 2.0],
        "before_mb": 500.0,
        "peak_mb": 1000.0,
        "seen": 300,
    } | changes


def test_pairs_are_those_of_their_seed_and_as_long_as_asked(tokenizer_file):
    made = pairs(40, tokenizer_file=tokenizer_file, seed=3)
    assert made == pairs(40, tokenizer_file=tokenizer_file, seed=3)
    assert made != pairs(40, tokenizer_file=tokenizer_file, seed=4)
    lengths = {
        name: [len(row[name][0]["content"].split()) for row in made]
        for name in ("prompt", "chosen", "rejected")
    }
    assert 40 <= min(lengths["prompt"]) < 100 < 200 < max(lengths["prompt"]) <= 320
    for name in ("chosen", "rejected"):
        assert 16 <= min(lengths[name]) < 40 < 80 < max(lengths[name]) <= 160
    assert lengths["chosen"] != lengths["rejected"]


@pytest.mark.parametrize(
    ("theirs", "said"),
    [
        ({}, []),
        ({"loss": [0.6931, 0.50009]}, []),
        ({"loss": [0.6931, 0.5002]}, ["step 2: loss 0.500000, TRL's 0.500200"]),
        ({"grad_norm": [7.0005, 8.0]}, []),  # relative
        ({"grad_norm": [7.001, 8.0]}, ["step 1: grad_norm 7.000000, TRL's 7.001000"]),
        ({"pairs": [["a", "c"], ["b", "d"]]}, ["other pairs, or other steps"]),
        ({"trainable": 99}, ["100 parameters, TRL trains 99"]),
    ],
)
def test_a_curve_that_parts_is_told(theirs, said):
    runs = {"xtune": result(), "TRL, fastest": result(**theirs)}
    lines, wrong = _curve(runs, STEPS)
    assert wrong == said
    assert [line for line in lines if line.startswith("- **")] == [f"- **{one}**" for one in said]


def test_each_setting_of_trl_is_held_against_the_same_of_xtune():
    runs = {
        "xtune": result(),
        "xtune, checkpointed": result(seconds=[9.0, 4.0], peak_mb=800.0),
        "TRL, fastest": result(seconds=[1.0, 8.0], peak_mb=4000.0),
        "TRL, by default": result(seconds=[1.0, 20.0], peak_mb=1600.0),
    }
    rows = [line for line in _speed({"bf16": runs}, STEPS) if line.startswith(("| TRL", "| xtune"))]
    assert rows[0] == "| xtune | bf16 | 2.000 |  | 300 | 1,000 |  | 500 |  |"
    assert (
        "| 0.500 | 4.00x (goal 2x) | 300 | 4,000 | 0.25x (goal 0.5x) | 3,500 | 0.14x |" in rows[2]
    )
    assert (
        "| 0.200 | 5.00x (goal 2x) | 300 | 1,600 | 0.50x (goal 0.5x) | 1,100 | 0.27x |" in rows[3]
    )
