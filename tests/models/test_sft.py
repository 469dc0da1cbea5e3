"""The loss of supervised fine-tuning: splits, adapters on the head, checkpointing, memory."""

from __future__ import annotations

import pytest
import torch
from peft import LoraConfig, PromptTuningConfig

from tests.losses.test_chunked_cross_entropy import LargestTensor
from tests.models.packs import documents_of, pack, plain_loss, random_documents
from xtune.errors import ModelError
from xtune.models import SupervisedFinetune, load_model

LENGTHS = [5, 1, 17, 30, 2, 9]


def finetune(folder, adapter=None, **settings):
    torch.manual_seed(0)
    return SupervisedFinetune(load_model(str(folder), dtype="fp32"), adapter=adapter, **settings)


def stirred(model):
    """Give every trained weight a value: a fresh LoRA's output is zero whatever its input."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter += torch.randn(parameter.shape, generator=generator) * 0.1
    return model


def gradients(model):
    return {
        name: parameter.grad.clone()
        for name, parameter in model.named_parameters()
        if parameter.requires_grad
    }


@pytest.mark.parametrize(
    "split",
    [[6], [1, 5], [2, 2, 2], [1, 1, 1, 1, 1, 1]],
    ids=lambda split: "+".join(map(str, split)),
)
def test_any_split_into_micro_batches_gives_the_same_loss_and_gradient(tiny_llama, split):
    documents = random_documents(LENGTHS)
    n = pack(documents).trained_tokens
    model = stirred(finetune(tiny_llama, LoraConfig(r=4)))

    model(pack(documents), normalizer=n)["loss"].backward()
    expected = gradients(model)
    model.zero_grad()

    total, start = 0.0, 0
    for size in split:
        loss = model(pack(documents[start : start + size]), normalizer=n)["loss"]
        loss.backward()
        total, start = total + loss.item(), start + size

    assert total == pytest.approx(plain_loss(model.llm, documents, n).item(), rel=1e-5)
    for name, grad in gradients(model).items():
        torch.testing.assert_close(grad, expected[name], rtol=1e-4, atol=1e-5, msg=name)


ADAPTERS = {
    "lora": LoraConfig(r=4, target_modules="all-linear"),
    "a head that is trained whole": LoraConfig(r=4, modules_to_save=["lm_head"]),
    "head and embedding": LoraConfig(r=4, modules_to_save=["lm_head", "embed_tokens"]),
    "lora on the head": LoraConfig(r=4, target_modules=["q_proj", "lm_head"]),
    "dora": LoraConfig(r=4, use_dora=True),
}


@pytest.mark.filterwarnings("ignore:.*tie_word_embeddings")
@pytest.mark.parametrize("tied", [True, False], ids=["tied", "untied"])
@pytest.mark.parametrize("adapter", ADAPTERS, ids=lambda name: name.replace(" ", "-"))
def test_adapters_give_the_loss_and_gradient_of_the_plain_forward(tiny_family, adapter, tied):
    folder = tiny_family("llama", tied=tied)
    documents = random_documents(LENGTHS)
    batch = pack(documents)
    n = batch.trained_tokens
    model = stirred(finetune(folder, ADAPTERS[adapter], loss_chunk_size=7))

    expected = plain_loss(model.llm, documents, n)
    expected.backward()
    expected_grads = gradients(model)
    model.zero_grad()
    loss = model(batch, normalizer=n)["loss"]
    loss.backward()

    torch.testing.assert_close(loss, expected, rtol=1e-5, atol=1e-5)
    for name, grad in gradients(model).items():
        torch.testing.assert_close(grad, expected_grads[name], rtol=1e-4, atol=1e-5, msg=name)


def test_lora_at_step_0_leaves_the_loss_unchanged(tiny_llama):
    batch = pack(random_documents(LENGTHS))
    plain = finetune(tiny_llama)(batch, normalizer=10)["loss"]
    adapted = finetune(tiny_llama, LoraConfig(r=4))(batch, normalizer=10)["loss"]
    torch.testing.assert_close(adapted, plain, rtol=0, atol=0)


def test_with_the_adapter_switched_off_it_is_the_base(untied_llama):
    batch = pack(random_documents(LENGTHS))
    plain = finetune(untied_llama)(batch, normalizer=10)["loss"]
    model = stirred(finetune(untied_llama, LoraConfig(r=4, modules_to_save=["lm_head"])))
    assert (model(batch, normalizer=10)["loss"] - plain).abs() > 0.01
    with model.llm.disable_adapter():
        without = model(batch, normalizer=10)["loss"]
    torch.testing.assert_close(without, plain, rtol=1e-6, atol=0)


def test_only_the_adapter_is_trained_and_in_fp32(tiny_llama):
    llm = load_model(str(tiny_llama), dtype="bf16")
    model = SupervisedFinetune(llm, adapter=LoraConfig(r=4, modules_to_save=["lm_head"]))
    trained = {name for name, p in model.named_parameters() if p.requires_grad}
    assert trained
    assert all("lora_" in name or "modules_to_save" in name for name in trained)
    assert all(p.dtype == torch.float32 for p in model.parameters() if p.requires_grad)
    assert all(p.dtype == torch.bfloat16 for p in model.parameters() if not p.requires_grad)


@pytest.mark.parametrize("adapter", [None, LoraConfig(r=4)], ids=["full", "lora"])
def test_nothing_trained_is_zero_with_gradients_of_zero(tiny_llama, adapter):
    model = finetune(tiny_llama, adapter)
    batch = pack(random_documents(LENGTHS, trained=0.0))
    assert batch.trained_tokens == 0
    loss = model(batch, normalizer=0)["loss"]
    loss.backward()
    assert loss.item() == 0.0
    assert all(grad.eq(0).all() for grad in gradients(model).values())


@pytest.mark.parametrize("adapter", [None, LoraConfig(r=4)], ids=["full", "lora"])
def test_checkpointing_changes_no_gradient_and_keeps_less(tiny_llama, adapter):
    batch = pack(random_documents(LENGTHS))

    def kept_and_gradients(**settings):
        model = stirred(finetune(tiny_llama, adapter, **settings))
        kept = 0

        def keep(tensor):
            nonlocal kept
            kept += tensor.numel()
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            loss = model(batch, normalizer=10)["loss"]
        loss.backward()
        return kept, gradients(model)

    kept, expected = kept_and_gradients()
    kept_checkpointed, grads = kept_and_gradients(gradient_checkpointing=True)
    assert kept_checkpointed < kept / 2
    for name, grad in grads.items():
        torch.testing.assert_close(grad, expected[name], rtol=1e-5, atol=1e-6, msg=name)


def test_no_tensor_of_tokens_times_vocabulary_is_made(tiny_llama):
    model = finetune(tiny_llama, LoraConfig(r=4), loss_chunk_size=8)
    batch = pack(random_documents([64, 64], trained=1.0))
    with LargestTensor() as seen:
        model(batch, normalizer=1)["loss"].backward()
    # The tied head's weight is 384 x 32, the MLP's activations 128 x 64, full logits 128 x 384.
    assert seen.elements == 384 * 32


def test_bf16_autocast_stays_near_fp32(tiny_llama):
    batch = pack(random_documents(LENGTHS))
    expected = finetune(tiny_llama, LoraConfig(r=4))(batch, normalizer=20)["loss"]
    model = SupervisedFinetune(load_model(str(tiny_llama), dtype="bf16"), adapter=LoraConfig(r=4))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = model(batch, normalizer=20)["loss"]
    loss.backward()
    assert loss.dtype == torch.float32
    torch.testing.assert_close(loss, expected, rtol=2e-2, atol=0)


def test_it_learns(tiny_llama):
    batch = pack(random_documents(LENGTHS, trained=1.0))
    model = finetune(tiny_llama, LoraConfig(r=8))
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-2)
    losses = []
    for _ in range(30):
        loss = model(batch, normalizer=batch.trained_tokens)["loss"]
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
    assert losses[-1] < losses[0] / 2


def test_prompt_learning_adapters_are_refused(tiny_llama):
    adapter = PromptTuningConfig(num_virtual_tokens=4)
    with pytest.raises(ModelError, match="add tokens to the input"):
        finetune(tiny_llama, adapter)


def test_documents_survive_packing():
    documents = random_documents(LENGTHS)
    for (ids, labels), (ids_back, labels_back) in zip(
        documents, documents_of(pack(documents)), strict=True
    ):
        assert torch.equal(ids, ids_back)
        assert torch.equal(labels, labels_back)
