"""xtune scaling, as a user types it."""

from __future__ import annotations

import pytest

from xtune.cli.entry import main

CONFIG = "smollm2_135m_lora_toolcall"


def test_a_row_for_each_strategy_and_number_of_devices(capsys):
    assert main(["scaling", CONFIG, "--devices", "2,1,2", "--gpu-memory", "24"]) == 0
    out = capsys.readouterr().out
    table = out.partition("devices  ")[2].partition("Assumed:")[0]
    rows = [line.split() for line in table.splitlines()[1:] if line]
    assert [row[:2] for row in rows] == [
        ["1", "single"],
        *(["2", name] for name in ("ddp", "zero1", "zero2", "zero3", "fsdp")),
    ]
    assert all("fits" in row for row in rows)
    assert "24 GB" in out
    head, _, assumed = out.partition("Assumed:")
    assert CONFIG in head
    for said in ("1910.02054", "200 GB/s", "50 GB/s", "40%", "312 TFLOP/s"):
        assert said in assumed


def test_options_change_what_is_assumed(capsys):
    words = ["scaling", CONFIG, "--devices", "1024", "--bandwidth", "12.5 GB/s,3"]
    words += ["--peak", "165", "--utilisation", "0.5", "--gpu-memory", "8 gb"]
    assert main([*words, "--cfg-options", "max_length=512"]) == 0
    out = capsys.readouterr().out
    for said in ("12.5 GB/s", "3 GB/s", "50% of 165", "8 GB", "x 512 tokens"):
        assert said in out


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("--devices", "0"),
        ("--devices", "1025"),
        ("--devices", "2,x"),
        ("--devices", "1.5"),
        ("--devices", "-1"),
        ("--devices", ""),
        ("--devices", "²"),
        ("--devices", "9" * 5000),
        ("--peak", "9" * 400),
        ("--gpu-memory", "big"),
        ("--gpu-memory", "0"),
        ("--gpu-memory", "80TB"),
        ("--gpu-memory", "nan"),
        ("--bandwidth", "fast"),
        ("--bandwidth", "200,"),
        ("--bandwidth", "1,2,3"),
        ("--host-bandwidth", "-3"),
        ("--peak", "inf"),
        ("--utilisation", "1.5"),
        ("--utilisation", "0"),
        ("--per-host", "0"),
        ("--per-host", "many"),
    ],
)
def test_what_is_no_number_is_misuse(option, value, capsys):
    assert main(["scaling", CONFIG, f"{option}={value}"]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert option in captured.err
    assert "Traceback" not in captured.err


def test_an_unknown_config_is_misuse(capsys):
    assert main(["scaling", "smollm2_135m_lora_toolcal"]) == 2
    assert CONFIG in capsys.readouterr().err


def test_a_config_with_a_mistake_is_misuse(capsys):
    assert main(["scaling", CONFIG, "--cfg-options", "lora.r=-1", "lr=-1"]) == 2
    assert "lr" in capsys.readouterr().err


def test_a_model_that_nobody_knows_here_is_a_failure(capsys):
    options = ["--cfg-options", "pretrained_model_name_or_path=nobody/nothing"]
    assert main(["scaling", CONFIG, *options]) == 1
    assert "nobody/nothing" in capsys.readouterr().err
