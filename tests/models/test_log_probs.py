"""Log-probabilities from any head equal those of the model's own logits: value and gradients.

The reference is transformers' own forward pass in fp64, one document at a time, and a plain
log_softmax over its full logits.
"""

from __future__ import annotations

import copy

import pytest
import torch
from bitsandbytes.functional import dequantize_4bit
from bitsandbytes.nn import Linear4bit
from peft import LoraConfig
from torch import nn
from torch.utils.checkpoint import checkpoint
from torch.utils.flop_counter import FlopCounterMode

from tests.losses.test_chunked_cross_entropy import LargestTensor
from tests.models.families.cases import minicpm
from tests.models.packs import pack, random_documents
from tests.models.test_sft import ADAPTERS, LENGTHS, finetune, gradients, stirred
from tests.parallel.ranks import on_every_rank
from xtune.models import base_of
from xtune.models.head import Head
from xtune.models.self_test import check_packed_logits
from xtune.parallel.slices import slice_of, sum_by_document

FALCON = {
    "lm_head_multiplier": 0.25,
    "mamba_d_ssm": 64,
    "mamba_n_heads": 4,
    "mamba_d_head": 16,
    "mamba_n_groups": 1,
    "mamba_d_state": 8,
}
FAMILIES = {
    "tied": ("llama", {}),
    "untied": ("llama", {"tied": False}),
    "phi, whose head has a bias": ("phi", {"tied": False}),
    "gemma2, whose logits are bounded": ("gemma2", {"final_logit_softcapping": 3.0}),
    "cohere, whose logits are scaled": ("cohere", {"logit_scale": 0.3}),
    "granite, whose logits are divided": ("granite", {"logits_scaling": 3.0}),
    "falcon_h1, whose logits are scaled": ("falcon_h1", FALCON),
}


def log_probs(model, batch, *, temperature=1.0, chunk_size=7):
    return Head.of(base_of(model.llm)).log_probs(
        model.backbone.hidden_states(batch)[0],
        batch.labels[0],
        chunk_size=chunk_size,
        temperature=temperature,
    )


def plain_log_probs(model, documents, temperature):
    """[T] in fp64."""
    base = base_of(model.llm)
    ours = base.config._attn_implementation
    base.set_attn_implementation("eager")
    parts = []
    for ids, labels in documents:
        logits = model.llm(input_ids=ids[None], use_cache=False).logits[0].double() / temperature
        found = logits.log_softmax(-1).gather(1, labels.clamp(min=0)[:, None])[:, 0]
        parts.append(torch.where(labels == -100, 0.0, found))
    base.set_attn_implementation(ours)
    return torch.cat(parts)


def assert_equal_to_plain(model, temperature, lengths=LENGTHS):
    documents = random_documents(lengths)
    batch = pack(documents)
    factors = torch.randn(batch.tokens, generator=torch.Generator().manual_seed(4))
    reference = copy.deepcopy(model).double()
    expected = plain_log_probs(reference, documents, temperature)
    (expected * factors).sum().backward()
    found = log_probs(model, batch, temperature=temperature)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found.double(), expected, rtol=1e-4, atol=1e-5)
    (found * factors).sum().backward()
    wanted = gradients(reference)
    for name, grad in gradients(model).items():
        size = float(wanted[name].abs().max())
        assert float((grad - wanted[name]).abs().max()) <= 1e-4 * size + 1e-6, name


@pytest.mark.parametrize("temperature", [1.0, 0.7])
@pytest.mark.parametrize("family", FAMILIES, ids=lambda name: name.replace(" ", "-"))
def test_families(tiny_family, family, temperature):
    kind, settings = FAMILIES[family]
    model = finetune(tiny_family(kind, **settings))
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith("lm_head.bias"):  # fresh ones are zero
                parameter.copy_(torch.randn(len(parameter)))
    check_packed_logits(model)
    assert_equal_to_plain(model, temperature)


def test_minicpm_of_ours(tmp_path):
    model = finetune(minicpm.write(tmp_path / "minicpm"))
    assert Head.of(model.llm).scale != 1.0
    assert_equal_to_plain(model, 0.7)


ON_THE_HEAD = ADAPTERS | {
    "dora on the head": LoraConfig(r=4, target_modules=["q_proj", "lm_head"], use_dora=True),
    "some rows of the vocabulary": LoraConfig(r=4, trainable_token_indices=[5, 9, 30]),
}


@pytest.mark.filterwarnings("ignore:.*tie_word_embeddings")
@pytest.mark.parametrize("tied", [True, False], ids=["tied", "untied"])
@pytest.mark.parametrize("adapter", ON_THE_HEAD, ids=lambda name: name.replace(" ", "-"))
def test_adapters_on_the_head_are_called_and_trained(tiny_family, adapter, tied):
    folder = tiny_family("llama", tied=tied)
    assert_equal_to_plain(stirred(finetune(folder, ON_THE_HEAD[adapter])), 0.7)


