"""MOSS's plugin protocol over our tools."""

from __future__ import annotations

import pytest

from xtune.tools.moss import moss_calls, moss_results
from xtune.tools.toolbox import ToolBox


@pytest.mark.parametrize(
    ("text", "calls"),
    [
        ('<|Commands|>: Calculate("1+2")<eoc>', [("calculate", "1+2")]),
        (
            '<|Commands|>: calculator("1"), Solver("x=1"), Search(\'a b\')<eoc> Search("no")',
            [("calculate", "1"), ("solve", "x=1"), ("search", "a b")],
        ),
        ('<|Commands|>:Calculate("max(1, 2)")', [("calculate", "max(1, 2)")]),
        ("<|Commands|>: None<eoc>", []),
        ('Calculate("1+2")', []),
        ('<|Commands|>: Text2Image("a fjord")<eoc>', [("text2image", "a fjord")]),
        ("<|Commands|>: " + 'Calculate("1"), ' * 50, [("calculate", "1")] * 8),
    ],
)
def test_commands_are_read(text, calls):
    assert moss_calls(text) == calls


def test_commands_are_run_by_the_same_tools(tmp_path):
    (tmp_path / "a.txt").write_text("A fjord is an inlet.")
    text = '<|Commands|>: Calculate("2^10"), Search("fjord"), Solve("x=1"), Draw("x")<eoc>'
    with ToolBox(["calculator", "search"], {"search": {"folder": str(tmp_path)}}) as box:
        assert moss_results(text, box, ["calculate", "search"]) == (
            "<|Results|>:\n"
            'Calculate("2^10") =>\n1024\n'
            'Search("fjord") =>\n[1] a.txt, line 1\nA fjord is an inlet.\n'
            'Solve("x=1") =>\nthis plugin is off\n'
            'Draw("x") =>\nthere is no such plugin<eor>'
        )
        assert moss_results("<|Commands|>: None<eoc>", box, []) == "<|Results|>:\nNone<eor>"
