"""An adapter that is trained further is held against what it began as, and not against its base."""

from __future__ import annotations

import copy
import math

import pytest
import torch
from peft import LoraConfig, get_peft_model_state_dict

from tests.models.test_preference import (
    LORA,
    algorithm,
    batch_of,
    dpo_by_hand,
    moved,
    pairs_of,
    sums_by_hand,
)
from xtune.errors import AdapterError
from xtune.export.export import write_adapter
from xtune.models import (
    PreferenceOptimization,
    UnpairedPreferenceOptimization,
    attach_adapter,
    load_adapter,
    load_model,
    load_tokenizer,
    merge_adapter,
)
from xtune.models.algorithms.saved import require_saved
from xtune.registry import PAIR_LOSSES, UNPAIRED_LOSSES, build

KINDS = {
    "lora": LORA,
    "dora": {**LORA, "use_dora": True},
    "with the vocabulary": {**LORA, "modules_to_save": ["embed_tokens", "lm_head"]},
    "with a norm": {**LORA, "modules_to_save": ["model.norm"]},
    "with new tokens": {**LORA, "trainable_token_indices": [5, 6, 200]},
    "on the head": {**LORA, "target_modules": ["q_proj", "lm_head"]},
}


def adapted(folder, lora, dtype="fp32"):
    """A model with an adapter that was trained before."""
    torch.manual_seed(0)
    llm = load_model(str(folder), dtype=dtype)
    config = LoraConfig(**lora, task_type="CAUSAL_LM")
    return moved(attach_adapter(llm, config), by=0.1)


def going_on(folder, lora, **settings):
    loss = build(PAIR_LOSSES, {"type": "sigmoid"})
    return PreferenceOptimization(adapted(folder, lora), loss=loss, **settings)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("folder", ["tiny_llama", "untied_llama"])
def test_its_reference_is_what_it_began_as_however_far_it_goes(kind, folder, request):
    folder = request.getfixturevalue(folder)
    documents = pairs_of()
    started = adapted(folder, KINDS[kind])
    model = going_on(folder, KINDS[kind])
    require_saved(model)
    trained = {name for name, p in model.named_parameters() if p.requires_grad}
    assert trained == {f"llm.{name}" for name, p in started.named_parameters() if p.requires_grad}
    batch = batch_of(documents)
    assert model(batch, normalizer=4)["loss"].item() == pytest.approx(math.log(2), abs=1e-6)
    ref = sums_by_hand(started, documents)
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=0.05)
    for _ in range(3):
        found = model(batch, normalizer=4)["loss"]
        assert found.item() == pytest.approx(dpo_by_hand(sums_by_hand(model.llm, documents), ref))
        found.backward()
        grads = {name for name, p in model.named_parameters() if p.grad is not None}
        assert grads == trained
        optimizer.step()
        optimizer.zero_grad()
    assert {name for name, p in model.named_parameters() if p.requires_grad} == trained
    assert found.item() < math.log(2) - 1e-3


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("folder", ["tiny_llama", "untied_llama"])
def test_of_a_new_adapter_it_is_the_untouched_checkpoint(kind, folder, request):
    """Also where it trains whole modules, the vocabulary or new rows: those are off too."""
    folder = request.getfixturevalue(folder)
    documents = pairs_of()
    ref = sums_by_hand(load_model(str(folder), dtype="fp32"), documents)
    model = moved(algorithm(folder, "sigmoid", lora=KINDS[kind]), by=0.1)
    own = sums_by_hand(model.llm, documents)
    found = model(batch_of(documents), normalizer=4)["loss"].item()
    assert found == pytest.approx(dpo_by_hand(own, ref), rel=1e-5)
    assert found != pytest.approx(math.log(2), abs=1e-3)


def test_the_bare_base_would_have_been_another_reference(tiny_llama):
    """What others take without a word: this adapter's first loss is not ln 2 against its base."""
    documents = pairs_of()
    llm = adapted(tiny_llama, LORA)
    with llm.disable_adapter():
        bare = sums_by_hand(llm, documents)
    wrong = dpo_by_hand(sums_by_hand(llm, documents), bare)
    assert abs(wrong - math.log(2)) > 0.01


