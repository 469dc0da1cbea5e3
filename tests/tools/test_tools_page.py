"""The page about tools: its snippets run, its table is whole."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from xtune.registry import TOOLS, names
from xtune.tools.toolbox import ToolBox

DOCS = Path(__file__).parents[2] / "docs"


@pytest.mark.parametrize("language", ["en", "zh"])
def test_the_tool_in_ten_lines_can_be_called(language, tmp_path):
    page = (DOCS / language / "tools.md").read_text("utf-8")
    use, own = re.findall(r"```python\n(.*?)```", page, re.S)
    assert len([line for line in own.splitlines() if line.strip()]) <= 11  # and the file's name
    (tmp_path / "shout.py").write_text(own)
    with ToolBox([f"{tmp_path}/shout.py:shout"]) as box:
        assert box.call("shout", {"text": "hei", "times": "2"}).content == "HEI HEI"
    (tmp_path / "notes").mkdir()
    exec(use.replace('"notes"', repr(f"{tmp_path}/notes")), scope := {})
    assert scope["result"].content == "42"


@pytest.mark.parametrize("language", ["en", "zh"])
def test_the_table_is_whole(language):
    page = (DOCS / language / "tools.md").read_text("utf-8")
    shown = re.findall(r"^\| `(\w+)` \|", page, re.M)
    shipped = [name for name in names(TOOLS) if TOOLS.get(name).__module__.startswith("xtune.")]
    assert sorted(shown) == sorted(shipped)
