"""`timer`: its text, its limits, and that it rings at the terminal and only there."""

from __future__ import annotations

import os
import pty

import pytest

from xtune.tools import timer as room
from xtune.tools.base import ToolError
from xtune.tools.timer import Timer, timer
from xtune.tools.toolbox import ToolBox


@pytest.mark.parametrize(
    ("minutes", "label", "said"),
    [
        (12, "tea", "timer set: 12 minutes (tea)"),
        (12.0, "", "timer set: 12 minutes"),
        (1, " the  eggs ", "timer set: 1 minute (the eggs)"),
        (0.5, "a\x1b[31mb\n", "timer set: 0.5 minutes (a [31mb)"),
        (1440, "", "timer set: 1440 minutes"),
    ],
)
def test_what_it_says_depends_on_its_arguments_alone(minutes, label, said):
    assert timer(minutes, label) == said
    assert Timer(ring=False)(minutes, label) == said


@pytest.mark.parametrize("minutes", [0, -1, 1441, float("nan"), float("inf")])
def test_a_time_out_of_range_is_refused(minutes):
    with pytest.raises(ToolError, match=r"above 0 and at most 1440 \(24 hours\)"):
        timer(minutes)
    with pytest.raises(ToolError, match="the label has 81 characters"):
        timer(1, "x" * 81)


def test_it_rings_at_the_terminal(monkeypatch):
    ours, terminal = pty.openpty()
    monkeypatch.setattr(room, "_terminal_of_the_chat", lambda: os.ttyname(terminal))
    assert Timer()(0.0005, "tea") == "timer set: 0.0005 minutes (tea)"
    assert b"\a" in (heard := os.read(ours, 1000))
    assert b"timer: 0.0005 minutes (tea): time is up" in heard
    os.close(ours)
    os.close(terminal)
    room.ring("/dev/pts/none", "nobody hears this, and nothing fails")


def test_too_many_at_once_are_refused(monkeypatch):
    monkeypatch.setattr(room, "_terminal_of_the_chat", lambda: "/dev/pts/none")
    monkeypatch.setattr(room, "_MOST_RUNNING", 0)
    with pytest.raises(ToolError, match="0 timers are running already"):
        Timer()(1)


def test_in_the_tool_box():
    with ToolBox(["timer"], {"timer": {"ring": False}}) as box:
        assert box.specs[0].parameters["required"] == ["minutes"]
        assert box.call("timer", {"minutes": "12", "label": "tea"}).content == (
            "timer set: 12 minutes (tea)"
        )
        refused = box.call("timer", {"minutes": -3})
        assert not refused.ok
        assert "above 0" in refused.content
