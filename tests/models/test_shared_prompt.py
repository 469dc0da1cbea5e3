"""What answers to one prompt begin with alike is computed once, and nothing changes by it."""

from __future__ import annotations

import math

import pytest
import torch
from peft import LoraConfig

from tests.models.packs import pack, random_documents
from tests.models.test_packed_equals_unpacked import FAMILIES
from xtune.models import PreferenceOptimization, SupervisedFinetune, load_model
from xtune.models.algorithms.shared_prompt import fold
from xtune.models.attention.by_document import attend_by_document
from xtune.models.attention.side_by_side import attend_side_by_side, sort_by_length
from xtune.models.attention.varlen import kernel_for
from xtune.models.self_test import check_packed_logits
from xtune.models.shape_rounding import round_up
from xtune.parallel.sequence import SequenceGroup
from xtune.parallel.slices import slice_of
from xtune.registry import PAIR_LOSSES, build


def answers(*prompts, system=1, seed=0):
    """A batch: for each (length, lengths of its answers) a prompt, after a common system text."""
    lengths = [system, *(n for length, ends in prompts for n in (length, *ends))]
    parts = iter(random_documents(lengths, trained=0.8, seed=seed))
    common = next(parts)[0]
    documents, sides = [], []
    for _, ends in prompts:
        prompt = torch.cat([common, next(parts)[0]])
        for side in range(len(ends)):
            ids, labels = next(parts)
            before = torch.full((len(prompt),), -100)
            before[-1] = ids[0]  # the prompt's last token predicts the answer's first one
            documents.append((torch.cat([prompt, ids]), torch.cat([before, labels])))
            sides.append(side)
    batch = pack(documents)
    batch.per_document["side"] = torch.tensor(sides)
    return batch


def documents_of(batch):
    lengths = batch.cu_seqlens.diff().tolist()
    return list(zip(batch.input_ids[0].split(lengths), batch.labels[0].split(lengths), strict=True))


def unshared(batch):
    """The same documents, of which nobody knows that they answer one prompt."""
    return pack(documents_of(batch))


def assert_gradients(found, expected):
    """Equal but for rounding, of all parameters together: 1e-5 of their norm."""
    found, expected = (
        torch.cat([g.flatten() for g in grads if g is not None]) for grads in (found, expected)
    )
    assert (found - expected).norm() < 1e-5 * expected.norm()


def test_the_row_by_hand():
    ids = torch.tensor([[9, 4, 5, 6, 9, 4, 5, 7, 8, 9, 2, 1, 9, 2, 1, 1, 9, 2, 3]])
    documents = list(zip(ids[0].split([4, 5, 3, 4, 3]), ids[0].split([4, 5, 3, 4, 3]), strict=True))
    batch = pack(documents)
    batch.per_document["side"] = torch.tensor([0, 1, 0, 1, 2])
    folded = fold(batch)
    # 9 4 5 6 | 7 8 | 2 1 | 1 1 | 3: the third document shares its first token with the first one;
    # the fourth is the third and one token more, whose last token but one is its own all the same
    assert folded.input_ids[0, :10].tolist() == [9, 4, 5, 6, 7, 8, 2, 1, 1, 1]
    assert folded.unfolding.shared[:5] == [0, 3, 1, 2, 2]
    assert folded.input_ids[0, :11].tolist()[10] == 3
    assert folded.position_ids[0, :11].tolist() == [0, 1, 2, 3, 3, 4, 1, 2, 2, 3, 2]
    assert folded.unfolding.places[:19].tolist() == [
        *(0, 1, 2, 3),
        *(0, 1, 2, 4, 5),
        *(0, 6, 7),
        *(0, 6, 8, 9),
        *(0, 6, 10),
    ]
    assert folded.input_ids.shape[1] == round_up(11) == 16


def test_what_shares_little_or_is_no_group_or_a_slice_is_left_as_it_is():
    assert fold(answers((2, (25, 25)))) is None  # 3 of 56 tokens
    assert fold(unshared(answers((20, (5, 5))))) is None
    assert fold(answers((20, (5, 5)))) is not None
    assert fold(slice_of(answers((20, (5, 5))), SequenceGroup(rank=0, size=2))) is None


CHECKPOINTED = "smollm2", "gemma2 without attention capping"


@pytest.mark.parametrize(
    ("family", "checkpointing"),
    [*((name, False) for name in FAMILIES), *((name, True) for name in CHECKPOINTED)],
)
def test_hidden_states_and_gradients_are_those_of_whole_documents(
    family, checkpointing, tiny_family
):
    name, settings = FAMILIES[family]
    llm = load_model(str(tiny_family(name, **settings)), dtype="fp32")
    model = SupervisedFinetune(llm, gradient_checkpointing=checkpointing)
    batch = answers((11, (7, 12)), (3, (9, 1, 4)), (1, (2, 2)), system=5)
    assert fold(batch).input_ids.shape[1] < 0.7 * batch.tokens
    found, expected = (model.backbone.hidden_states(one) for one in (batch, unshared(batch)))
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)
    weights = torch.randn(found.shape, generator=torch.Generator().manual_seed(1))
    parameters = [p for p in model.parameters() if p.requires_grad]
    one, other = (
        torch.autograd.grad((hidden * weights).sum(), parameters, allow_unused=True)
        for hidden in (found, expected)
    )
    assert_gradients(one, other)


def dpo(folder, **settings):
    torch.manual_seed(0)
    model = PreferenceOptimization(
        load_model(str(folder), dtype=settings.pop("dtype", "fp32")),
        loss=build(PAIR_LOSSES, {"type": "sigmoid"}),
        adapter=LoraConfig(r=4, target_modules=["q_proj", "down_proj"], task_type="CAUSAL_LM"),
        **settings,
    )
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter += 0.3 * torch.randn(parameter.shape, generator=generator)
    return model


