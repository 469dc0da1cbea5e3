"""`xtune list-tools`, as a user types it."""

from __future__ import annotations

from xtune.cli.entry import main
from xtune.registry import TOOLS, names


def test_every_tool_is_listed_with_its_arguments_and_options(capsys):
    assert main(["list-tools"]) == 0
    blocks = capsys.readouterr().out.split("\n\n")
    shipped = [name for name in names(TOOLS) if TOOLS.get(name).__module__.startswith("xtune.")]
    assert {block.split()[0] for block in blocks[:-1]} >= set(shipped)
    text = "\n\n".join(blocks)
    assert "  expression (string): numbers, + - * / // % ** and brackets" in text
    assert "  options  folder=None, engine=None, url=None, key=None, count=4" in text
    assert "  options  root" in text


def test_one_tool_is_shown_with_all_that_is_said_of_it(capsys):
    assert main(["list-tools", "search"]) == 0
    assert "SERPER_API_KEY" in capsys.readouterr().out
    assert main(["list-tools", "serch"]) == 2
    assert "unknown tool 'serch'; did you mean 'search'?" in capsys.readouterr().err
