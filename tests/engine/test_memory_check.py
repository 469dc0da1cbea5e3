"""A run that cannot fit is stopped before it loads; one whose memory runs out says what took it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch

from tests.forked import Forked
from tests.runs import options, sheet_of
from tests.tiny import write_tiny_llama
from xtune.engine.memory_check import MemoryCheck, is_out_of_memory
from xtune.engine.runner import Runner
from xtune.errors import TrainingError
from xtune.planning.requirement import DeviceMemory

LIMIT = """
import resource
from pathlib import Path
from xtune.engine.hooks.base import Hook

class LimitHook(Hook):
    "From the first step on the process may take no more than it has then, and 20 MB."
    def before_train_iter(self, runner, batches):
        if runner.step:
            return
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        most = pages * resource.getpagesize() + 20 * 2**20
        resource.setrlimit(resource.RLIMIT_AS, (most, resource.RLIM_INFINITY))
"""


class SmallPlace(MemoryCheck):
    """As on a machine that has a hundredth less than the run needs."""

    def look(self, run):
        super().look(run)
        self.place = DeviceMemory("cpu", 0.99 * self.need.gib)


def test_a_run_that_cannot_fit_stops_before_the_weights_with_the_advice(inputs, tmp_path):
    # Wide, it takes with a short row what it would with a long one, and is traced soon.
    wide = write_tiny_llama(tmp_path / "wide", width=512)
    chosen = [f"pretrained_model_name_or_path={wide}", "max_length=4096"]
    sheet = sheet_of(inputs, *chosen, config="custom_sft_full")
    runner = Runner(sheet, work_dir=tmp_path / "run", memory_check=SmallPlace())
    with pytest.raises(TrainingError) as caught:
        runner.train()
    said = str(caught.value)
    assert "GiB and cpu has " in said
    assert "GiB  activations" in said
    assert "gradient_checkpointing=True" in said
    assert "--force" in said
    assert not hasattr(runner.run, "model")


def test_with_force_it_goes_on(inputs, tmp_path):
    sheet = sheet_of(inputs, "max_steps=1")
    check = SmallPlace(force=True)
    assert Runner(sheet, work_dir=tmp_path / "run", memory_check=check).train().step == 1
    assert "GiB  activations" in (tmp_path / "run/train.log").read_text()


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="needs Linux's limits")
def test_when_memory_runs_out_the_error_says_where_what_and_what_to_do(inputs, tmp_path):
    (tmp_path / "limit.py").write_text(LIMIT)
    rows = tmp_path / "rows.jsonl"
    rows.write_text(inputs.data.read_text() * 4)  # one pack, which takes a quarter of a GB
    wide = write_tiny_llama(tmp_path / "wide", width=256)
    chosen = [o for o in options(inputs) if not o.startswith(("lora.", "default_hooks.tens"))]
    chosen += [f"pretrained_model_name_or_path={wide}"]
    chosen += [f"data_path={rows}", "max_length=8192", "accumulative_counts=1"]
    chosen += [f"default_hooks.tensorboard={{'type': '{tmp_path / 'limit.py'}:LimitHook'}}"]
    words = ["train", "custom_sft_full", "--work-dir", str(tmp_path / "run")]
    words += ["--cfg-options", *chosen]
    process = Forked("xtune.cli.process", words, tmp_path / "said.txt")
    said = process.communicate(timeout=300)[0]
    assert process.returncode == 1, said[-2000:]
    assert re.search(r"memory has run out in step \d+: (forward|backward) 1/1; ", said)
    assert "the longest pack has " in said
    assert "GiB  activations" in said
    assert any(text in said for text in ("it fits with: ", "makes it fit", "xtune estimate"))


@pytest.mark.parametrize(
    ("error", "is_one"),
    [
        (torch.OutOfMemoryError("CUDA out of memory"), True),
        (MemoryError(), True),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried ..."), True),
        (OSError(12, "Cannot allocate memory"), True),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), False),
        (ValueError("not enough memory"), False),
    ],
)
def test_what_counts_as_running_out(error, is_one):
    assert is_out_of_memory(error) == is_one
