"""Measured processes and made-up rows."""

from __future__ import annotations

import json
import sys

import pytest
from harness import alpaca_like
from harness.measured import ProgramFailed, run


def test_the_memory_of_children_counts():
    holds = "import time; x = bytearray(300_000_000); time.sleep(1.5); print(len(x))"
    child = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {holds!r}])"
    measured = run([sys.executable, "-c", child])
    assert measured.stdout.strip() == "300000000"
    assert measured.peak_memory_mb > 286  # 300 MB in MiB
    assert measured.seconds > 1.5


def test_threads_and_variables_reach_the_program(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    shows = "import os; print(os.environ.get('OMP_NUM_THREADS'), os.environ['A'])"
    command = [sys.executable, "-c", shows]
    assert run(command, threads=2, environment={"A": "b"}).stdout.split() == ["2", "b"]
    assert run(command, environment={"A": "b"}).stdout.split() == ["None", "b"]


def test_a_program_that_fails_says_what_it_said():
    with pytest.raises(ProgramFailed, match="no luck"):
        run([sys.executable, "-c", "import sys; sys.exit('no luck')"])


def test_rows_are_those_of_their_seed(tmp_path, monkeypatch):
    vocabulary = {f"Ġ{word}": n for n, word in enumerate(["the", "and", "for", "x1", "you"])}
    tokenizer = tmp_path / "tokenizer.json"
    tokenizer.write_text(json.dumps({"model": {"vocab": vocabulary}}))
    monkeypatch.setattr(alpaca_like, "_BLOCK", 40)
    made = {}
    for name, count, seed in (("a", 90, 0), ("b", 90, 0), ("c", 90, 1)):
        path = tmp_path / name
        alpaca_like.write_rows(path, count, tokenizer_file=tokenizer, seed=seed)
        made[name] = path.read_text()
    assert made["a"] == made["b"] != made["c"]
    rows = [json.loads(line) for line in made["a"].splitlines()]
    assert len(rows) == 90
    assert all(row["instruction"] and row["output"] for row in rows)
    assert 10 < sum(bool(row["input"]) for row in rows) < 70
    assert "x1" not in made["a"]
