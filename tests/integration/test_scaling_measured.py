"""What `xtune scaling` says each process holds, against what each does, on gloo processes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.integration import local_bytes
from tests.runs import metrics, options
from xtune.config import render
from xtune.config.strategies import SHARDINGS
from xtune.models import choose_precision
from xtune.planning.memory import estimate_memory
from xtune.planning.sharded_state import state_of
from xtune.planning.weight_shards import bytes_held

HOOK = f"default_hooks.tensorboard={{'type': '{local_bytes.__file__}:LocalBytesHook'}}"
STARTED_BY = {
    "ddp": ["--strategy", "ddp"],
    "fsdp": ["--strategy", "fsdp"],
    "zero1": ["--deepspeed", "deepspeed_zero1"],
    "zero2": ["--deepspeed", "deepspeed_zero2"],
    "zero3": ["--deepspeed", "deepspeed_zero3"],
}
CASES = {
    "full-bf16": ("custom_sft_full", "bf16"),
    "lora": ("custom_sft_lora", "fp32"),
}


def chosen(inputs, case: str) -> list[str]:
    config, precision = CASES[case]
    every = [*options(inputs), "max_steps=1", "accumulative_counts=1", HOOK]
    every.append(f"strategy.precision={precision}")
    return [o for o in every if config != "custom_sft_full" or not o.startswith("lora.")]


@pytest.fixture(scope="module", params=[2, 4], ids=lambda devices: f"{devices}processes")
def trained(request, inputs, tmp_path_factory) -> tuple[int, Path]:
    """So many processes, and the folder with a work_dir of each strategy and case."""
    folder = tmp_path_factory.mktemp("measured")
    runs = [
        (
            str(folder / strategy / case),
            [CASES[case][0], *STARTED_BY[strategy], "--cfg-options", *chosen(inputs, case)],
        )
        for strategy in STARTED_BY
        for case in CASES
    ]
    local_bytes.launch(folder, runs, request.param)
    return request.param, folder


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("strategy", STARTED_BY)
def test_each_process_holds_what_was_said(inputs, trained, strategy, case):
    devices, folder = trained
    files = sorted((folder / strategy / case).glob("bytes.rank*.json"))
    measured = [json.loads(file.read_text()) for file in files]
    assert len(measured) == devices
    config, precision = CASES[case]
    formats = choose_precision("cpu", precision)
    cfg = render(config, chosen(inputs, case)).values
    components = estimate_memory(cfg["model"], formats, 128).components
    # At the optimizer's step fsdp has parted an adapter's gradients too: as in the paper.
    sharding = SHARDINGS[strategy]
    number = formats.compute_dtype.itemsize
    said, _ = bytes_held(sharding, state_of(sharding, components, number, 0), devices)
    assert {"trained weights", "optimizer"} <= measured[0].keys()
    for kind in measured[0]:
        # Parts are rounded up to whole rows, so that the first processes hold some more.
        mean = sum(held[kind] for held in measured) / devices
        assert mean == pytest.approx(said[kind], rel=0.02), kind
        for held in measured:
            assert held[kind] == pytest.approx(said[kind], rel=0.1), kind


@pytest.mark.slow
def test_each_device_has_its_part_of_the_rate(trained):
    devices, folder = trained
    (row,) = metrics(folder / "ddp" / "lora")
    assert row["tokens_per_s_per_device"] == pytest.approx(row["tokens_per_s"] / devices)
    assert row["tflops_per_device"] > 0
