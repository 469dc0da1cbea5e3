"""DeepSpeed's JSON: by name or path, 'auto' left out, contradictions with the sheet reported."""

import json

import pytest

from xtune.config import render
from xtune.config.deepspeed import contradictions, engine_names, read_engine_settings
from xtune.config.validation import check
from xtune.errors import ConfigError


def sheet(config, *options):
    strategy = {"type": "DeepSpeedStrategy", "config": config, "precision": "fp32"}
    return render("custom_sft_lora", [*options, f"strategy={strategy!r}"])


def test_the_shipped_files_are_those_that_the_help_names():
    assert list(engine_names()) == [
        "deepspeed_zero1",
        "deepspeed_zero2",
        "deepspeed_zero2_offload",
        "deepspeed_zero3",
        "deepspeed_zero3_offload",
    ]


@pytest.mark.parametrize("name", engine_names())
def test_a_shipped_file_leaves_everything_but_zero_to_the_run(name):
    settings = read_engine_settings(name)
    assert "auto" not in json.dumps(settings)
    assert settings["zero_optimization"]["stage"] == int(name.removesuffix("_offload")[-1])
    assert list(contradictions(sheet(name).values)) == []


def test_a_name_may_leave_out_its_beginning_and_a_path_is_read(tmp_path):
    assert read_engine_settings("zero2") == read_engine_settings("deepspeed_zero2")
    file = tmp_path / "own.json"
    file.write_text('{"zero_optimization": {"stage": 2, "overlap_comm": "auto"}}')
    assert read_engine_settings(str(file))["zero_optimization"] == {"stage": 2}


def test_a_file_that_is_not_there_or_no_json_says_what_is(tmp_path):
    with pytest.raises(ConfigError, match="did you mean 'deepspeed_zero2'"):
        read_engine_settings("deepspeed_zer2")
    file = tmp_path / "own.json"
    file.write_text("{'zero': 2}")
    with pytest.raises(ConfigError, match="is no JSON"):
        read_engine_settings(str(file))
    file.write_text("[2]")
    with pytest.raises(ConfigError, match="no JSON object, but a list"):
        read_engine_settings(str(file))


def test_what_json_and_config_both_say_differently_is_reported_all_at_once(tmp_path):
    file = tmp_path / "own.json"
    file.write_text(
        json.dumps(
            {
                "zero_optimization": {"stage": 2},
                "optimizer": {"type": "Adam"},
                "train_micro_batch_size_per_gpu": 8,
                "gradient_accumulation_steps": 4,
                "gradient_clipping": 5.0,
                "bf16": {"enabled": True},
                "fp16": {"enabled": False},
            }
        )
    )
    found = [key for key, _, _ in contradictions(sheet(str(file), "batch_size=8").values)]
    assert found == [
        "strategy.config",
        "train_cfg.accumulative_counts",
        "clip_grad.max_norm",
        "strategy.precision",
    ]
    said = "\n".join(map(str, check(sheet(str(file)))))
    assert "batch_size = 1: 'train_micro_batch_size_per_gpu' of DeepSpeed's JSON is 8" in said
    assert "take 'optimizer' out of the JSON" in said
