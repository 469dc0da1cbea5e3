"""From the sheet's `model` dict to a model."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch

from tests.models.with_reference import WithReference
from tests.runs import sheet_of
from xtune.engine.dry_run import make_plan
from xtune.errors import RegistryError
from xtune.models import SupervisedFinetune, build_model, choose_precision
from xtune.planning.requirement import DeviceMemory, need_of

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


@pytest.mark.parametrize("adapter", [LORA, None], ids=["lora", "full"])
def test_a_second_model_goes_where_the_first_goes_in_its_format(tiny_llama, untied_llama, adapter):
    cfg = settings(tiny_llama, adapter=adapter, ref=settings(untied_llama)["llm"])
    cfg["type"] = WithReference
    bf16 = choose_precision("cpu", "bf16")
    pieces = {384: [5, 6]}  # a new token, which stands in the data of both
    for device in ("cpu", "meta"):
        model = build_model(cfg, device=device, precision=bf16, pieces=pieces)
        first, second = (backbone.base for backbone in model.backbones())
        assert {p.device.type for p in model.parameters()} == {device}
        assert first.dtype == second.dtype == (torch.bfloat16 if adapter else torch.float32)
        assert not any(p.requires_grad for p in second.parameters())
        rows = [m.get_input_embeddings().weight.shape[0] for m in (first, second)]
        assert rows == [385, 385]
    stored = build_model(cfg, precision=bf16, as_stored=True)
    assert {backbone.base.dtype for backbone in stored.backbones()} == {torch.float32}


def test_a_model_that_has_its_new_tokens_gets_none_and_its_reference_does(tiny_llama):
    grown = build_model(settings(tiny_llama), pieces={384: [5, 6]}).language_model
    with torch.no_grad():
        grown.get_input_embeddings().weight[384] = 7.0  # as a run has trained it
    cfg = {
        "type": WithReference,
        "llm": {"type": lambda: grown},
        "ref": settings(tiny_llama)["llm"],
    }
    model = build_model(cfg, pieces={384: [5, 6]}, grown=True)
    own, ref = (b.base.get_input_embeddings().weight for b in model.backbones())
    assert own[384].tolist() == [7.0] * 32
    assert torch.equal(ref[384], ref[[5, 6]].mean(0))


def test_what_a_run_needs_is_known_without_loading_any_of_its_models(inputs, tmp_path):
    """Neither of two folders has a weight in it."""
    folders = [tmp_path / "llm", tmp_path / "ref"]
    for folder in folders:
        shutil.copytree(inputs.model, folder, ignore=shutil.ignore_patterns("*.safetensors"))
    llm, ref = (settings(folder)["llm"] for folder in folders)
    kind = f"{Path(__file__).parent / 'with_reference.py'}:WithReference"
    model = {"type": kind, "llm": llm, "ref": ref}
    options = [f"model={model!r}", f"tokenizer.pretrained_model_name_or_path={inputs.model}"]
    both = sheet_of(inputs, *options, config="custom_sft_full")
    one = sheet_of(inputs, config="custom_sft_full")
    bf16 = choose_precision("cpu", "bf16")
    need, alone = (need_of(s.values, bf16, DeviceMemory("cpu", None)).estimate for s in (both, one))
    assert need.trainable == alone.trainable == alone.parameters
    assert need.parameters == 2 * alone.parameters
    assert need.components["frozen weights"] == 4 * alone.parameters  # in the format of `llm`
    said = "\n".join(make_plan(both, tmp_path / "run"))
    assert f"{need.trainable:,} trained of {need.parameters:,} (50.00 %)" in said