@pytest.mark.parametrize(
    ("kind", "settings"),
    [("gemma2", {"final_logit_softcapping": 3.0}), ("cohere", {"logit_scale": 0.3})],
)
def test_lora_on_a_head_whose_logits_the_family_changes(tiny_family, kind, settings):
    folder = tiny_family(kind, tied=False, **settings)
    assert_equal_to_plain(stirred(finetune(folder, ADAPTERS["lora on the head"])), 0.7)


@pytest.mark.parametrize("adapter", ON_THE_HEAD, ids=lambda name: name.replace(" ", "-"))
@pytest.mark.filterwarnings("ignore:.*tie_word_embeddings")
def test_with_the_adapter_off_they_are_the_bases(untied_llama, adapter):
    batch = pack(random_documents(LENGTHS))
    model = finetune(untied_llama, ON_THE_HEAD[adapter])
    fresh = log_probs(model, batch)
    stirred(model)
    with model.llm.disable_adapter(), torch.no_grad():
        reference = log_probs(model, batch)
    torch.testing.assert_close(reference, log_probs(finetune(untied_llama), batch))
    assert (log_probs(model, batch) - reference).abs().max() > 0.01
    # A policy that begins at its reference: the first ratio is 1, the first loss ln 2
    if adapter not in ("dora", "dora on the head"):  # whose norm is rounded
        assert torch.equal(fresh, reference)
    torch.testing.assert_close(fresh, reference)


def head_of(module, **settings):
    generator = torch.Generator().manual_seed(0)
    hidden = torch.randn(40, 64, generator=generator, requires_grad=True)
    targets = torch.randint(100, (40,), generator=generator)
    targets[::5] = -100
    return Head(module, **settings), hidden, targets


def assert_head_equals(head, weight, bias, hidden, targets, tolerance=1e-5):
    """Against `softcap(scale * (hidden @ weight.T + bias))` in fp64, and so for its loss."""
    logits = hidden.double() @ weight.double().T
    logits = (logits if bias is None else logits + bias.double()) * head.scale
    if head.softcap:
        logits = head.softcap * torch.tanh(logits / head.softcap)
    asked = [t for t in (hidden, weight, bias) if t is not None and t.requires_grad]
    expected = (logits / 0.7).log_softmax(-1).gather(1, targets.clamp(min=0)[:, None])[:, 0]
    expected = torch.where(targets == -100, 0.0, expected)
    found = head.log_probs(hidden, targets, chunk_size=9, temperature=0.7)
    torch.testing.assert_close(found.double(), expected, rtol=tolerance, atol=tolerance)
    factors = torch.linspace(-1, 2, len(targets))
    for grad, right in zip(
        torch.autograd.grad((found * factors).sum(), asked),
        torch.autograd.grad((expected * factors).sum(), asked, retain_graph=True),
        strict=True,
    ):
        torch.testing.assert_close(grad, right.to(grad), rtol=tolerance, atol=tolerance)
    loss = torch.nn.functional.cross_entropy(logits, targets, reduction="sum")
    ours = head.loss(hidden, targets, chunk_size=9)
    torch.testing.assert_close(ours.double(), loss, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("softcap", [None, 2.0])
def test_a_scale_is_of_the_bias_too(softcap):
    module = nn.Linear(64, 100)
    nn.init.normal_(module.bias)
    head, hidden, targets = head_of(module, scale=0.3, softcap=softcap)
    assert_head_equals(head, module.weight, module.bias, hidden, targets)


def test_a_quantized_head_is_called():
    torch.manual_seed(0)
    module = Linear4bit(64, 100, bias=False, quant_type="nf4", compute_dtype=torch.float32)
    module = module.to("cpu")
    head, hidden, targets = head_of(module, scale=0.3, softcap=2.0)
    weight = dequantize_4bit(module.weight.data, module.weight.quant_state).view(100, 64)
    assert_head_equals(head, weight, None, hidden, targets, tolerance=1e-4)


def test_a_frozen_head_costs_two_products_and_no_gradient(untied_llama):
    hidden = torch.randn(64, 32, requires_grad=True)
    targets = torch.randint(384, (64,))
    model = finetune(untied_llama, LoraConfig(r=4))
    head = Head.of(base_of(model.llm))
    with FlopCounterMode(display=False) as count:
        head.log_probs(hidden, targets, chunk_size=32).sum().backward()
    assert count.get_total_flops() == 2 * (2 * 64 * 32 * 384)
    assert head.module.weight.grad is None
    assert hidden.grad.ne(0).any()


@pytest.mark.parametrize("adapter", ["lora", "lora on the head", "a head that is trained whole"])
@pytest.mark.filterwarnings("ignore:.*tie_word_embeddings")
def test_no_tensor_of_tokens_times_vocabulary_is_made(untied_llama, adapter):
    model = finetune(untied_llama, ADAPTERS[adapter])
    batch = pack(random_documents([64, 64], trained=1.0))
    kept = 0

    def keep(tensor):
        nonlocal kept
        kept = max(kept, tensor.numel())
        return tensor

    with LargestTensor() as seen, torch.autograd.graph.saved_tensors_hooks(keep, lambda t: t):
        log_probs(model, batch, chunk_size=8).sum().backward()
    # The head's weight is 384 x 32, the MLP's activations 128 x 64, full logits 128 x 384.
    assert seen.elements == 384 * 32
    assert kept <= 384 * 32


@pytest.mark.parametrize("adapter", [None, *ADAPTERS])
@pytest.mark.filterwarnings("ignore:.*tie_word_embeddings")
def test_nothing_asked_gives_every_trained_weight_a_gradient_of_zero(untied_llama, adapter):
    """So that a process without a target exchanges what the others do; the loss likewise."""
    batch = pack(random_documents(LENGTHS, trained=0.0))
    model = finetune(untied_llama, ADAPTERS.get(adapter))
    found = log_probs(model, batch)
    assert found.tolist() == [0.0] * batch.tokens
    found.sum().backward()
    assert all(grad.eq(0).all() for grad in gradients(model).values())
    model.zero_grad()
    model(batch, normalizer=1)["loss"].backward()
    assert all(grad.eq(0).all() for grad in gradients(model).values())


@pytest.mark.parametrize("adapter", [None, "lora", "lora on the head"])
def test_gradient_checkpointing_changes_no_gradient(untied_llama, adapter):
    batch = pack(random_documents(LENGTHS))

    def run(around, **settings):
        model = stirred(finetune(untied_llama, ADAPTERS.get(adapter), **settings))
        head, hidden = Head.of(base_of(model.llm)), model.backbone.hidden_states(batch)[0]

        def found(hidden):
            return head.log_probs(hidden, batch.labels[0], chunk_size=7)

        found = checkpoint(found, hidden, use_reentrant=False) if around else found(hidden)
        found.sum().backward()
        return found, gradients(model)

    plain, expected = run(around=False)
    for some, grads in (run(around=True), run(around=False, gradient_checkpointing=True)):
        assert torch.equal(some, plain)
        for name, grad in grads.items():
            torch.testing.assert_close(grad, expected[name], rtol=1e-5, atol=1e-6, msg=name)


@pytest.mark.parametrize("adapter", ["lora", "lora on the head"])
def test_under_autocast_the_softmax_is_fp32(untied_llama, adapter):
    batch = pack(random_documents(LENGTHS))
    model = stirred(finetune(untied_llama, ADAPTERS[adapter]))
    exact = log_probs(model, batch)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = log_probs(model, batch)
    found.sum().backward()
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, exact, rtol=5e-2, atol=1e-1)
    # bf16 log-probabilities of 6 nats would all be multiples of 1/32
    assert (found[found < -4] * 32 % 1).ne(0).any()


