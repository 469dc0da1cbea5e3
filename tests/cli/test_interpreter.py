"""tools/*.py under a Python that lacks what xtune needs: real interpreters, a real checkout."""

from __future__ import annotations

import ast
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from xtune.cli.interpreter import lacking

ROOT = Path(__file__).resolve().parents[2]
TOOLS = sorted((ROOT / "tools").glob("*.py"))


@pytest.fixture(scope="module")
def bare(tmp_path_factory):
    """A Python without a package of ours, and of pip's."""
    folder = tmp_path_factory.mktemp("bare")
    command = [sys.executable, "-m", "venv", "--without-pip", str(folder)]
    subprocess.run(command, check=True)
    return folder / "bin/python"


@pytest.fixture
def checkout(tmp_path):
    """A checkout that nothing has been set up in."""
    ignored = shutil.ignore_patterns("__pycache__")
    for name in ("xtune", "tools", "configs", "requirements"):
        shutil.copytree(ROOT / name, tmp_path / "checkout" / name, ignore=ignored)
    return tmp_path / "checkout"


def run(python, *words, cwd):
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON")}
    return subprocess.run(
        [python, *map(str, words)], cwd=cwd, env=environment, capture_output=True, text=True
    )


def test_the_environment_of_the_checkout_is_found(bare, checkout, tmp_path):
    """From another folder, through a link: the verb runs with .venv's Python, and says so once."""
    (checkout / ".venv").symlink_to(sys.prefix)
    (tmp_path / "why").symlink_to(checkout / "tools/explain.py")
    done = run(bare, tmp_path / "why", "custom_sft_lora", "lr", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("lr = 0.0002 ")
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"xtune explain: {bare} (Python ")
    assert "lacks torch, mmengine-lite, transformers and 17 more" in line
    assert line.endswith(f"going on with {checkout}/.venv/bin/python")


def test_an_exit_code_comes_through(bare, checkout, tmp_path):
    (checkout / ".venv").symlink_to(sys.prefix)
    assert run(bare, checkout / "tools/explain.py", "nope", cwd=tmp_path).returncode == 2


@pytest.mark.parametrize("words", [["train", "custom_sft_lora"], ["check", "custom_sft_lora"]])
def test_without_an_environment_it_says_what_to_type(bare, checkout, tmp_path, words):
    done = run(bare, checkout / f"tools/{words[0]}.py", *words[1:], cwd=tmp_path)
    assert done.returncode == 2
    assert "lacks torch, mmengine-lite, transformers and 17 more that xtune needs" in done.stderr
    assert f"cd {checkout}; python3 -m venv .venv && .venv/bin/pip install -e ." in done.stderr
    assert "did not foresee" not in done.stderr


def test_an_environment_that_is_half_made_is_not_gone_to_again(bare, checkout):
    """What `make` leaves when it is stopped: no loop, and the same advice."""
    (checkout / ".venv").symlink_to(bare.parent.parent)
    done = run(bare, "tools/check.py", "custom_sft_lora", cwd=checkout)
    assert done.returncode == 2
    assert "Set it up once: python3 -m venv .venv" in done.stderr
    assert "going on" not in done.stderr


@pytest.mark.parametrize("words", [["list_cfg.py", "smollm2"], ["train.py", "--help"]])
def test_what_needs_no_package_runs_in_any_python(bare, checkout, words):
    (checkout / ".venv").symlink_to(sys.prefix)
    done = run(bare, checkout / "tools" / words[0], *words[1:], cwd=checkout)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout


def test_a_python_that_is_too_old_is_told_which_is_needed(bare, checkout):
    code = (
        "import sys; sys.path.insert(0, '.'); from xtune.cli import interpreter as i, shim; "
        "i.NEEDED_PYTHON = (4, 0); sys.exit(shim.run_tool('train'))"
    )
    done = run(bare, "-c", code, cwd=checkout)
    assert done.returncode == 2
    assert "is too old: xtune needs Python 4.0 or newer" in done.stderr
    assert "python4.0 -m venv .venv" in done.stderr
    (checkout / ".venv").symlink_to(sys.prefix)
    done = run(bare, "-c", code.replace("'train'", "'list-cfg'"), cwd=checkout)
    assert "going on with" in done.stderr


@pytest.mark.parametrize(
    "path",
    [
        *TOOLS,
        ROOT / "xtune/__init__.py",
        ROOT / "xtune/cli/__init__.py",
        ROOT / "xtune/cli/interpreter.py",
        ROOT / "xtune/cli/shim.py",
    ],
    ids=lambda path: path.name,
)
def test_an_old_python_can_read_what_tells_it_so(path):
    ast.parse(path.read_text(encoding="utf-8"), feature_version=(3, 6))


def test_a_version_that_is_too_low_counts_as_missing(monkeypatch):
    assert lacking() == []
    monkeypatch.setattr("importlib.metadata.version", lambda name: "2.1.0+cu121")
    assert "torch 2.13 (it has 2.1.0+cu121)" in lacking()
