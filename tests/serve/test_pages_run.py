"""The pages on the server run as they stand, cell by cell, against one with a tiny model."""

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


def cells(language: str, name: str = "document_qa") -> list[str]:
    page = (ROOT / f"docs/{language}/{name}.md").read_text("utf-8")
    return re.findall(r"^```python\n(.*?)^```\n", page, re.M | re.S)


def run(text: str, names: dict[str, object], api) -> str:
    """What a cell prints."""
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        there = text.replace("http://127.0.0.1:8000/v1", f"{api.url}/v1")
        exec(compile(there, "a cell", "exec", dont_inherit=True), names)
    return out.getvalue()


def test_both_pages_have_the_same_cells():
    assert len(cells("en")) == 8
    assert cells("zh") == cells("en")


def test_questions_to_documents(api, tmp_path, monkeypatch):
    """In one namespace, as a kernel does; three pages of the documentation, and another address."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "docs/en").mkdir(parents=True)
    for name in PAGES:
        shutil.copy(ROOT / "docs/en" / name, tmp_path / "docs/en")
    names: dict[str, object] = {}
    said = [run(cell, names, api) for cell in cells("en")]
    _, searched, places, answered, near, chained, streamed, scores = said
    assert re.match(r"\[1\] (serve|chat|export)\.md, line \d+\n", searched)
    assert "\n\n[2] " in searched
    assert places.splitlines()[0].startswith("serve.md, line ")
    assert answered.rstrip().endswith(f"[{places.splitlines()[0]}]")
    passages = [passage.where for passage in names["passages"]]
    assert len(passages) > 20
    assert names["vectors"].shape == (len(passages), 64)
    assert set(near.splitlines()) < set(passages)
    assert len(near.splitlines()) == 3
    # the same vectors: LangChain's nearest is the first of what /v1/embeddings finds
    assert chained.splitlines()[-1] == names["by_vectors"](names["question"], 1)[0].where
    assert streamed == names["whole"].invoke(names["question"])
    by_words, by_vectors = scores.splitlines()
    found = re.fullmatch(r"search (\d+) (\d+) of 16", by_words)
    assert 1 <= int(found[1]) <= int(found[2]) <= 4  # that is how many these pages can answer
    assert re.fullmatch(r"by_vectors \d+ \d+ of 16", by_vectors)


def test_a_session_with_openais_client(api):
    """Other models have the page's names here: `smollm2` and `agent` are both the parrot."""
    session = cells("en", "serve")[:4]
    assert [re.sub("#.*", "", cell) for cell in cells("zh", "serve")[:4]] == [
        re.sub("#.*", "", cell) for cell in session
    ]
    names: dict[str, object] = {}
    known = [re.sub('"(smollm2|agent)"', '"base"', cell) for cell in session]
    listed, streamed, called, mail = (run(cell, names, api) for cell in known)
    assert listed.splitlines()[0] == "['base', 'red', 'blue']"
    assert re.search(r"^(stop|length) \d+$", listed, re.M)
    assert streamed.endswith("|")
    assert re.search(r"^\{\} (stop|length|tool_calls)$", called, re.M)
    assert re.fullmatch(r"Mail\(kind='(question|complaint)', urgent=(True|False)\)\n", mail)
