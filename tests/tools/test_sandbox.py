"""The sandbox for real, by each of its means: what it can do, what it cannot, and that it ends."""

from __future__ import annotations

import os
import platform
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from xtune.errors import UsageError
from xtune.tools.base import ToolError
from xtune.tools.sandbox import syscall_filter
from xtune.tools.sandbox.sandbox import MEANS, Sandbox


def why_not(means):
    try:
        Sandbox(means=means).end()
    except ToolError as error:
        return str(error)
    return ""


@pytest.fixture(scope="module", params=MEANS)
def sandbox(request):
    if reason := why_not(request.param):
        pytest.skip(reason)
    sandbox = Sandbox(means=request.param)
    yield sandbox
    sandbox.end()


def test_variables_are_kept_and_the_last_value_is_shown(sandbox):
    assert sandbox.run("x = 6 * 7", 20).content == "done, no output"
    assert sandbox.run("print('x is')\nx", 20).content == "x is\n42"
    output = sandbox.run("def f():\n    return x / 0\nf()", 20)
    assert not output.ok
    assert output.content.startswith("Traceback")
    assert output.content.endswith("ZeroDivisionError: division by zero")
    assert "interpreter.py" not in output.content
    assert sandbox.run("f.__name__, x", 20).content == "('f', 42)"


def test_figures_and_files_are_handed_over(sandbox):
    code = (
        "import matplotlib.pyplot as plt, numpy as np\n"
        "plt.plot(np.arange(3)); plt.show()\n"
        "with open('table.csv', 'w') as file: file.write('a,b')\n"
        "None"
    )
    output = sandbox.run(code, 120)
    assert output.content == "[file: figure_1.png]\n[file: table.csv]", output.content
    assert output.files["figure_1.png"].startswith(b"\x89PNG")
    assert output.files["table.csv"] == b"a,b"
    assert sandbox.run("open('table.csv').read()", 20).content == "'a,b'"  # not handed over again


def test_its_folder_is_its_own_and_empty(sandbox):
    assert sandbox.run("1", 20).ok
    sandbox.end()
    assert sandbox.run("import os; os.listdir('.')", 20).content == "[]"


def test_time_is_up_and_what_was_printed_is_kept(sandbox):
    output = sandbox.run("x = 1\nprint('so far')\nwhile True: pass", 1)  # or for ever
    assert not output.ok
    assert output.content == (
        "so far\n[ended after 1 seconds, the time limit; the variables of earlier calls are gone]"
    )
    assert "NameError" in sandbox.run("x", 20).content


def test_nothing_runs_between_calls(sandbox):
    # A timer that counts in the background, the only background there can be
    code = (
        "import signal\nn = 0\n"
        "def tick(*_):\n    global n\n    n += 1\n"
        "signal.signal(signal.SIGALRM, tick); signal.setitimer(signal.ITIMER_REAL, .01, .01)\nNone"
    )
    children = psutil.Process(sandbox._process.pid).children(recursive=True)

    def wait_for_the_stop():
        deadline = time.monotonic() + 60  # a signal takes its time on a busy machine
        while {child.status() for child in children} != {psutil.STATUS_STOPPED}:
            assert time.monotonic() < deadline
            time.sleep(0.01)

    began = time.monotonic()
    sandbox.run(code, 20)
    wait_for_the_stop()
    stopped = time.monotonic()
    time.sleep(0.5)
    stopped = time.monotonic() - stopped
    ticks = int(sandbox.run("signal.setitimer(signal.ITIMER_REAL, 0); n", 20).content.split()[-1])
    assert ticks <= 100 * (time.monotonic() - began - stopped) + 1  # the one that waited
    wait_for_the_stop()


def test_it_ends_with_the_program_that_made_it(tmp_path):
    code = (
        "import sys, time\nfrom xtune.tools.sandbox.sandbox import Sandbox\n"
        "box = Sandbox(); print(box._process.pid, flush=True)\n"
        "box.run('while True: pass', 60)"
    )
    program = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    launcher = psutil.Process(int(program.stdout.readline()))
    family = [launcher, *launcher.children(recursive=True)]
    assert len(family) == 2
    program.kill()
    program.wait()
    gone, alive = psutil.wait_procs(family, timeout=10)
    assert not [each for each in alive if each.status() != psutil.STATUS_ZOMBIE]


def test_where_no_means_work_it_says_why_of_each(monkeypatch):
    monkeypatch.setattr(platform, "machine", lambda: "riscv64")
    with pytest.raises(OSError, match="not written for riscv64"):
        syscall_filter.install(attributes=False)
    with pytest.raises(UsageError, match="no means 'chroot'; allowed: namespaces, landlock"):
        Sandbox(means="chroot")
    monkeypatch.setattr(sys, "platform", "darwin")
    with pytest.raises(ToolError, match="this is darwin"):
        Sandbox()


def test_the_filter_is_there_and_no_right_is_left(sandbox):
    pid = psutil.Process(sandbox._process.pid).children()[0].pid
    status = dict(
        line.split(":\t", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines()
    )
    assert status["NoNewPrivs"] == "1"
    assert status["Seccomp"] == "2"
    if sandbox.means == "namespaces":
        assert int(status["CapEff"], 16) == int(status["CapPrm"], 16) == 0
        for kind in ("user", "net", "pid", "mnt", "ipc", "uts"):
            assert os.readlink(f"/proc/{pid}/ns/{kind}") != os.readlink(f"/proc/self/ns/{kind}")


@pytest.mark.skipif(not Path("/usr/include/asm-generic/unistd.h").exists(), reason="no headers")
@pytest.mark.parametrize(
    ("header", "column"),
    [
        ("/usr/include/x86_64-linux-gnu/asm/unistd_64.h", 0),
        ("/usr/include/asm-generic/unistd.h", 1),
    ],
)
def test_the_numbers_are_the_kernel_headers_own(header, column):
    text = Path("/usr/include", header).read_text()
    known = dict(re.findall(r"#define __NR3?_?(?:264)?_?(\w+)\s+(\d+)$", text, re.M))
    ours = syscall_filter._REFUSED | syscall_filter._ATTRIBUTES | syscall_filter._OF_ONE_PROCESS
    compared = 0
    for name, numbers in ours.items():
        if name in known:
            assert int(known[name]) == numbers[column], name
            compared += 1
        elif numbers[column] is not None:
            assert numbers[column] >= 441, name  # younger than the headers
    assert compared > 70


def test_the_program_jumps_within_itself():
    for machine in syscall_filter.MACHINES:
        compiled = syscall_filter.program(machine, 1234, attributes=True)
        steps = [compiled[at : at + 8] for at in range(0, len(compiled), 8)]
        assert len(steps) < 200
        for at, step in enumerate(steps):
            assert at + 1 + max(step[2], step[3]) < len(steps) or step[0] == 0x06


def test_ctrl_c_is_no_signal_for_the_sandbox(sandbox):
    sandbox.run("x = 5", 20)
    os.kill(psutil.Process(sandbox._process.pid).pid, signal.SIGCONT)
    assert os.getpgid(sandbox._process.pid) != os.getpgrp()
