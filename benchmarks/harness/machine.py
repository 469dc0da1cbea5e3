"""The machine, the versions and the commit that a page of results is about."""

from __future__ import annotations

import os
import platform
import subprocess
from importlib.metadata import version
from pathlib import Path

import psutil

__all__ = ["commit", "machine_lines"]

_FLAGS = ("avx2", "avx512f", "avx512_bf16", "amx_bf16")
_PACKAGES = ("torch", "transformers", "peft", "tokenizers", "bitsandbytes")


def machine_lines(*, threads: int | None = None) -> list[str]:
    """Return the facts as lines of Markdown; the load is of now."""
    memory = psutil.virtual_memory().total / 2**30
    packages = ", ".join(f"{name} {version(name)}" for name in _PACKAGES)
    return [
        f"- Machine: {processor()}, {os.cpu_count()} processors, {memory:.0f} GB"
        + (f"; {threads} threads" if threads else ""),
        f"- Load before: {os.getloadavg()[0]:.1f} (1 min), {os.getloadavg()[1]:.1f} (5 min)",
        f"- {platform.system()}, Python {platform.python_version()}; {packages}",
        f"- xtune {version('xtune')} at {commit()}",
    ]


def processor() -> str:
    """Return the processor's name, with what matters to matrix products."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    model = next(line.split(":")[1].strip() for line in lines if line.startswith("model name"))
    flags = next(line for line in lines if line.startswith("flags")).split()
    return f"{model} ({', '.join(flag for flag in _FLAGS if flag in flags)})"


def commit() -> str:
    """Return the commit of this checkout, and whether files differ from it."""

    def git(*words: str) -> str:
        done = subprocess.run(
            ["git", *words], cwd=Path(__file__).parent, capture_output=True, text=True
        )
        return done.stdout.strip()

    changed = [line for line in git("status", "--porcelain").splitlines() if line[:2] != "??"]
    return (git("rev-parse", "--short", "HEAD") or "no commit") + (
        f" with {len(changed)} files changed" if changed else ""
    )
