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


def test_another_head_alone_is_another_base(untied_llama):
    llm = load_model(str(untied_llama), dtype="fp32")
    before = base_fingerprint(llm)
    with torch.no_grad():
        llm.lm_head.weight.neg_()
    assert not same_base(before, base_fingerprint(llm))
    # What was written before the head was looked at says nothing of it
    assert same_base(before.rpartition("-")[0], base_fingerprint(llm))


def test_a_tied_head_that_is_trained_apart_is_still_the_embedding(fingerprint, tiny_llama):
    llm = load_model(str(tiny_llama), dtype="fp32")
    embedding, head = fingerprint.split("-")[1:]
    assert embedding == head
    llm.lm_head.weight = torch.nn.Parameter(llm.lm_head.weight.detach().clone())
    assert base_fingerprint(llm) == fingerprint


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
