"""The same base in any number format is recognised; another one is not."""

from __future__ import annotations

import pytest
import torch
from peft import LoraConfig

from xtune.models import attach_adapter, base_fingerprint, load_model
from xtune.models.fingerprint import same_base


@pytest.fixture(scope="module")
def fingerprint(tiny_llama):
    return base_fingerprint(load_model(str(tiny_llama), dtype="fp32"))


@pytest.mark.parametrize(
    "settings",
    [{"dtype": "fp32"}, {"dtype": "bf16"}, {"dtype": "fp16"}, {"quantization": {"bits": 4}}],
)
def test_number_formats_do_not_matter(fingerprint, tiny_llama, settings):
    assert same_base(fingerprint, base_fingerprint(load_model(str(tiny_llama), **settings)))


def test_a_file_rounded_to_a_few_levels_is_the_same_base(fingerprint, tiny_llama):
    llm = load_model(str(tiny_llama), dtype="fp32")
    weight = llm.get_input_embeddings().weight
    with torch.no_grad():  # 16 levels a row, as Q4 files have
        step = weight.abs().amax(dim=1, keepdim=True) / 7.5
        weight.copy_((weight / step).round() * step)
    assert base_fingerprint(llm) != fingerprint
    assert same_base(fingerprint, base_fingerprint(llm))


def test_other_weights_or_layers_are_another_base(fingerprint, tiny_family):
    for settings in ({"seed": 9}, {"layers": 3}, {"heads": 8}):
        other = load_model(str(tiny_family("llama", **settings)), dtype="fp32")
        assert not same_base(fingerprint, base_fingerprint(other)), settings


def test_training_does_not_change_it(fingerprint, tiny_llama):
    llm = attach_adapter(
        load_model(str(tiny_llama), dtype="fp32"),
        LoraConfig(r=4, modules_to_save=["embed_tokens", "lm_head"]),
    )
    with torch.no_grad():
        for parameter in llm.parameters():
            if parameter.requires_grad:
                parameter.neg_()
    assert base_fingerprint(llm) == fingerprint


def test_without_weights_the_architecture_decides(fingerprint, tiny_llama, untied_llama):
    assert same_base(fingerprint, base_fingerprint(load_model(str(tiny_llama), device="meta")))
