"""What a run does about its chat template: refuse one without an end, keep the day it began on."""

from __future__ import annotations

import shutil
from datetime import date
from pathlib import Path

import pytest

from tests.runs import losses, options, write_inputs
from xtune.checkpoint.state import recorded_day
from xtune.config import render
from xtune.engine.dry_run import make_plan
from xtune.engine.memory_check import MemoryCheck
from xtune.engine.runner import Runner
from xtune.errors import DataError

TODAY = (
    "{{ strftime_now('%d %b %Y') }}\n{% for m in messages %}<|im_start|>{{ m.role }}\n"
    "{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
NO_END = "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}"


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.setenv("XTUNE_CACHE", str(tmp_path / "cache"))
    inputs = write_inputs(tmp_path)

    def start(jinja, steps, *, resume=None, force=False):
        (inputs.model / "chat_template.jinja").write_text(jinja)
        sheet = render(
            "custom_sft_lora",
            [*options(inputs), "prompt_template=auto", f"max_steps={steps}", "save_steps=1"],
        )
        return Runner(
            sheet,
            work_dir=Path(tmp_path / "run"),
            resume=resume,
            memory_check=MemoryCheck(force=force),
        ).train()

    return start


def test_answers_that_never_end_are_refused_and_trained_by_force(run):
    with pytest.raises(DataError, match=r"writes no end-of-turn token.*--force"):
        run(NO_END, 1)
    assert run(NO_END, 1, force=True).step == 1


class LongAgo(date):
    @classmethod
    def today(cls):
        return date(2024, 7, 5)


def test_a_run_goes_on_with_the_day_on_which_it_began(run, tmp_path, monkeypatch):
    with monkeypatch.context() as clock:
        clock.setattr("xtune.engine.build.date", LongAgo)
        first = run(TODAY, 2)
    assert recorded_day(first.saved / "state") == first.day == "2024-07-05"
    shutil.rmtree(tmp_path / "cache")  # the tokens are made anew, as on another host
    again = run(TODAY, 3, resume="auto")
    assert again.day == "2024-07-05"
    assert again.train_dataset.identity == first.train_dataset.identity
    assert [step for step, _ in losses(tmp_path / "run")] == [1, 2, 3]


def test_a_dry_run_is_refused_where_the_run_is_and_goes_on_where_it_does(tmp_path, monkeypatch):
    """`--dry-run --force` says what a forced run would be told."""
    monkeypatch.setenv("XTUNE_CACHE", str(tmp_path / "cache"))
    inputs = write_inputs(tmp_path)
    (inputs.model / "chat_template.jinja").write_text(NO_END)
    sheet = render("custom_sft_lora", [*options(inputs), "prompt_template=auto"])
    with pytest.raises(DataError, match=r"writes no end-of-turn token.*--force"):
        make_plan(sheet, tmp_path / "run")
    plan = make_plan(sheet, tmp_path / "run", force=True)
    (line,) = (line for line in plan if line.startswith("forced"))
    assert "writes no end-of-turn token" in line
