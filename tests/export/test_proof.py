"""What a proof asks, and how it compares."""

from __future__ import annotations

import json

import pytest
import torch

from tests.runs import sheet_of
from xtune.export.proof.dialogues import all_dialogues, dialogues_of_run
from xtune.export.proof.limits import limit_for
from xtune.export.proof.reference import Scored
from xtune.export.proof.scores import Given, first_difference, scores_of


def rows_of(file):
    return [json.loads(line)["messages"] for line in file.read_text().splitlines()]


@pytest.mark.parametrize("has_validation", [True, False])
def test_a_runs_own_rows_are_asked(has_validation, inputs, tmp_path):
    further = [f"val_data_path={inputs.val}"] if has_validation else []
    (tmp_path / "config.py").write_text(str(sheet_of(inputs, *further)))
    adapter = tmp_path / "checkpoints/step_000001/adapter"
    adapter.mkdir(parents=True)
    own = dialogues_of_run(adapter)
    expected = rows_of(inputs.val if has_validation else inputs.data)[:12]
    assert [(one.messages, one.answer) for one in own] == [
        (messages[:-1], messages[-1]["content"]) for messages in expected
    ]
    asked = all_dialogues(own, has_tools=True)
    assert len(asked) == 18
    assert [one.name for one in asked[12:]] == [
        "no system",
        "system",
        "three turns",
        "tool call",
        "control texts",
        "odd texts",
    ]


def test_a_folder_of_no_run_and_lost_data(inputs, tmp_path, caplog):
    assert dialogues_of_run(tmp_path) == []
    (tmp_path / "config.py").write_text(str(sheet_of(inputs, "data_path=./gone.jsonl")))
    adapter = tmp_path / "checkpoints/step_000001/adapter"
    adapter.mkdir(parents=True)
    assert dialogues_of_run(adapter) == []
    assert "general ones are asked in their place" in caplog.text


def scored(*rows, ids=(0, 1, 1)):
    log_probs = torch.tensor(rows).log()
    return Scored(list(ids), list(range(1, len(rows) + 1)), log_probs, own=True)


def test_scores_by_hand():
    text = scored([0.5, 0.4, 0.1], [0.1, 0.8, 0.1])
    given = [
        Given(None, torch.tensor([0.4, 0.5, 0.1]).log()),
        Given(torch.tensor([1, 0]), torch.tensor([0.8, 0.1]).log()),
    ]
    found = scores_of([text], [given])
    assert (found.places, found.top1, found.whole) == (2, 50.0, False)
    # 0.5 ln(0.5/0.4) + 0.4 ln(0.4/0.5) = 0.0223; the second place is the same
    assert found.kl_max == pytest.approx(0.02231, abs=1e-5)
    assert found.kl_mean == pytest.approx(0.01116, abs=1e-5)
    assert found.flips == (pytest.approx(0.22314, abs=1e-5),)  # ln(0.5/0.4)
    assert found.nll_rise == pytest.approx(-0.11157, abs=1e-5)  # half of ln(0.4/0.5)


def test_what_a_server_leaves_out_is_one_outcome():
    text = scored([0.5, 0.3, 0.2])
    listed = [Given(torch.tensor([0]), torch.tensor([0.6]).log())]
    # 0.5 ln(0.5/0.6) + 0.5 ln(0.5/0.4)
    assert scores_of([text], [listed]).kl_mean == pytest.approx(0.02041, abs=1e-5)


def test_where_a_greedy_answer_parts():
    text = scored([0.5, 0.4, 0.1], [0.1, 0.8, 0.1], ids=(0, 0, 1))
    assert first_difference(text, [0, 1]) is None
    assert first_difference(text, [0, 2]) == (1, pytest.approx(2.0794, abs=1e-4))  # ln(8)
    assert first_difference(text, [0]) == (1, pytest.approx(2.0794, abs=1e-4))
    assert first_difference(text, [1, 1]) == (0, pytest.approx(0.2231, abs=1e-4))


def test_limits():
    assert limit_for("q8_0", in_16_bits=False)[:] == (97.0, 6e-3, 1.0)
    assert limit_for("q8_0", in_16_bits=False, in_8_bits=True).kl == pytest.approx(1.5e-2)
    assert limit_for("f16", in_16_bits=False, in_8_bits=True) == limit_for("f16", in_16_bits=False)
    assert limit_for("bf16", in_16_bits=True)[:] == (95.0, pytest.approx(3.2e-3), 0.5)
    assert limit_for("q4_0", in_16_bits=True).flip is None
    assert limit_for("f16", in_16_bits=False).tie == pytest.approx(0.04)
    assert limit_for("q5_0", in_16_bits=False).tie == 0
