"""A whole model that is divided: each process saves its parts, and all of them answer together."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
from safetensors import safe_open
from safetensors.torch import load_file

from tests.integration.local_bytes import launch
from tests.integration.test_ddp import chosen
from tests.runs import Inputs
from tests.tiny import write_tiny_llama
from xtune.engine.hooks.base import Hook
from xtune.watch.connection import listen

STRATEGIES = {
    "fsdp": ["--strategy", "fsdp"],
    "zero2": ["--deepspeed", "deepspeed_zero2"],
    "zero3": ["--deepspeed", "deepspeed_zero3"],
}


class SavingMemoryHook(Hook):
    """Writes work_dir/saving.json: by how much the main process grew while it saved, in bytes."""

    def before_save_checkpoint(self, runner: Any, state: dict[str, Any]) -> None:
        self.peak = self.before = anonymous_memory()
        self.saved = threading.Event()
        self.watch = threading.Thread(target=self._watch)
        self.watch.start()

    def after_save_checkpoint(self, runner: Any, folder: Path) -> None:
        self.saved.set()
        self.watch.join()
        grown = self.peak - self.before
        (runner.work_dir / "saving.json").write_text(json.dumps(grown))

    def _watch(self) -> None:
        while not self.saved.wait(0.002):
            self.peak = max(self.peak, anonymous_memory())


def anonymous_memory() -> int:
    """Bytes of this process that are no file's."""
    status = Path("/proc/self/status").read_text()
    return int(status.split("RssAnon:")[1].split()[0]) * 1024


@pytest.fixture(scope="module")
def trained(inputs, tmp_path_factory) -> tuple[int, Path]:
    """The number of weights, and the folder with a work_dir of each strategy on 4 processes."""
    folder = tmp_path_factory.mktemp("parts")
    model = write_tiny_llama(
        folder / "llama", hidden_size=512, intermediate_size=4096, num_hidden_layers=4
    )
    with safe_open(model / "model.safetensors", "pt") as file:
        count = sum(file.get_tensor(name).numel() for name in file.keys())  # noqa: SIM118
    hook = {"type": f"{__file__}:SavingMemoryHook"}
    further = ["max_steps=1", "accumulative_counts=1", f"default_hooks.tensorboard={hook!r}"]
    further.append(f"pretrained_model_name_or_path={model}")
    further.append("evaluation_inputs=['have seven miles', 'Paris']")
    further.append("custom_hooks.0.max_new_tokens=8")
    words = ["--cfg-options", *chosen(inputs, *further, config="custom_sft_full")]
    runs = [
        (str(folder / name), ["custom_sft_full", *started, *words])
        for name, started in STRATEGIES.items()
    ]
    launch(folder, runs, 4)
    return count, folder


@pytest.mark.slow
@pytest.mark.parametrize("name", STRATEGIES)
def test_each_process_writes_its_share_of_the_state(trained, name):
    count, folder = trained
    files = sorted((folder / name / "checkpoints/latest/state/parts").iterdir())
    assert [file.name for file in files] == [f"state_{k:05d}.safetensors" for k in range(4)]
    held = [sum(t.numel() for t in load_file(file).values() if t.ndim) for file in files]
    assert sum(held) == 2 * count  # two moments of each weight, none twice
    assert max(held) < 1.05 * sum(held) / 4
    left = {path.name for path in (folder / name / "checkpoints").iterdir()}
    assert left == {"latest", "step_000001"}


@pytest.mark.slow
@pytest.mark.parametrize("name", STRATEGIES)
def test_the_main_process_never_holds_the_whole(trained, name):
    count, folder = trained
    grown = json.loads((folder / name / "saving.json").read_text())
    share = 12 * count / 4  # of fp32 weights and moments
    # next to its own share: what is read and written at a time, and what libraries set aside
    assert grown < share + 0.25 * 12 * count


@pytest.mark.slow
@pytest.mark.parametrize("step", [0, 1])
def test_all_processes_answer_together_what_one_answers_alone(trained, step):
    _, folder = trained
    said = [(folder / name / f"chat_samples/step_{step}.txt").read_text() for name in STRATEGIES]
    assert said[0] == said[1] == said[2]  # zero2's main process has the whole model
    assert said[0].startswith("> have seven miles\n")


@pytest.mark.slow
def test_hosts_that_share_no_folder_are_told_before_the_model_is_loaded(inputs: Inputs, tmp_path):
    words = [*chosen(inputs, config="custom_sft_full"), "strategy.type=FSDPStrategy"]
    with listen() as free:
        port = str(free.getsockname()[1])
    started = [
        subprocess.Popen(
            [
                *(sys.executable, "-m", "xtune.cli.process", "train", "custom_sft_full"),
                *("--work-dir", str(tmp_path / f"host{host}"), "--cfg-options", *words),
            ],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=os.environ
            | {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "PORT": port, "ADDR": "127.0.0.1"}
            | {"NNODES": "2", "NODE_RANK": str(host)},
        )
        for host in range(2)
    ]
    said = [process.communicate(timeout=120)[0] for process in started]
    assert [process.returncode for process in started] == [2, 2], said
    assert "process 1 does not see the files that process 0 writes into" in said[0]
    assert "Give a --work-dir that all hosts share" in said[1]
