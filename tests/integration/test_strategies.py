"""Every strategy makes the steps of one process, and a checkpoint that any of them goes on from."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from peft import PeftModel
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM

from tests.integration.equivalence import (
    METHODS,
    ROWS,
    STEPS,
    differences,
    folder_of,
    half_way,
    run_alone,
    run_rows,
    train_alone,
)
from tests.once import once
from tests.runs import Inputs, metrics


def _case(row, method):
    """More processes than two take long and differ in little."""
    marks = [pytest.mark.slow] if row.processes > 2 else []
    return pytest.param((row, method), marks=marks, id=f"{row.name}-{row.processes}-{method}")


CASES = [_case(row, method) for row in ROWS for method in row.methods]
LORA = [_case(row, "lora") for row in ROWS if "lora" in row.methods]
# Adam makes steps of one size out of gradients of any, and the adapter on NF4 has the smallest.
CLOSE = {
    "full": 1e-4,
    "lora": 1e-4,
    "qlora": 5e-4,
    "pairs": 1e-4,
    "pairs lora": 1e-4,
    "dpo lora": 1e-3,
    "dpo goes on": 1e-3,
    "dpo precomputed": 1e-3,
    "kto lora": 1e-3,
    "reward": 1e-3,
    "reward lora": 1e-3,
}


@pytest.fixture(scope="session")
def launched(inputs, shared_folder):
    """Give the folder of all rows of so many processes, run when the first is asked for."""
    root = shared_folder / "rows"
    counts = sorted({row.processes for row in ROWS})

    def of(processes: int) -> tuple[Path, str]:
        trained: set[str] = set()
        for count in (count for count in counts if count <= processes):
            wanted = {m for row in ROWS if row.processes == count for m in row.methods}
            new = [method for method in METHODS if method in wanted - trained]
            once(root / f"alone_for_{count}", _run_alone(inputs, root, new))
            trained |= wanted
            # more processes go on from checkpoints of fewer
            said = once(root / f"said_by_{count}", _run_rows(inputs, root, count))
        return root, said.read_text(encoding="utf-8")

    return of


def _run_alone(inputs: Inputs, root: Path, methods: list[str]):
    return lambda _: run_alone(inputs, root, methods=methods)


def _run_rows(inputs: Inputs, root: Path, count: int):
    return lambda said: said.write_text(run_rows(inputs, root, count), encoding="utf-8")


def _weights(folder: Path) -> dict[str, torch.Tensor]:
    files = (folder / "checkpoints/latest").glob("*/*.safetensors")
    return {
        name: weight
        for file in files
        if file.parent.name in ("adapter", "model", "score")
        for name, weight in load_file(file).items()
    }


@pytest.mark.parametrize("case", CASES)
def test_its_steps_and_weights_are_those_of_one_process(case, launched):
    row, method = case
    root, said = launched(row.processes)
    folder = folder_of(root, row, method)
    assert (folder / "checkpoints/latest").exists(), said
    assert len(metrics(folder)) == STEPS // (2 if row.resumes else 1)
    alone = root / "alone" / method
    for column, difference in differences(folder, alone).items():
        assert difference <= CLOSE[method], column
    one, many = _weights(alone), _weights(folder)
    assert one.keys() == many.keys()
    assert one
    for name, weight in one.items():
        torch.testing.assert_close(many[name], weight, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("case", LORA)
def test_its_adapter_loads_in_plain_peft_and_gives_the_same_logits(case, launched, inputs):
    row, _ = case
    root, _ = launched(row.processes)
    ids = torch.arange(5, 25)[None]
    logits = [
        PeftModel.from_pretrained(
            AutoModelForCausalLM.from_pretrained(inputs.model),
            folder / "checkpoints/latest/adapter",
        )(ids).logits
        for folder in (root / "alone/lora", folder_of(root, row, "lora"))
    ]
    torch.testing.assert_close(*logits, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("method", ["full", "lora"])
def test_one_process_goes_on_from_a_sharded_run(method, inputs, launched, tmp_path):
    root, _ = launched(2)
    train_alone(inputs, tmp_path, method, half_way(root / "zero3-2" / method))
    found = differences(tmp_path, root / "alone" / method)
    assert max(found.values()) <= CLOSE[method], found


def test_every_method_has_a_row_that_shards(inputs: Inputs):
    sharding = {m for row in ROWS for m in row.methods if row.strategy["type"] == "FSDPStrategy"}
    assert sharding == set(METHODS)