def test_answers_after_the_reference_are_those_before_it_bit_for_bit(tiny_llama):
    model = moved(going_on(tiny_llama, {**LORA, "modules_to_save": ["model.norm"]}), by=0.05)
    batch = batch_of(pairs_of())
    with torch.no_grad():
        before = model.backbone.log_probs(batch, chunk_size=64)
        between = model.reference_log_probs(batch)
        after = model.backbone.log_probs(batch, chunk_size=64)
    assert torch.equal(before, after)
    assert not torch.equal(before, between)


@pytest.mark.parametrize("every", [True, 2])
def test_layers_that_are_computed_again_have_the_trained_adapter(tiny_llama, every):
    batch = batch_of(pairs_of())
    gradients = []
    for checkpointing in (False, every):
        model = moved(going_on(tiny_llama, LORA, gradient_checkpointing=checkpointing), by=0.05)
        model(batch, normalizer=4)["loss"].backward()
        gradients.append({n: p.grad for n, p in model.named_parameters() if p.requires_grad})
    for name, grad in gradients[0].items():
        torch.testing.assert_close(gradients[1][name], grad, rtol=1e-5, atol=1e-7)


def test_in_16_bits_the_copy_of_what_is_trained_is_fp32_too(tiny_llama):
    loss = build(PAIR_LOSSES, {"type": "sigmoid"})
    llm = adapted(tiny_llama, KINDS["with the vocabulary"], dtype="bf16")
    model = PreferenceOptimization(llm, loss=loss)
    own = dict(model.named_parameters())
    copies = {name: p for name, p in own.items() if ".reference." in name}
    assert len(copies) > 3
    for name, parameter in copies.items():
        assert parameter.dtype == torch.float32, name
        assert torch.equal(parameter, own[name.replace(".reference.", ".default.")])


def test_the_copy_is_in_no_file_and_in_no_merged_model(tiny_llama, tmp_path):
    plain = adapted(tiny_llama, KINDS["with a norm"])
    model = going_on(tiny_llama, KINDS["with a norm"])
    found, right = (get_peft_model_state_dict(llm) for llm in (model.llm, plain))
    assert found.keys() == right.keys()
    tokenizer = load_tokenizer(str(tiny_llama))
    write_adapter(tmp_path / "adapter", model.llm, found, tokenizer, {})
    assert {file.name for file in (tmp_path / "adapter").iterdir() if file.is_dir()} == set()
    again = load_adapter(load_model(str(tiny_llama), dtype="fp32"), tmp_path / "adapter")
    documents = pairs_of()
    expected = sums_by_hand(plain, documents)
    assert sums_by_hand(again, documents) == expected
    merged = merge_adapter(copy.deepcopy(model.llm))
    for one, other in zip(sums_by_hand(merged, documents), expected, strict=True):
        assert one[0] == pytest.approx(other[0], rel=1e-5)
    assert not [name for name, _ in merged.named_parameters() if "reference" in name]


def test_a_resumed_run_takes_back_the_adapter_that_it_began_with(tiny_llama, tmp_path):
    tokenizer = load_tokenizer(str(tiny_llama))
    for number, name in enumerate(("began", "other")):
        llm = moved(adapted(tiny_llama, LORA), by=0.1 * number)
        write_adapter(tmp_path / name, llm, get_peft_model_state_dict(llm), tokenizer, {})
    documents = pairs_of()
    ref = sums_by_hand(adapted(tiny_llama, LORA), documents)
    went_on = moved(adapted(tiny_llama, LORA), by=0.2)
    model = PreferenceOptimization(went_on, loss=build(PAIR_LOSSES, {"type": "sigmoid"}))
    model.start.load(tmp_path / "began", None)
    own = sums_by_hand(model.llm, documents)
    found = model(batch_of(documents), normalizer=4)["loss"].item()
    assert found == pytest.approx(dpo_by_hand(own, ref), rel=1e-5)
    with pytest.raises(AdapterError, match="is its reference, and .* has another now: sha256"):
        model.start.load(tmp_path / "other", "0" * 64)
    with pytest.raises(AdapterError, match="sha256 nothing"):
        model.start.load(tmp_path / "nowhere", None)


def test_without_need_of_a_reference_there_is_no_copy(tiny_llama):
    free = PreferenceOptimization(
        adapted(tiny_llama, LORA), loss=build(PAIR_LOSSES, {"type": "simpo"})
    )
    assert free.start is None
    assert algorithm(tiny_llama, "sigmoid", lora=LORA).start is None
    kto = build(UNPAIRED_LOSSES, {"type": "kto"})
    assert UnpairedPreferenceOptimization(adapted(tiny_llama, LORA), loss=kto).start is not None
