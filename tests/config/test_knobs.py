"""Knobs given in Python: the same sheet as by options, and what cannot stand in one is refused."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from xtune.config import render
from xtune.config.knobs import as_options
from xtune.errors import ConfigError, UsageError

LEAF = "smollm2_135m_lora_toolcall"


def test_knobs_and_options_make_the_same_sheet():
    by_option = render(LEAF, ["lr=0.003", "data_path=my.json", "lora.r=9", "betas=(0.8, 0.9)"])
    by_knob = render(
        LEAF, lr=np.float64(3e-3), data_path=Path("my.json"), betas=(0.8, 0.9), **{"lora.r": 9}
    )
    assert by_knob.text == by_option.text
    assert by_knob.values.optimizer.lr == 0.003
    assert str(by_option.origin("optimizer.lr")) == "--cfg-options lr=0.003"
    assert str(by_knob.origin("optimizer.lr")) == "lr=0.003"


def test_a_string_stays_a_string():
    """An option `seed=3` is a number; a knob is what it is."""
    knobs = {"work_dir": "3", "SYSTEM": "true", "data_path": "a,b"}
    assert as_options(knobs) == ["work_dir='3'", "SYSTEM='true'", "data_path='a,b'"]
    values = render(LEAF, **knobs).values
    assert (values.work_dir, values.SYSTEM, values.data_path) == ("3", "true", "a,b")


def test_a_sheet_is_changed_further_and_remembers_where_from():
    first = render(LEAF, lr=1.0)
    second = render(first, lr=2.0, max_steps=7)
    assert first.values.optimizer.lr == 1.0
    assert second.values.optimizer.lr == 2.0
    assert second.text == render(LEAF, lr=2.0, max_steps=7).text
    assert [setting.source for setting in second.replaced["lr"]][-1] == "1.0"
    assert str(second.origin("train_cfg.max_steps")) == "max_steps=7"


def test_a_wrong_knob_is_named_without_the_flag_of_a_command_line():
    with pytest.raises(ConfigError) as caught:
        render(LEAF, max_stepz=5, lrr=1)
    said = str(caught.value).splitlines()
    assert said[0].startswith("max_stepz=5: the config has no 'max_stepz'; did you mean 'max_steps")
    assert said[1].startswith("lrr=1: the config has no 'lrr'; did you mean 'lr'?")


def mine(row):
    return row


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (mine, "a function (mine) cannot stand in a sheet"),
        (mine, "give 'my_code.py:mine'"),
        (lambda row: row, "give 'my_code.py:NAME'"),
        (pd.DataFrame([{"a": 1}]), "orient='records', lines=True, force_ascii=False"),
        (float("inf"), "inf (float) cannot be written as a literal"),
        ([1, object], "cannot be written as a literal"),
    ],
)
def test_what_is_no_literal_is_refused_with_what_to_give(value, said):
    with pytest.raises(ConfigError) as caught:
        render(LEAF, map_fn=value)
    assert str(caught.value).startswith("map_fn: ")
    assert said in str(caught.value)


def test_a_knob_is_one_name():
    with pytest.raises(ConfigError, match="a knob is a name, lr, or a dotted key"):
        render(LEAF, **{"lr=1, seed": 2})


def test_a_sheet_prints_as_its_text_and_is_short_in_a_cell():
    sheet = render(LEAF)
    assert str(sheet) == sheet.text
    assert repr(sheet) == f"<Sheet {LEAF}: {len(sheet.lines)} lines; print() shows them>"
    assert sheet._repr_markdown_() == f"```python\n{sheet.text}```"


def test_a_saved_sheet_reads_back_and_is_never_overwritten(tmp_path):
    sheet = render(LEAF, lr=0.5)
    file = sheet.save(tmp_path / "deep" / "mine.py")
    assert file == tmp_path / "deep" / "mine.py"
    assert render(file).values == sheet.values
    assert sheet.save(file) == file  # the same cell, run again
    with pytest.raises(UsageError, match="exists already"):
        render(LEAF, lr=0.25).save(file)
    assert render(file).values.lr == 0.5
    assert sheet.save(tmp_path).name == f"{LEAF}_copy.py"
