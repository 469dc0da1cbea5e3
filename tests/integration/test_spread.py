"""Two processes of which one is slow, or has a loss that is no number: which one is said."""

from __future__ import annotations

import json

import pytest

from tests.integration.hang import end_of, hang
from tests.integration.test_ddp import run, start
from tests.runs import metrics


def test_the_slowest_rank_is_known_by_its_number(inputs, tmp_path):
    said = run(inputs, tmp_path / "run", hang("work", seconds=2), "max_steps=4")
    rows = metrics(tmp_path / "run")
    assert rows[2]["slowest_rank"] == 1
    assert rows[2]["work_s_max"] > 2 > rows[2]["work_s_min"]
    assert all(row["peak_memory_mb_max"] > 0 for row in rows)
    assert {row["fullest_rank"] for row in rows} <= {0, 1}
    assert "(slowest: rank " in said


@pytest.mark.slow
@pytest.mark.parametrize("rank", [0, 1])
def test_a_loss_that_is_no_number_on_one_rank_is_found_there(inputs, tmp_path, rank):
    process = start(inputs, tmp_path, hang("spoil", rank=rank))
    end = "\n".join(end_of(process))
    assert process.returncode == 1, end
    assert "the loss is nan at step 3; the weights were not touched" in end
    assert [path.name for path in tmp_path.glob("nan_*")] == [f"nan_batch_step_3.rank{rank}.json"]
    aside = json.loads((tmp_path / f"nan_batch_step_3.rank{rank}.json").read_text())
    samples = [document["sample"] for batch in aside["micro_batches"] for document in batch]
    listed = ", ".join(map(str, samples[:10]))
    assert f"It comes from rank {rank}, micro-batch 1, 2 of 2, samples {listed}" in end
