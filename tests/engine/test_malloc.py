"""What a training process's heap does with memory that is freed: counted in pages."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

SCRIPT = """
import resource, sys
import torch
from xtune.engine.strategies.malloc import keep_freed_memory

def step():
    blocks = [torch.ones(2**20 * size) for size in (1, 12, 2)]  # 4, 48 and 8 MB
    del blocks

if sys.argv[1] == "kept":
    assert keep_freed_memory()
for _ in range(20):  # holes that fit are found after some
    step()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
step()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library")
def test_another_step_asks_for_few_pages():
    def pages(how):
        command = [sys.executable, "-c", SCRIPT, how]
        return int(subprocess.run(command, capture_output=True, text=True, check=True).stdout)

    assert pages("kept") < pages("plain") / 10
