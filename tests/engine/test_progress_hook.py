"""The bar on a terminal, the lines elsewhere; what both say."""

import io
import logging
from types import SimpleNamespace

from rich.console import Console

from xtune.engine.hooks.progress_hook import ProgressHook

METRICS = {
    "loss": 1.23456,
    "lr": 2e-4,
    "tokens_per_s": 1234.5,
    "trained_tokens_per_s": 456.7,
    "tflops_per_device": 0.12345,
    "peak_memory_mb": 2048,
}


def _run(hook, console, steps, more=None):
    runner = SimpleNamespace(
        step=0, max_steps=steps, console=console, logger=logging.getLogger("xtune.engine")
    )
    hook.before_train(runner)
    for _ in range(steps):
        runner.step += 1
        hook.after_train_iter(
            runner, METRICS | (more or {}) | ({"val_loss": 0.5} if runner.step == 7 else {})
        )
    hook.after_run(runner)


def test_plain_lines_for_the_first_the_last_and_every_tenth_step(caplog):
    console = Console(file=io.StringIO(), force_terminal=False)
    with caplog.at_level(logging.INFO, "xtune"):
        _run(ProgressHook(), console, 21)
    lines = [record.getMessage() for record in caplog.records]
    assert [line.split()[1] for line in lines] == ["1/21", "7/21", "10/21", "20/21", "21/21"]
    assert (
        "loss 1.2346  lr 2.00e-04  1,234 tokens/s  457 trained/s  0.123 TFLOP/s  2,048 MiB  left ?"
    ) in lines[0]  # the first step compiles: it says nothing of the others
    assert "left 0:00:0" in lines[1]
    assert "val_loss 0.5000" in lines[1]
    assert console.file.getvalue() == ""


def test_a_bar_on_a_terminal_and_the_lines_go_to_the_file_only(caplog):
    console = Console(file=io.StringIO(), force_terminal=True, width=120)
    with caplog.at_level(logging.INFO, "xtune"):
        _run(ProgressHook(), console, 3)
    drawn = console.file.getvalue()
    assert "3/3" in drawn
    assert "loss 1.2346" in drawn
    assert all(record.file_only for record in caplog.records)


def test_on_several_gpus_it_says_how_hard_each_works(caplog):
    several = {"tokens_per_s_per_device": 617.25, "tflops_per_device": 405.6, "mfu": 0.41}
    with caplog.at_level(logging.INFO, "xtune"):
        _run(ProgressHook(), Console(file=io.StringIO(), force_terminal=False), 1, several)
    said = "457 trained/s  617 tokens/s/device  406 TFLOP/s (41.0% MFU)  2,048 MiB"
    assert said in caplog.records[0].getMessage()
