from __future__ import annotations

import json

import pytest

from tests.data.tiny_tokenizer import tiny_tokenizer


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    """Each test tokenises into a folder of its own."""
    monkeypatch.setenv("XTUNE_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "tokens"


@pytest.fixture(scope="session")
def tokenizer():
    return tiny_tokenizer()


@pytest.fixture
def write_rows(tmp_path):
    """Write rows as a jsonl file; returns its path."""

    def write(rows, name="data.jsonl") -> str:
        path = tmp_path / name
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
        return str(path)

    return write