@pytest.mark.parametrize("kernel", ["by document", "side by side"])
def test_attention_leaves_out_what_nobody_reads(kernel):
    """Queries of a shared beginning: the others' results and all gradients stay as they are."""
    lengths, shared = [70, 75, 40, 40, 33], [0, 69, 5, 33, 32]
    generator = torch.Generator().manual_seed(0)
    shapes = [(1, heads, sum(lengths), 8) for heads in (4, 2, 2)]
    states = [torch.randn(shape, generator=generator).requires_grad_() for shape in shapes]
    read = torch.cat([torch.arange(n) >= of for n, of in zip(lengths, shared, strict=True)])[
        None, :, None, None
    ]
    weights = torch.randn(1, sum(lengths), 4, 8, generator=generator) * read

    def attended(left_out):
        if kernel == "by document":
            out = attend_by_document(*states, lengths=lengths, shared=left_out)
        else:
            out = attend_side_by_side(*states, sort_by_length(lengths, left_out))
        return out, torch.autograd.grad((out * weights).sum(), states)

    (found, grads), (expected, wanted) = attended(shared), attended(None)
    torch.testing.assert_close(found * read, expected * read, rtol=1e-5, atol=1e-5)
    for grad, right in zip(grads, wanted, strict=True):
        torch.testing.assert_close(grad, right, rtol=1e-4, atol=1e-5)
    first_left_out = found[0, 70]  # of the second document
    assert not first_left_out.any()


@pytest.mark.parametrize("fused", [True, False], ids=["fused", "plain"])
def test_a_preference_step_is_that_of_its_pairs_apart(tiny_llama, fused):
    """Pairs alone share a prompt only, pairs together their system text too."""
    prompts = [(11, (7, 12)), (3, (9, 4)), (17, (1, 5))]
    whole = answers(*prompts, system=6)
    model = dpo(tiny_llama, fused=fused)
    outputs = model(whole, normalizer=3)
    parameters = [p for p in model.parameters() if p.requires_grad]
    grads = torch.autograd.grad(outputs["loss"], parameters)
    likelier = []  # than to the reference, each answer alone
    for document in documents_of(whole):
        own = model.backbone.log_probs(pack([document]), chunk_size=8).sum()
        with torch.no_grad(), model.llm.disable_adapter():
            ref = model.backbone.log_probs(pack([document]), chunk_size=8).sum()
        likelier.append(own - ref)
    apart_by = 0.1 * (torch.stack(likelier[::2]) - torch.stack(likelier[1::2]))
    expected = -torch.nn.functional.logsigmoid(apart_by).mean()
    assert outputs["loss"].item() == pytest.approx(expected.item(), rel=1e-5)
    assert outputs["loss"].item() != pytest.approx(math.log(2), abs=1e-2)
    assert_gradients(grads, torch.autograd.grad(expected, parameters))


def test_the_layers_see_the_row_in_both_passes(tiny_llama):
    """Counted: a prompt of 60 tokens and two answers of 10 are 80 tokens, and not 140."""
    model, seen = dpo(tiny_llama), []
    embedding = model.llm.get_input_embeddings()
    embedding.register_forward_hook(lambda module, given, out: seen.append(given[0].numel()))
    batch = answers((59, (10, 10)))
    assert batch.tokens == 140
    model(batch, normalizer=1)
    assert seen == [80, 80]  # the reference's, and the policy's
    seen.clear()
    model.backbone.hidden_states(unshared(batch))
    assert seen == [round_up(140)] == [144]


def test_in_bf16_it_is_as_near_to_fp32_as_whole_documents_are(tiny_llama):
    batch = answers((70, (9, 40)), (33, (20, 3)), system=5)
    assert kernel_for(torch.device("cpu"), torch.bfloat16) == "documents side by side"

    def gradients(given, dtype):
        model = dpo(tiny_llama)
        with torch.autocast("cpu", torch.bfloat16, enabled=dtype == "bf16"):
            hidden = model.backbone.hidden_states(given)
        weights = torch.randn(hidden.shape, generator=torch.Generator().manual_seed(1))
        parameters = [p for p in model.parameters() if p.requires_grad]
        return torch.cat(
            [g.flatten() for g in torch.autograd.grad((hidden * weights).sum(), parameters)]
        )

    exact = gradients(unshared(batch), "fp32")
    shared, whole = (
        float((gradients(given, "bf16") - exact).norm() / exact.norm())
        for given in (batch, unshared(batch))
    )
    assert whole > 1e-4  # it is bf16
    assert shared < 1.5 * whole


def test_a_family_that_looks_along_the_row_computes_each_prompt(tiny_llama, caplog):
    """The self-test can tell: a norm whose result depends on how many tokens a row has."""
    model = dpo(tiny_llama)
    check_packed_logits(model)
    assert model.backbone.shares_prompts
    whole = round_up(12)  # the self-test's documents; what they share makes their row shorter
    model.backbone.base.model.norm.register_forward_hook(
        lambda module, given, out: out if out.shape[1] in (2, whole) else out.flip(-1)
    )
    with caplog.at_level("INFO"):
        check_packed_logits(model)
    assert not model.backbone.shares_prompts
    assert "'llama' computes a prompt for each of its answers" in caplog.text
    batch = answers((20, (5, 5)))
    torch.testing.assert_close(
        model.backbone.hidden_states(batch), model.backbone.hidden_states(unshared(batch))
    )
