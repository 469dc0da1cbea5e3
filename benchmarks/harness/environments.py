"""The contenders' own environments, made on first use: `.venv-trl` and `.venv-llamafactory`.

Each is made from a file of pinned requirements next to this folder, after torch, whose CPU build
the machine's package index has. A change of the file makes it anew.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
from pathlib import Path

__all__ = ["BENCHMARKS", "NotInstallable", "python_of"]

BENCHMARKS = Path(__file__).resolve().parents[1]
TORCH = "torch==2.13.0"  # as in requirements/constraints.txt


class NotInstallable(Exception):
    """An environment cannot be made here; says why."""


def python_of(name: str) -> Path:
    """Return the interpreter of an environment, which is made if it is not there.

    Args:
        name: 'xtune' for the one that runs this, 'trl' or 'llamafactory'.

    Raises:
        NotInstallable: pip fails; the last lines that it said.
    """
    if name == "xtune":
        return Path(sys.executable)
    folder = BENCHMARKS.parent / f".venv-{name}"
    wanted = BENCHMARKS / f"requirements-{name}.txt"
    ready = folder / "ready"
    digest = hashlib.sha256(wanted.read_bytes()).hexdigest()
    if ready.exists() and ready.read_text() == digest:
        return folder / "bin/python"
    print(f"making {folder}", file=sys.stderr, flush=True)
    shutil.rmtree(folder, ignore_errors=True)
    _must([sys.executable, "-m", "venv", folder])
    pip = [folder / "bin/pip", "install", "--quiet", "--no-compile"]
    # torch first and alone: next to others, a range of theirs could fetch its CUDA build
    _must([*pip, TORCH])
    # LLaMA-Factory asks for torchvision and torchaudio, whose builds do not fit torch's CPU build,
    # so its file names everything that it needs and nothing else is resolved
    alone = ["--no-deps"] if name == "llamafactory" else []
    _must([*pip, *alone, "-r", wanted])
    if name == "llamafactory":
        _empty_torchaudio(folder)
    ready.write_text(digest)
    return folder / "bin/python"


def _empty_torchaudio(folder: Path) -> None:
    """LLaMA-Factory imports torchaudio whatever it trains, and text never touches it."""
    packages = next((folder / "lib").glob("python3*/site-packages"))
    (packages / "torchaudio.py").write_text(
        '"""Empty: the CPU build of torch has no torchaudio."""\n'
    )


def _must(command: list[object]) -> None:
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True)
    if done.returncode:
        said = [line for line in done.stderr.splitlines() if not line.startswith("WARNING")]
        raise NotInstallable("; ".join(said[-3:]) or f"exit code {done.returncode}")
