"""xtune profile, as a user types it."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys

import pytest

from tests.runs import options
from xtune.cli.entry import main


def test_a_table_a_trace_and_the_gap_to_the_limit(inputs, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    kept = [o for o in options(inputs) if not o.startswith(("default_hooks", "evaluation"))]
    assert main(["profile", "custom_sft_lora", "--steps", "2", "--cfg-options", *kept]) == 0
    out = capsys.readouterr().out
    rows = dict(re.findall(r"^(\w[\w ]{2,15}?) +([\d.]+) s +[\d.]+ s", out, re.M))
    parts = {"attention", "linear", "norm", "MLP activation", "loss", "optimizer", "data"}
    parts |= {"communication", "other"}
    assert rows.keys() == parts
    assert float(rows["linear"]) > 0
    kept_by = dict(re.findall(r"^(\w[\w ]{2,15}?) +[\d.]+ s.* ([\d.]+) MiB$", out, re.M))
    assert float(kept_by["linear"]) > 0
    assert "2 steps of 2 micro-batches" in out
    assert re.search(r"a step takes [\d.]+ times the larger", out)
    folder = tmp_path / "work_dirs/custom_sft_lora_profile"
    assert (folder / "profile.txt").read_text().splitlines()[0] in out
    trace = json.loads((folder / "trace.json").read_text())
    names = {event.get("name", "") for event in trace["traceEvents"]}
    assert "xtune part: attention" in names
    assert not (folder / "checkpoints").exists() or not list((folder / "checkpoints").iterdir())


@pytest.mark.slow
def test_several_processes_are_told_what_communication_takes(inputs, tmp_path):
    kept = [o for o in options(inputs) if not o.startswith(("default_hooks", "evaluation"))]
    words = ["profile", "custom_sft_lora", "--steps", "2", "--work-dir", str(tmp_path / "run")]
    done = subprocess.run(
        [sys.executable, "-m", "xtune.cli.process", *words, "--cfg-options", *kept],
        capture_output=True,
        text=True,
        timeout=300,
        env=os.environ | {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "NPROC_PER_NODE": "2"},
    )
    assert done.returncode == 0, done.stderr
    row = re.search(r"^communication +([\d.]+) s +([\d.]+) s +([\d.]+)%", done.stdout, re.M)
    assert row, done.stdout
    assert float(row[3]) > 0


def test_no_steps_are_misuse(capsys):
    assert main(["profile", "smollm2_135m_lora_toolcall", "--steps", "0"]) == 2
    assert "--steps 0" in capsys.readouterr().err
