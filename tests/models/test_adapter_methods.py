"""Every adapter method of PEFT's: it loads again as it was trained, or it is refused with a reason.

A new PEFT may bring another: then it stands in neither table, and the first test says so.
"""

from __future__ import annotations

import inspect
import warnings

import peft
import pytest
import torch
from peft import PeftConfig

from tests.tiny import write_tiny_model
from xtune.config import check, render
from xtune.config.adapters import refusal
from xtune.errors import AdapterError
from xtune.models import SupervisedFinetune, attach_adapter, load_adapter, load_model, merge_adapter
from xtune.models.algorithms.saved import require_saved
from xtune.models.self_test import check_packed_logits

IDS = torch.tensor([[5, 6, 7, 8, 9, 30, 12]])
NO_MERGE = {"BeftConfig"}  # trains biases that the layers do not have
LOADED = {
    "BOFTConfig": {"boft_block_size": 4},
    "BeftConfig": {},
    "C3AConfig": {"block_size": 8},
    "DeftConfig": {},
    "DeloraConfig": {},
    "FourierFTConfig": {"n_frequency": 10},
    "FrodConfig": {},
    "GloraConfig": {},
    "GraloraConfig": {},
    "HRAConfig": {},
    "HiraConfig": {},
    "IA3Config": {},
    "LNTuningConfig": {},
    "LoHaConfig": {},
    "LoKrConfig": {},
    "LoraConfig": {},
    "MissConfig": {"r": 4},
    "OFTConfig": {"oft_block_size": 4, "r": 0},
    "OSFConfig": {},
    "PeanutConfig": {},
    "PsoftConfig": {"r": 4},
    "PveraConfig": {},
    "RandLoraConfig": {},
    "RoadConfig": {"group_size": 16},
    "ShiraConfig": {"r": 4},
    "SupertuningConfig": {},
    "TinyLoraConfig": {},
    "TrainableTokensConfig": {"token_indices": [5, 6], "target_modules": ["embed_tokens"]},
    "UniLoraConfig": {},
    "VBLoRAConfig": {"num_vectors": 16, "vector_length": 4, "topk": 2, "r": 2},
    "VeraConfig": {},
    "WaveFTConfig": {"n_frequency": 10},
}
VARIANTS = [
    ("LoraConfig", {"use_dora": True}),
    ("LoraConfig", {"init_lora_weights": "pissa"}),
    ("LoraConfig", {"init_lora_weights": "olora"}),
    ("LoraConfig", {"bias": "all"}),
    ("IA3Config", {"target_modules": ["q_proj", "down_proj"]}),
    ("IA3Config", {"target_modules": "all-linear"}),
    ("IA3Config", {"target_modules": ["v_proj", "o_proj"], "feedforward_modules": ["o_proj"]}),
]
REFUSED = {
    "AdaLoraConfig", "AdaptionPromptConfig", "CPTConfig", "CartridgeConfig", "LilyConfig",
    "MultitaskPromptTuningConfig", "PolyConfig", "PrefixTuningConfig", "PromptEncoderConfig",
    "PromptTuningConfig", "ShadowConfig", "XLoraConfig",
}  # fmt: skip
NEEDS_MORE = {"AdamssConfig"}  # scikit-learn


@pytest.fixture(scope="module")
def llama(tmp_path_factory):
    """Untied, so that nothing hides a layer that another stands for."""
    return write_tiny_model(tmp_path_factory.mktemp("llama"), "llama", tied=False)


def test_every_method_of_peft_stands_in_a_table():
    kinds = {
        name
        for name, kind in inspect.getmembers(peft, inspect.isclass)
        if issubclass(kind, PeftConfig) and name not in ("PeftConfig", "PromptLearningConfig")
    }
    assert kinds == LOADED.keys() | REFUSED | NEEDS_MORE


@torch.no_grad()
def logits_of(llm):
    return llm.eval()(input_ids=IDS, use_cache=False).logits


@pytest.mark.parametrize(("kind", "settings"), [*LOADED.items(), *VARIANTS], ids=str)
def test_it_trains_loads_and_merges(llama, tmp_path, kind, settings):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        tuned = attach_adapter(
            load_model(str(llama), dtype="fp32"), getattr(peft, kind)(**settings)
        )
        generator = torch.Generator().manual_seed(0)
        with torch.no_grad():
            for parameter in tuned.parameters():
                if parameter.requires_grad:
                    parameter += torch.randn(parameter.shape, generator=generator) * 0.05
        expected = logits_of(tuned)
        tuned.save_pretrained(str(tmp_path), save_embedding_layers=False)
        plain = load_model(str(llama), dtype="fp32")
        assert (logits_of(plain) - expected).abs().max() > 1e-2
        again = load_adapter(plain, tmp_path)
        torch.testing.assert_close(logits_of(again), expected, rtol=0, atol=0)
        model = SupervisedFinetune(tuned)
        check_packed_logits(model)
        require_saved(model)  # what PEFT writes is all that is trained
        if kind in NO_MERGE:
            with pytest.raises(AdapterError, match="cannot be merged"):
                merge_adapter(again)
        else:
            torch.testing.assert_close(
                logits_of(merge_adapter(again)), expected, rtol=1e-4, atol=1e-4
            )


@pytest.mark.parametrize("kind", sorted(REFUSED))
def test_it_is_refused_by_check(llama, kind):
    found = refusal(f"peft.{kind}", {})
    assert found is not None
    values = ["lora=None", f"model.adapter={{'type': 'peft.{kind}'}}"]
    sheet = render("custom_sft_lora", [f"pretrained_model_name_or_path={llama}", *values])
    assert any(found.reason in problem.message for problem in check(sheet))


@pytest.mark.parametrize(
    ("settings", "quantized", "way_out"),
    [
        ({"init_lora_weights": "pissa_niter_4"}, False, "'pissa', the exact split"),
        ({"init_lora_weights": "eva"}, False, "Leave init_lora_weights out"),
        ({"init_lora_weights": "loftq"}, False, "quantization"),
        ({"init_lora_weights": "olora"}, True, "init_lora_weights=True"),
        ({"alora_invocation_tokens": [5]}, False, "plain LoRA"),
        ({"layer_replication": [[0, 1], [0, 2]]}, False, "checkpoint of your own"),
    ],
)
def test_settings_of_lora_that_are_refused(llama, settings, quantized, way_out):
    found = refusal("LoraConfig", settings, quantized=quantized)
    assert way_out in found.instead
    config = "custom_sft_qlora" if quantized else "custom_sft_lora"
    options = [f"lora.{key}={value!r}" for key, value in settings.items()]
    sheet = render(config, [f"pretrained_model_name_or_path={llama}", *options])
    assert any(found.reason in problem.message for problem in check(sheet))


def test_what_is_right_on_plain_weights_is_not_refused_there():
    assert refusal("LoraConfig", {"init_lora_weights": "olora"}) is None
    assert refusal("peft.LoHaConfig", {}) is None
    assert refusal("peft.LoHaConfig", {}, quantized=True) is not None


def test_an_adapter_that_trains_nothing_is_refused(llama):
    class Frozen(peft.LoraConfig):
        """Says that it is for inference."""

    config = Frozen(r=2, inference_mode=True)
    with pytest.raises(AdapterError, match="trains no weight"):
        attach_adapter(load_model(str(llama)), config)
