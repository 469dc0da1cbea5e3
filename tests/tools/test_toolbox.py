"""A box of tools that misbehave: every call ends, in time, with a text, and the box goes on."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest

from xtune.errors import RegistryError, UsageError
from xtune.tools.toolbox import ToolBox

HERE = Path(__file__).with_name("misbehaving.py")


def named(*names):
    return [f"{HERE}:{name}" for name in names]


@pytest.fixture(scope="module")
def box():
    names = named(
        "echo", "loops", "stuck_in_c", "sleeps", "raises", "floods", "makes_files", "starts_a_child"
    )
    with ToolBox([*names, "date"]) as box:
        yield box


def test_a_call_gives_text_and_its_time(box):
    result = box.call("echo", {"text": "hei", "times": "2", "unit": "MILE"})
    assert result.ok
    assert result.content == "('hei', 2, 1.0, False, None, 'mile', None)"
    assert 0 < result.seconds < 10
    assert [schema["function"]["name"] for schema in box.schemas()][-1] == "date"


def test_misuse_is_an_observation(box):
    for name, arguments, said in [
        ("ecko", {}, "there is no tool 'ecko'; did you mean 'echo'?"),
        ("echo", {"text": "a", "n": 1}, "there is no argument 'n'"),
        ("echo", "no json", "are no JSON"),
    ]:
        result = box.call(name, arguments)
        assert not result.ok
        assert said in result.content


@pytest.mark.parametrize("name", ["loops", "stuck_in_c"])
def test_a_tool_that_never_returns_is_ended(box, name):
    result = box.call(name, {})  # or for ever
    assert (result.ok, result.content) == (
        False,
        f"{name} was ended after 1 seconds, its time limit",
    )
    assert result.seconds >= 1
    assert box.call("echo", {"text": "on"}).ok


def test_what_a_tool_starts_ends_with_it(box, tmp_path):
    assert "ended after" in box.call("starts_a_child", {"pid_file": f"{tmp_path}/pid"}).content
    assert ended(int((tmp_path / "pid").read_text()))


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("error", "no such place; try Bergen"),
        ("bug", "ZeroDivisionError: integer division or modulo by zero"),
        ("exit", "SystemExit: 3"),
        ("exit at once", "the tool's process ended with exit code 3"),
        ("segfault", "the tool's process was ended by SIGSEGV"),
        ("recursion", "RecursionError: it is nested too deep"),
    ],
)
def test_a_failure_is_an_observation(box, kind, said):
    result = box.call("raises", {"kind": kind})
    assert (result.ok, result.content) == (False, said)
    assert box.call("echo", {"text": "on"}).ok


def test_results_are_bounded_and_prints_are_no_results(box):
    result = box.call("floods", {"how": "return"})
    assert result.content.startswith("aaa")
    assert result.content.endswith("aaa[2J the end")
    assert "[... 4999" in result.content
    assert len(result.content) < 4100
    assert box.call("floods", {"how": "print"}).content == "printed"


@pytest.mark.parametrize(
    ("name", "written"),
    [
        ("plot.png", "plot.png"),
        ("plot.png", "plot_1.png"),
        ("../../etc/pass wd", "pass_wd"),
        ("..", "file"),
        ("", "file_1"),
    ],
)
def test_files_go_into_the_box_own_folder_under_plain_names(box, name, written):
    (path,) = box.call("makes_files", {"name": name}).files
    assert path == box.folder / written
    assert path.read_bytes() == b"content"


def test_calls_run_at_once_in_several_processes(box):
    with ThreadPoolExecutor(3) as threads:
        results = list(threads.map(lambda _: box.call("sleeps", {"seconds": 3}), range(3)))
    assert len({result.content for result in results}) == 3  # in turns one process would do


def test_a_state_is_kept_between_calls_until_the_box_is_told_to_stop():
    name = named("counter")[0]
    with ToolBox([name], {name: {"start": 5, "step": 2}}) as box:
        assert [box.call("counter", {}).content for _ in range(3)] == ["7", "9", "11"]
        with ThreadPoolExecutor(4) as threads:
            counted = threads.map(lambda _: box.call("counter", {}).content, range(4))
            assert sorted(map(int, counted)) == [13, 15, 17, 19]
        box.stop()
        assert box.call("counter", {}).content == "7"


def test_a_tool_without_its_means_is_off_and_says_why():
    name = named("counter")[0]
    with ToolBox([name, "date"], {name: {"start": 5, "step": 0}}) as box:
        assert box.off == {name: "it would stand still"}
        assert [spec.name for spec in box.specs] == ["date"]


@pytest.mark.parametrize(
    ("names", "options", "error", "said"),
    [
        (["dat"], {}, RegistryError, "unknown tool 'dat'; did you mean 'date'?"),
        (named("no_tool"), {}, RegistryError, "is no tool: put @tool above it"),
        (named("counter"), {}, UsageError, "needs the option 'start'"),
        (["date"], {"date": {"zone": 1}}, UsageError, "has no option 'zone'; it has: none"),
        (["date"], {"dates": {}}, UsageError, "options for the tool 'dates'"),
    ],
)
def test_a_box_that_cannot_be_made_says_why(names, options, error, said):
    with pytest.raises(error) as caught:
        ToolBox(names, options)
    assert said in str(caught.value)


def test_ctrl_c_ends_the_running_tool_and_reaches_the_caller(box, tmp_path):
    sign = tmp_path / "pid"
    threading.Thread(target=interrupt_when, args=[sign], daemon=True).start()
    began = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        box.call("sleeps", {"seconds": 300, "sign": str(sign)})
    assert time.monotonic() - began < 150
    assert ended(int(sign.read_text()))
    assert box.call("echo", {"text": "on"}).ok


def test_stop_ends_the_call_another_thread_waits_for(box, tmp_path):
    with ThreadPoolExecutor(1) as threads:
        call = threads.submit(box.call, "sleeps", {"seconds": 300, "sign": f"{tmp_path}/pid"})
        wait_for(tmp_path / "pid")
        box.stop()
        assert not call.result(timeout=150).ok
    assert box.call("echo", {"text": "on"}).ok


def test_a_killed_program_leaves_no_tool_behind(tmp_path):
    code = (
        "from xtune.tools.toolbox import ToolBox\n"
        f"ToolBox(['{HERE}:sleeps']).call('sleeps', dict(seconds=300, sign='{tmp_path}/pid'))"
    )
    program = subprocess.Popen([sys.executable, "-c", code])
    wait_for(tmp_path / "pid")
    program.kill()
    program.wait()
    assert ended(int((tmp_path / "pid").read_text()))


def interrupt_when(sign):
    wait_for(sign)
    os.kill(os.getpid(), signal.SIGINT)


def wait_for(path):
    for _ in range(600):
        if path.exists() and path.read_text():
            return
        time.sleep(0.05)
    raise AssertionError(f"no {path}")


def ended(pid):
    for _ in range(100):
        if not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE:
            return True
        time.sleep(0.05)
    return False
