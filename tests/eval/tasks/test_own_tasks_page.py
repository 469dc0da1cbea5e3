"""The tasks that the user guide shows are whole: they are read from the page, asked and scored."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.eval.tasks.files import answered
from xtune.eval.tasks.base import Choices, Generation, Text, Texts
from xtune.eval.tasks.own_file import OwnFile
from xtune.registry import EVALUATIONS, resolve

DOCS = Path(__file__).resolve().parents[3] / "docs"


def blocks(language, kind):
    page = (DOCS / language / "own_tasks.md").read_text(encoding="utf-8")
    return re.findall(rf"```{kind}\n(.*?)```", page, re.S)


@pytest.mark.parametrize(
    ("language", "continuation"), [("en", "Answer:"), ("zh", "答案：")], ids=["en", "zh"]
)
def test_the_tasks_of_the_page(tmp_path, language, continuation):
    rivers, sums = blocks(language, "python")
    (tmp_path / f"rivers_{language}.py").write_text(rivers, encoding="utf-8")
    (tmp_path / f"sums_{language}.py").write_text(sums, encoding="utf-8")
    letters = resolve(EVALUATIONS, f"{tmp_path}/rivers_{language}.py:Rivers")()
    (item,) = letters.items()
    ask = letters.ask(item, "completion")
    assert isinstance(ask, Choices)
    assert ask.candidates[0].prompt.question.endswith(continuation)
    assert letters.score(item, answered([-2.0, -1.0])).metrics == {"acc": 1.0}
    words = resolve(EVALUATIONS, f"{tmp_path}/sums_{language}.py:Sums")()
    item = words.items()[7]
    ask = words.ask(item, "chat")
    assert isinstance(ask, Generation)
    assert ask.prompt.question.endswith(continuation)
    score = words.score(item, Texts((Text("7 + 7 = 14", "stop", 5),)))
    assert (score.metrics, score.got) == ({"acc": 1.0}, "14")
    assert words.score(item, Texts((Text("?", "stop", 1),))).unanswered


@pytest.mark.parametrize("language", ["en", "zh"])
def test_the_rows_of_the_page(tmp_path, language):
    (rows,) = blocks(language, "json")
    (tmp_path / "q.jsonl").write_text(rows, encoding="utf-8")
    items = OwnFile(data_path=str(tmp_path / "q.jsonl")).items()
    assert [item.gold for item in items] == [1, [0, 1]]


def test_the_pages_say_the_same():
    """As many headings, rows of tables, and the same names of fields in each table's row."""
    pages = [(DOCS / language / "own_tasks.md").read_text("utf-8") for language in ("en", "zh")]
    for found in (r"^## ", r"^\| "):
        counts = [len(re.findall(found, page, re.M)) for page in pages]
        assert counts[0] == counts[1]
    rows = [re.findall(r"^\| .*", page, re.M) for page in pages]
    for ours, theirs in zip(*rows, strict=True):
        assert set(re.findall(r"`\w+`", ours)) == set(re.findall(r"`\w+`", theirs))
