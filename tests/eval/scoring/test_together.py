"""Processes that share a model score with it: as many passes each, and the numbers of one alone."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.forked import run_ranks
from tests.runs import options, train
from xtune.eval.result_files import read_results

OWN = Path(__file__).parents[1] / "own_tasks.py"
# 1,200 requests are five blocks: one process has three of them, the other two and fillers
LETTERS = {"type": f"{OWN}:Letters", "every": 9, "count": 600}
OTHERS = [{"type": f"{OWN}:{name}", "every": 9} for name in ("FailsOnOne", "FailsAmid", "Counted")]
ONE_STEP = ["max_steps=1", "accumulative_counts=1", "lora.lora_dropout=0.0", "lr=1e-9"]


def rows_of(run):
    task = read_results(run / "evaluation" / "step_000000")["letters"]
    return {row.id: row for row in task.rows}


def with_tools(folder):
    """The two tasks of the house that ask in their own way; one process has one row of three."""
    asked = [[{"role": "user", "content": f"{n}?"}] for n in range(3)]
    rows = [{"messages": [*one, {"role": "assistant", "content": "No."}]} for one in asked]
    path = folder / "rows.jsonl"
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows), encoding="utf-8")
    common = {"data_path": str(path), "every": 9, "batch_size": 1, "max_new_tokens": 3}
    return [
        {"type": "AgentEvaluation", "tools": {"calculator": {}}, **common},
        {"type": "ToolCalls", **common},
    ]


@pytest.fixture(scope="module")
def alone(inputs, tmp_path_factory):
    run = tmp_path_factory.mktemp("alone") / "run"
    train(inputs, run, *ONE_STEP, f"evaluations={[LETTERS]}")
    return rows_of(run)


@pytest.mark.parametrize(
    "strategy", ["FSDPStrategy", pytest.param("DeepSpeedStrategy", marks=pytest.mark.slow)]
)
def test_a_sharded_model_gives_the_numbers_of_a_whole_one(inputs, alone, tmp_path, strategy):
    run = tmp_path / "run"
    tasks = f"evaluations={[*OTHERS, *with_tools(tmp_path), LETTERS]}"
    chosen = [*options(inputs), *ONE_STEP, tasks, f"strategy.type={strategy}"]
    if strategy == "DeepSpeedStrategy":
        chosen.append("strategy.config=deepspeed_zero3")
    words = ["train", "custom_sft_lora", "--work-dir", str(run), "--cfg-options", *chosen]
    said = run_ranks("xtune.cli.process", words, tmp_path, 2)
    found = rows_of(run)
    assert found.keys() == alone.keys()
    assert len(found) == 600
    for key, row in found.items():
        assert row.got == alone[key].got
        assert row.margin == pytest.approx(alone[key].margin, abs=1e-4)
    # what fails before, on one process or on all, neither ends the run nor is waited for
    goes_on = "is not measured, and the training goes on"
    why = "process 1 could not answer its part: ValueError('the disk is full')"
    assert f'step 0: fails_on_one {goes_on}: XtuneError("{why}")' in said
    assert f"step 1: fails_amid {goes_on}: memory has run out" in said
    # a task that asks in its own way is dealt out too: four blocks of two and one item
    asked = read_results(run / "evaluation" / "step_000000")["counted"].rows
    assert "".join(row.got[0] for row in asked) == "0011001"
    both = read_results(run / "evaluation" / "step_000001")
    assert [len(both[name].rows) for name in ("agent", "tool_calls")] == [3, 3]
