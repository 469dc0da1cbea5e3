"""docs/*/document_qa.md runs as it stands, cell by cell, against a server with a tiny model."""

from __future__ import annotations

import contextlib
import io
import re
import shutil
from pathlib import Path

import pytest

pytest.importorskip("langchain_openai", reason="needs pip install '.[dev]'; make test does it")

ROOT = Path(__file__).resolve().parents[2]
PAGES = ("serve.md", "chat.md", "export.md")  # the tiny model has a token for nearly each letter


def cells(language: str) -> list[str]:
    page = (ROOT / f"docs/{language}/document_qa.md").read_text("utf-8")
    return re.findall(r"^```python\n(.*?)^```\n", page, re.M | re.S)


def test_both_pages_have_the_same_cells():
    assert len(cells("en")) == 8
    assert cells("zh") == cells("en")


def test_every_cell_runs(api, tmp_path, monkeypatch):
    """In one namespace, as a kernel does; three pages of the documentation, and another address."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "docs/en").mkdir(parents=True)
    for name in PAGES:
        shutil.copy(ROOT / "docs/en" / name, tmp_path / "docs/en")
    names: dict[str, object] = {}
    said = []
    for number, cell in enumerate(cells("en")):
        out = io.StringIO()
        with contextlib.redirect_stdout(out):
            text = cell.replace("http://127.0.0.1:8000/v1", f"{api.url}/v1")
            exec(compile(text, f"cell {number}", "exec"), names)
        said.append(out.getvalue())
    _, searched, places, answered, near, chained, streamed, scores = said
    assert re.match(r"\[1\] \w+\.md, line \d+\n", searched)
    assert "\n\n[2] " in searched
    assert re.match(r"\w+\.md, line \d+$", places.splitlines()[0])
    assert answered.rstrip().endswith(f"[{places.splitlines()[0]}]")
    passages = [passage.where for passage in names["passages"]]
    assert len(passages) > 20
    assert names["vectors"].shape == (len(passages), 64)
    assert set(near.splitlines()) < set(passages)
    assert len(near.splitlines()) == 3
    # the same vectors: LangChain's nearest is the first of what /v1/embeddings finds
    assert chained.splitlines()[-1] == names["whole_vectors"](names["question"], 1)[0].where
    assert streamed == names["whole"].invoke(names["question"])
    by_words, *by_vectors = scores.splitlines()
    found = re.fullmatch(r"search (\d+) (\d+) of 16", by_words)
    assert 1 <= int(found[1]) <= int(found[2]) <= 4  # that is how many these pages can answer
    assert [line.split()[0] for line in by_vectors] == ["by_vectors", "whole_vectors"]
