"""A scripted model over the real tool box: results, errors, and Ctrl-C in a running tool."""

from __future__ import annotations

import os
import signal
import threading
import time

import psutil
import pytest

from tests.agents.scripted import Scripted, trace
from xtune.agents.react import ReAct
from xtune.agents.react_text import ReActForm
from xtune.tools.toolbox import ToolBox

SLEEPS = "tests/tools/misbehaving.py:sleeps"
ASK = [{"role": "user", "content": "?"}]
DONE = "Final Answer: done"


@pytest.fixture(scope="module")
def box():
    with ToolBox(["calculator", SLEEPS]) as box:
        yield box


def run(box, *replies):
    model = Scripted(*replies)
    return ReAct(model, box, ReActForm(box)).run(ASK)


def test_results_and_errors(box):
    outcome = run(
        box,
        "Action: calculator\nAction Input: 12*31",
        'Action: calculator\nAction Input: {"expression": "__import__(1)"}',
        'Action: calculator\nAction Input: {"formula": "1"}',
        DONE,
    )
    assert trace(outcome)[0] == ("call", "calculator", {"expression": "12*31"}, "372")
    assert [step.ok for step in outcome.steps] == [True, False, False, True]
    assert "there is no argument 'formula'" in outcome.steps[2].result


def test_ctrl_c_stops_a_running_tool_and_the_next_question_is_answered(box, tmp_path):
    sign = tmp_path / "pid"

    def interrupt():
        while not (sign.exists() and sign.read_text()):
            time.sleep(0.05)
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=interrupt, daemon=True).start()
    call = f'Action: sleeps\nAction Input: {{"seconds": 25, "sign": "{sign}"}}'
    outcome = run(box, call, DONE)
    assert (outcome.ended_by, outcome.messages) == ("interrupt", ())
    gone = int(sign.read_text())
    assert not psutil.pid_exists(gone) or psutil.Process(gone).status() == psutil.STATUS_ZOMBIE
    assert run(box, "Action: calculator[1+1]", DONE).steps[0].result == "2"
