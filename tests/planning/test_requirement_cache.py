"""What a run needs is found once, and again when anything that it depends on is another."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace

import pytest

from tests.runs import sheet_of
from xtune.models.precision import choose_precision
from xtune.paths import cache_root
from xtune.planning import requirement_cache as known_needs
from xtune.planning.requirement import DeviceMemory, need_of
from xtune.planning.requirement_cache import known_need

CPU = DeviceMemory("cpu", 8.0)


@pytest.fixture
def asked(monkeypatch, tmp_path):
    """How often the model was really looked at."""
    monkeypatch.setenv("XTUNE_CACHE", str(tmp_path / "cache"))
    times = []

    def counted(*args, **kwargs):
        times.append(args)
        return need_of(*args, **kwargs)

    monkeypatch.setattr(known_needs, "need_of", counted)
    return times


@pytest.fixture
def values(inputs, tmp_path):
    """The values of a config whose model's folder may be changed."""
    shutil.copytree(inputs.model, tmp_path / "model")
    return sheet_of(inputs, f"pretrained_model_name_or_path={tmp_path / 'model'}").values


def test_the_second_run_reads_what_the_first_found(asked, values):
    precision = choose_precision("cpu", "bf16")
    first = known_need(values, precision, CPU, trained_share=0.3)
    assert first == need_of(values, precision, CPU, trained_share=0.3)
    measured = replace(precision, reason="bf16 products are 2.3 times faster here")
    again = known_need(values, measured, DeviceMemory("cpu", 2.0), trained_share=0.3)
    assert again == first
    assert list(again.lines()) == list(first.lines())
    assert len(asked) == 1


def test_whatever_it_depends_on_is_asked_again(asked, values, tmp_path):
    precision = choose_precision("cpu", "bf16")
    known_need(values, precision, CPU)
    known_need(values, choose_precision("cpu", "fp32"), CPU)
    known_need(values, precision, CPU, trained_share=0.5)
    known_need(values, precision, DeviceMemory("cpu", 8.0, devices=2))
    longer = {**values, "train_dataset": {**values["train_dataset"], "max_length": 256}}
    known_need(longer, precision, CPU)
    config = tmp_path / "model/config.json"
    fields = json.loads(config.read_text()) | {"num_hidden_layers": 1}
    config.write_text(json.dumps(fields))
    known_need(values, precision, CPU)
    assert len(asked) == 6
    known_need(values, precision, CPU)
    assert len(asked) == 6


@pytest.mark.parametrize("text", ["", "{}", '{"estimate": {"moments": 1}}', "null", "[]"])
def test_a_damaged_file_is_as_if_there_were_none(asked, values, text):
    precision = choose_precision("cpu", "bf16")
    whole = known_need(values, precision, CPU)
    (file,) = (cache_root() / "needs").iterdir()
    file.write_text(text)
    assert known_need(values, precision, CPU) == whole
    assert known_need(values, precision, CPU) == whole
    assert len(asked) == 2


def test_a_folder_that_cannot_be_written_is_no_reason_to_fail(asked, values, tmp_path):
    (tmp_path / "cache").write_text("a file")
    assert known_need(values, choose_precision("cpu", "bf16"), CPU).gib > 0
