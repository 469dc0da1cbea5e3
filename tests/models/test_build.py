"""From the sheet's `model` dict to a model."""

from __future__ import annotations

import pytest
import torch

from xtune.errors import RegistryError
from xtune.models import SupervisedFinetune, build_model, choose_precision

LORA = {"type": "LoraConfig", "r": 4}


def settings(folder, **changes):
    llm = {"type": "CausalLM", "pretrained_model_name_or_path": str(folder)}
    return {"type": "SupervisedFinetune", "llm": llm | changes.pop("llm", {})} | changes


def dtypes(model, *, trained):
    return {p.dtype for p in model.parameters() if p.requires_grad is trained}


def test_all_weights_trained_are_fp32_masters(tiny_llama):
    model = build_model(settings(tiny_llama), precision=choose_precision("cpu", "bf16"))
    assert isinstance(model, SupervisedFinetune)
    assert model.training
    assert dtypes(model, trained=True) == {torch.float32}
    assert dtypes(model, trained=False) == set()


def test_a_frozen_base_takes_the_runs_format(tiny_llama):
    model = build_model(
        settings(tiny_llama, adapter=LORA), precision=choose_precision("cpu", "bf16")
    )
    assert dtypes(model, trained=False) == {torch.bfloat16}
    assert dtypes(model, trained=True) == {torch.float32}


def test_a_dtype_that_is_asked_for_wins(tiny_llama):
    model = build_model(settings(tiny_llama, llm={"dtype": "bf16"}))
    assert dtypes(model, trained=True) == {torch.bfloat16}


def test_the_sheet_is_not_written_into(tiny_llama):
    cfg = settings(tiny_llama, adapter=dict(LORA))
    before = repr(cfg)
    build_model(cfg)
    assert repr(cfg) == before


@pytest.mark.parametrize("name", ["smollm2", "internlm/internlm-7b"])
@pytest.mark.parametrize("adapter", [LORA, None], ids=["lora", "full"])
def test_known_models_build_on_the_meta_device_without_files(name, adapter, monkeypatch, tmp_path):
    monkeypatch.setenv("XTUNE_CACHE", str(tmp_path))
    cfg = settings(name, adapter=adapter, llm={"quantization": {"bits": 4}})
    model = build_model(cfg, device="meta")
    assert {p.device.type for p in model.parameters()} == {"meta"}
    assert not any(tmp_path.iterdir())


def test_an_unknown_name_offers_the_nearest(tiny_llama):
    with pytest.raises(RegistryError, match="did you mean 'SupervisedFinetune'"):
        build_model(settings(tiny_llama) | {"type": "SupervisedFinetuen"})
