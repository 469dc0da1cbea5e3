from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from textwrap import dedent

import pytest


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """Write files into an empty working folder; returns the path of the first."""
    monkeypatch.chdir(tmp_path)

    def write_files(**texts: str) -> Path:
        for stem, text in texts.items():
            Path(f"{stem}.py").write_text(dedent(text).lstrip("\n"), encoding="utf-8")
        return tmp_path / f"{next(iter(texts))}.py"

    return write_files
