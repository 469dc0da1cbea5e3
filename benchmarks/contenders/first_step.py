"""The demo up to its first optimizer step, part by part: `first_step.py CONFIG WORK_DIR`; JSON.

The same calls as `xtune train` makes, with a clock between them. Seconds are wall-clock, from the
start of the process; `cpu` are of the processor, of all threads.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import psutil

MARKS: list[tuple[str, float, float]] = []


def mark(name: str) -> None:
    """What ends now."""
    MARKS.append((name, time.time(), time.process_time()))


def main() -> None:
    began = psutil.Process().create_time()
    mark("python")
    from xtune.config import render

    hooks = [*render(sys.argv[1]).values["custom_hooks"], {"type": f"{__file__}:ClockHook"}]
    # after the last step there is more than a step: validation, a checkpoint
    sheet = render(sys.argv[1], ["max_steps=2", f"custom_hooks={hooks!r}"])
    mark("config")
    from xtune.engine.memory_check import MemoryCheck
    from xtune.engine.run import Run
    from xtune.engine.runner import Runner

    class Check(MemoryCheck):
        def before_loading(self, run: Run) -> None:
            super().before_loading(run)
            mark("memory check")

    mark("imports")
    Runner(sheet, work_dir=Path(sys.argv[2]), memory_check=Check()).train()
    parts, before, cpu_before = [], began, 0.0
    for name, wall, cpu in sys.modules["__main__"].MARKS:
        parts.append({"part": name, "seconds": wall - before, "cpu": cpu - cpu_before})
        before, cpu_before = wall, cpu
    print(json.dumps(parts))


if __name__ == "__main__":
    main()
else:  # xtune loads this file once more, for the hook
    from xtune.engine.hooks.base import Hook

    class ClockHook(Hook):
        """Marks what ends at each point of the run."""

        def after_load_data(self, runner):
            sys.modules["__main__"].mark("data")

        def before_run(self, runner):
            sys.modules["__main__"].mark("model")

        def before_train(self, runner):
            sys.modules["__main__"].mark("hooks")

        def after_train_iter(self, runner, metrics):
            if runner.step == 1:
                sys.modules["__main__"].mark("first step")
