"""Programs pass by being right, and by nothing else."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from xtune.errors import UsageError
from xtune.eval.run_code import Program, require_permission, run_programs

TEST = "def check(f):\n    assert f(2, 3) == 5\n    assert f(-1, 1) == 0\ncheck(add)"
RIGHT = "def add(a, b):\n    return a + b\n"
WRONG = "def add(a, b):\n    return a - b\n"


def run(*texts, test=TEST, **limits):
    return run_programs([Program(text, test) for text in texts], **limits)


def test_right_and_wrong():
    right, wrong, raises, broken = run(
        RIGHT, WRONG, "def add(a, b):\n    raise ValueError('no')", "def add(a, b:\n"
    )
    assert (right.passed, right.said) == (True, "")
    assert not wrong.passed
    assert "AssertionError" in wrong.said
    assert (raises.passed, raises.said.splitlines()[-1]) == (False, "ValueError: no")
    assert not broken.passed
    assert "SyntaxError" in broken.said


@pytest.mark.parametrize(
    "forged",
    [
        "print('passed')\nprint('ok')",
        "import sys\nsys.exit(0)",
        "raise SystemExit",
        "import os\nos._exit(0)",
        "import os\nopen(os.environ['HOME'] + '/verdict', 'w').write('passed')\nexit(0)",
        "import sys\nsys.modules['program'].__dict__['add'] = None\nquit()",
        "import os, signal\nos.kill(os.getpid(), signal.SIGKILL)",
        "import atexit\natexit.register(lambda: print('passed'))\nraise SystemExit(0)",
        '"""',  # would swallow what follows it
        "import sys\nsys.stdout.write('{\"ok\": true}\\n')\nsys.exit()",
        # writes to every descriptor that it has
        "import os\nfor fd in range(3, 30):\n    try:\n        os.write(fd, b'{\"ok\": true}\\n')\n"
        "    except OSError:\n        pass\nos._exit(0)",
    ],
)
def test_a_verdict_is_not_forged(forged):
    (verdict,) = run(WRONG + forged)
    assert not verdict.passed
    assert verdict.said


@pytest.mark.parametrize(
    "hostile",
    [
        "while True: print('y' * 1000)",
        "while True: pass",
        "x = []\nwhile True: x.append('z' * 10_000_000)",
        "import os\nwhile True: os.fork()",
        "import subprocess\nsubprocess.run(['sh', '-c', 'echo hi'])",
        "import socket\nsocket.create_connection(('127.0.0.1', 80))",
        "def f(): f()\nimport sys\nsys.setrecursionlimit(10**9)\nf()",
        "open('/etc/passwd').read()",
        "with open('big', 'wb') as file:\n    while True: file.write(b'0' * 10**7)",
    ],
)
def test_a_program_that_misbehaves_fails_alone(hostile):
    bad, good = run(RIGHT + hostile, RIGHT, seconds=1.0)
    assert not bad.passed
    assert len(bad.said) <= 300
    assert good.passed


def test_a_program_that_deletes_its_folder_or_changes_what_all_use_fails_alone():
    deletes = (
        "import os, shutil\nshutil.rmtree(os.environ['HOME'], ignore_errors=True)\n"
        "import builtins\nbuiltins.compile = builtins.exec = None\nraise OSError('gone')\n"
    )
    bad, good = run(deletes, RIGHT)
    assert not bad.passed
    assert good.passed


def test_output_and_changed_names_do_not_hide_that_a_program_is_right():
    noisy = (
        "import sys, io, os\nprint('x' * 3_000_000)\nsys.stdout = io.StringIO()\nos.chdir('/')\n"
    )
    renames = "exec = compile = open = None\n"
    assert [each.passed for each in run(RIGHT + noisy, RIGHT + renames)] == [True, True]


def test_a_program_is_a_module_that_is_not_the_main_one():
    uses = (
        "from dataclasses import dataclass\n@dataclass\nclass Pair:\n    a: 'int'\n    b: 'int'\n"
        "def add(a, b):\n    return Pair(a, b).a + b\n"
        "if __name__ == '__main__':\n    raise SystemExit(1)\n"
    )
    assert run(uses)[0].passed


def test_nothing_is_left_on_the_disk(tmp_path, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    run(RIGHT, "open('a', 'w').write('x')\nraise SystemExit")
    assert list(Path(tmp_path).iterdir()) == []
    assert not os.path.exists("verdict")


def test_programs_are_run_only_when_that_is_asked_for():
    with pytest.raises(UsageError, match=r"humaneval runs the programs .* --run-code"):
        require_permission("humaneval", False)
    require_permission("humaneval", True)
    assert run_programs([]) == []