@pytest.mark.parametrize("adapter", [None, "lora on the head"])
def test_a_document_has_its_number_wherever_it_stands(untied_llama, adapter):
    model = stirred(finetune(untied_llama, ADAPTERS.get(adapter)))
    others = random_documents([11, 3, 20], seed=3)
    own = random_documents([23], trained=1.0)

    def total(documents, place):
        batch = pack(documents)
        with torch.no_grad():
            return float(sum_by_document(log_probs(model, batch), batch)[place])

    alone = total(own, 0)
    assert alone < -20
    for documents, place in (
        ([*own, *others], 0),
        ([*others, *own], 3),
        ([others[0], *own, others[1]], 1),
        ([*own, *own], 1),
    ):
        assert total(documents, place) == pytest.approx(alone, rel=1e-5)


def preference(model, batch, size=1):
    """A process's share of a loss of two pairs, each of whole documents' sums; and the sums."""
    sums = sum_by_document(log_probs(model, batch), batch)
    better, worse = sums.view(2, 2).T
    loss = -torch.nn.functional.logsigmoid(0.1 * (better - worse)).sum() / size
    loss.backward()
    return loss.detach(), sums.detach(), gradients(model)


@pytest.mark.parametrize("adapter", [None, "lora", "lora on the head"])
def test_processes_that_share_a_row_have_the_loss_and_gradient_of_one(untied_llama, adapter):
    batch = pack(random_documents([9, 7, 12, 3]))  # 31 tokens: one is added, a document of its own
    model = stirred(finetune(untied_llama, ADAPTERS.get(adapter)))
    copies = [copy.deepcopy(model) for _ in range(2)]

    def shared(group):
        return preference(copies[group.rank], slice_of(batch, group), group.size)

    losses, sums, parts = zip(*on_every_rank(2, shared), strict=True)
    loss, expected, wanted = preference(model, batch)
    for some in sums:
        torch.testing.assert_close(some, expected, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(sum(losses), loss, rtol=1e-5, atol=1e-6)
    for name, grad in wanted.items():
        together = sum(part[name] for part in parts)
        size = float(grad.abs().max())
        assert float((together - grad).abs().max()) <= 1e-4 * size + 1e-7, name
