"""A pack gives what its documents give alone: logits, loss, gradients (fp32, 1e-5).

The reference is transformers' own forward pass, its own attention and its own sliding-window
mask, one document at a time.
"""

from __future__ import annotations

import pytest
import torch

from tests.models.packs import pack, plain_loss, random_documents
from xtune.errors import ModelError
from xtune.models import SupervisedFinetune, generation_mode, load_model
from xtune.models.head import Head
from xtune.models.self_test import check_packed_logits

FAMILIES = {
    "smollm2": ("llama", {"width": 576, "heads": 9, "kv_heads": 3, "initializer_range": 0.04}),
    "llama with one key head a query head": ("llama", {"kv_heads": 4, "tied": False}),
    "qwen2 with biased projections": ("qwen2", {"kv_heads": 1}),
    "mistral with a window of 8": ("mistral", {"sliding_window": 8}),
    "qwen2 with a window in one layer": (
        "qwen2",
        {"use_sliding_window": True, "sliding_window": 8, "max_window_layers": 1},
    ),
    "gemma2 without attention capping": (
        "gemma2",
        {"attn_logit_softcapping": None, "final_logit_softcapping": 3.0, "sliding_window": 8},
    ),
    "cohere, whose logits are scaled": ("cohere", {"logit_scale": 0.25}),
    "granite, whose logits are divided": ("granite", {"logits_scaling": 4.0}),
}

# Why one row would corrupt them -> a family of the kind
BY_DOCUMENT = {
    "it caps its attention scores": ("gemma2", {}),
    "its layers carry state from token to token (linear_attention)": (
        "mamba",
        {"state_size": 4},
    ),
    "its layers carry state from token to token (conv)": (
        "lfm2",
        {"layer_types": ["conv", "full_attention"]},
    ),
    "its attention has sinks": ("gpt_oss", {"num_local_experts": 2, "num_experts_per_tok": 1}),
    "it does not take its attention from transformers' AttentionInterface": ("bloom", {}),
    "StableLmDecoderLayer does not hand the documents' boundaries on": ("stablelm", {}),
    "NemotronDecoderLayer does not hand the documents' boundaries on": ("nemotron", {}),
}


@pytest.fixture(params=FAMILIES | BY_DOCUMENT, ids=lambda name: name.replace(" ", "-"))
def model(request, tiny_family):
    family, settings = (FAMILIES | BY_DOCUMENT)[request.param]
    folder = tiny_family(family, **settings)
    return SupervisedFinetune(load_model(str(folder), dtype="fp32"), loss_chunk_size=7)


def test_logits_loss_and_gradients(model):
    documents = random_documents([5, 1, 17, 30, 2])
    batch = pack(documents)
    n = batch.trained_tokens

    with generation_mode(model.llm):
        alone = [model.llm(input_ids=ids[None], use_cache=False).logits[0] for ids, _ in documents]
    with torch.no_grad():
        packed = Head.of(model.llm).logits(model.backbone.hidden_states(batch))[0]
    torch.testing.assert_close(packed, torch.cat(alone), rtol=1e-5, atol=1e-5)

    expected = plain_loss(model.llm, documents, n)
    parameters = list(model.parameters())
    # An expert that no token was sent to has no gradient
    expected_grads = torch.autograd.grad(expected, parameters, allow_unused=True)
    loss = model(batch, normalizer=n)["loss"]
    torch.testing.assert_close(loss, expected, rtol=1e-5, atol=1e-5)
    for grad, expected_grad in zip(
        torch.autograd.grad(loss, parameters, allow_unused=True), expected_grads, strict=True
    ):
        torch.testing.assert_close(grad, expected_grad, rtol=1e-4, atol=1e-5)


def test_the_self_test_accepts_it(model):
    check_packed_logits(model)
    assert model.training
    assert (model.llm.config._attn_implementation == "xtune_varlen") == (
        model.backbone.why_apart is None
    )


def test_contamination_would_be_seen(tiny_llama):
    """The comparison above can fail: as one document, the same tokens give other logits."""
    model = SupervisedFinetune(load_model(str(tiny_llama), dtype="fp32"))
    batch = pack(random_documents([6, 9]))
    joined = pack(random_documents([6, 9]))
    joined.cu_seqlens, joined.max_seqlen = torch.tensor([0, 15], dtype=torch.int32), 15
    with torch.no_grad():
        apart, together = model.backbone.hidden_states(batch), model.backbone.hidden_states(joined)
    assert (apart - together)[0, 6:].abs().max() > 0.01
    torch.testing.assert_close(apart[0, :6], together[0, :6], rtol=1e-5, atol=1e-5)


def test_the_self_test_finds_what_the_head_does_not_know(tiny_family):
    llm = load_model(str(tiny_family("cohere", logit_scale=0.25)), dtype="fp32")
    llm.config.logit_scale = None  # as if the family scaled its logits by a field unknown here
    with pytest.raises(ModelError, match="'cohere' does not give the same logits"):
        check_packed_logits(SupervisedFinetune(llm))


@pytest.mark.parametrize("reason", BY_DOCUMENT, ids=lambda name: name.replace(" ", "-"))
def test_families_that_one_row_would_corrupt_are_run_document_by_document(
    tiny_family, reason, caplog
):
    family, settings = BY_DOCUMENT[reason]
    llm = load_model(str(tiny_family(family, **settings)), dtype="fp32")
    with caplog.at_level("INFO", logger="xtune.models"):
        model = SupervisedFinetune(llm)
    assert model.backbone.why_apart is not None
    assert f"{family} is run document by document: {reason}" in caplog.text
