"""`xtune convert`: shards of two processes become the model that they trained."""

from __future__ import annotations

import os
import pickle
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM

from tests.integration.local_bytes import launch
from tests.once import once
from tests.runs import options
from xtune.cli.entry import main
from xtune.errors import CheckpointError
from xtune.export.shards import read_dcp, weights_of_model

HOOK = {"type": str(Path(__file__).with_name("foreign_shards.py")) + ":WriteShards"}
KINDS = {
    "zero1": ("zero_to_hf", ["--deepspeed", "zero1"]),
    "zero2": ("zero_to_hf", ["--deepspeed", "zero2"]),
    "zero3": ("zero_to_hf", ["--deepspeed", "zero3"]),
    "fsdp": ("dcp_to_hf", ["--strategy", "fsdp"]),
}


@pytest.fixture(scope="session")
def trained(inputs, shared_folder) -> Path:
    """The folder with a work_dir of two kinds, and shards in it; one start for both."""
    return once(shared_folder / "shards", lambda folder: _train(inputs, folder, ["zero2", "fsdp"]))


def _train(inputs, folder: Path, kinds: list[str]) -> Path:
    chosen = [o for o in options(inputs) if not o.startswith("lora.")]
    chosen += ["max_steps=2", "accumulative_counts=1", f"default_hooks.tensorboard={HOOK!r}"]
    runs = [
        (str(folder / name), ["custom_sft_full", *words, "--cfg-options", *chosen])
        for name, (_, words) in KINDS.items()
        if name in kinds
    ]
    folder.mkdir(exist_ok=True)
    launch(folder, runs, 2)
    return folder


@pytest.mark.parametrize("name", ["zero2", "fsdp"])
def test_it_is_the_model_that_the_run_saved(trained, inputs, tmp_path, capsys, name):
    _require_the_saved_model(name, trained, inputs, tmp_path / "out", capsys)


@pytest.mark.slow
def test_zero_s_other_stages_too(inputs, tmp_path, capsys):
    folder = _train(inputs, tmp_path, ["zero1", "zero3"])
    for name in ("zero1", "zero3"):
        _require_the_saved_model(name, folder, inputs, tmp_path / f"{name}_out", capsys)


def _require_the_saved_model(name, trained, inputs, out, capsys):
    words = [KINDS[name][0], str(trained / name / "shards"), str(inputs.model), str(out)]
    assert main(["convert", *words]) == 0
    assert f"talk to it: xtune chat {out}" in capsys.readouterr().out
    converted = AutoModelForCausalLM.from_pretrained(out).state_dict()
    saved = load_file(trained / name / "checkpoints/latest/model/model.safetensors")
    for key, weight in saved.items():
        assert torch.equal(converted[key], weight), key
    assert main(["convert", *words]) == 2  # it is there already
    assert "exists already" in capsys.readouterr().err


def test_a_folder_of_another_kind_is_refused(trained, inputs, tmp_path, capsys):
    words = ["convert", "dcp_to_hf", str(trained / "zero2/shards"), str(inputs.model)]
    assert main([*words, str(tmp_path / "out")]) == 1
    assert "it has no file '.metadata'" in capsys.readouterr().err
    words = ["convert", "zero_to_hf", str(trained / "fsdp/shards"), str(inputs.model)]
    assert main([*words, str(tmp_path / "out")]) == 1
    assert "is no checkpoint of DeepSpeed" in capsys.readouterr().err
    assert main(["convert", "zero_to_hf", "nowhere", str(inputs.model), str(tmp_path / "out")]) == 2


class Attack:
    def __reduce__(self):
        return os.system, ("touch /tmp/xtune_was_attacked",)


def test_code_in_shards_is_not_run(trained, inputs, tmp_path, capsys):
    for name, victim in (("zero2", "step/mp_rank_00_model_states.pt"), ("fsdp", ".metadata")):
        shards = tmp_path / name
        for file in (trained / name / "shards").rglob("*"):
            if file.is_file():
                copy = shards / file.relative_to(trained / name / "shards")
                copy.parent.mkdir(parents=True, exist_ok=True)
                copy.write_bytes(file.read_bytes())
        if name == "fsdp":
            (shards / victim).write_bytes(pickle.dumps(Attack()))
        else:
            torch.save({"module": Attack()}, shards / victim)
        words = ["convert", KINDS[name][0], str(shards), str(inputs.model)]
        assert main([*words, str(tmp_path / "out")]) == 1
        said = capsys.readouterr().err
        assert "system, which no weights need: it is not loaded" in said
        assert not (tmp_path / "out").exists()
    assert not Path("/tmp/xtune_was_attacked").exists()


def test_weights_of_another_model_are_refused_with_the_first_that_differs(trained):
    found = read_dcp(trained / "fsdp/shards")
    expected = {name.removeprefix("model."): weight for name, weight in found.items()}
    assert weights_of_model(found, expected).keys() == expected.keys()
    name = next(iter(expected))
    with pytest.raises(
        CheckpointError, match=rf"{name} is .* in the shards and \[1\] in the model"
    ):
        weights_of_model(found, expected | {name: torch.zeros(1)})
    with pytest.raises(CheckpointError, match="the shards lack 1 of"):
        weights_of_model(found, expected | {"further.weight": torch.zeros(1)})
    with pytest.raises(CheckpointError, match="these shards hold an adapter"):
        weights_of_model({"a.lora_A.weight": torch.zeros(1)}, expected)
