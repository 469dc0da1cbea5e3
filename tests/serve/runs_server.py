"""A server with no model, and runs to look at: two tiny ones, trained, with what was measured.

with runs_served(folder) as ask: status, answer = ask("/xtune/runs")
"""

from __future__ import annotations

import asyncio
import http.client
import json
import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import uvicorn

from tests.once import once
from tests.runs import Inputs, sheet_of, train
from xtune.engine.runner import Runner
from xtune.serve.api.app import build_app
from xtune.serve.api.context import ApiContext
from xtune.serve.page.run_folder import RunFolder
from xtune.serve.run import HTTP_SETTINGS, listen

__all__ = ["COMPARED", "REPORT", "copy_of_runs", "run_with", "runs", "runs_served"]

COMPARED = {
    "format_version": 2,
    "title": "sft, before and after",
    "before": "llama",
    "after": "sft",
    "date": "2026-11-30 12:00",
    "tasks": {"toolcall": {"headline": "exact", "before": 0.25, "after": 0.75, "n": 8}},
}
REPORT = """<!doctype html><html lang="en"><title>Report</title><style>p { color: red }</style>
<p id="said">nothing</p><script>
document.getElementById("said").textContent = "the script has run, from " + origin;
</script></html>"""
_SMALL = ("max_steps=4", "save_steps=2", "lora.lora_dropout=0.0")


@pytest.fixture(scope="session")
def runs(shared_folder, inputs) -> Path:
    """A folder of runs; not to be changed."""
    return once(shared_folder / "page_runs", lambda folder: write_runs(folder, inputs))


def write_runs(folder: Path, inputs: Inputs) -> None:
    """Train `sft` on a mixture of two files, and `dpo` on pairs; write evaluations next to them."""
    mixture = [
        {"data_path": str(inputs.data), "map_fn": "openai", "epochs": 1},
        {"data_path": str(inputs.val), "map_fn": "openai", "epochs": 2},
    ]
    train(inputs, folder / "sft", *_SMALL, f"data_path={mixture}", f"val_data_path={inputs.val}")
    pairs = f"data_path={inputs.data.with_name('pairs.jsonl')}"
    dpo = sheet_of(inputs, *_SMALL, pairs, "map_fn=auto", config="custom_dpo_lora")
    Runner(dpo, work_dir=folder / "dpo").train()
    for place, values in (
        ("sft/report", COMPARED),
        ("sft/evaluation/after", {**_measured("sft"), "format_version": 2}),
        ("evaluation/llama", _measured("llama")),
        ("judge/a-b", _JUDGED),
        ("score/rm", _SCORED),
    ):
        (folder / place).mkdir(parents=True)
        (folder / place / "results.json").write_text(json.dumps(values))
        if place != "sft/evaluation/after":
            (folder / place / "report.html").write_text(REPORT)


@contextmanager
def runs_served(
    folder: Path | None, *, keys: tuple[str, ...] = ()
) -> Iterator[Callable[..., tuple[int, Any]]]:
    """Serve for the `with` block; gives what asks for a path and returns status and answer."""
    runs = None if folder is None else RunFolder(folder)
    app = build_app(ApiContext(runs=runs), keys=keys)
    listening = listen("127.0.0.1", 0)
    server = uvicorn.Server(uvicorn.Config(app, **HTTP_SETTINGS))
    thread = threading.Thread(
        target=lambda: asyncio.run(server.serve(sockets=[listening])), daemon=True
    )
    thread.start()

    def ask(path: str, headers: dict[str, str] | None = None) -> tuple[int, Any]:
        connection = http.client.HTTPConnection(*listening.getsockname(), timeout=60)
        connection.request("GET", path, headers=headers or {})
        response = connection.getresponse()
        content = response.read()
        connection.close()
        ask.headers = response.headers
        if response.headers["content-type"] != "application/json":
            return response.status, content.decode()
        return response.status, json.loads(content, parse_constant=_no_json)

    try:
        yield ask
    finally:
        server.should_exit = True
        thread.join()


def copy_of_runs(folder: Path, to: Path) -> Path:
    """Copy runs, to change them."""
    shutil.copytree(folder, to, symlinks=True)
    return to


def run_with(folder: Path, lines: list[str], *, end: str = "\n") -> None:
    """A folder of a run that has logged these lines and says nothing of itself."""
    folder.mkdir(parents=True)
    (folder / "config.py").write_text("")
    (folder / "metrics.jsonl").write_text("\n".join(lines) + end)


def _no_json(constant: str) -> Any:
    raise AssertionError(f"{constant} is no JSON")


def _measured(name: str) -> dict[str, Any]:
    task = {"headline": "accuracy", "score": 0.5, "n": 4}
    return {"name": name, "run": {"date": "2026-11-29 09:00"}, "tasks": {"mmlu": task}}


_JUDGED = {
    "date": "2026-11-28 10:00",
    "ask": "winner",
    "verdicts": {"requests": 2},
    "answers": [{"model": "a"}, {"model": "b"}],
    "scores": [
        {"model": "a", "opponent": "b", "micro": 75.0},
        {"model": "b", "opponent": "a", "micro": 25.0},
    ],
}
_SCORED = {
    "date": "2026-11-27 10:00",
    "model": "rm",
    "data": "held_out.jsonl",
    "kind": "reward",
    "reading": "end",
    "accuracy": {"right": 0.875, "pairs": 16},
}
