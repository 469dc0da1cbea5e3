"""The attention function alone: windows, and what it refuses."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from tests.models.packs import pack, random_documents
from xtune.errors import ModelError
from xtune.models import SupervisedFinetune, load_model
from xtune.models.attention import kernel_for
from xtune.models.attention.by_document import attend_by_document
from xtune.models.attention.gpu_kernels import (
    Row,
    attend_flash_attn,
    attend_flex,
    attend_torch_varlen,
    has_flash_attn,
    has_flex,
    has_torch_varlen,
)
from xtune.models.attention.varlen import varlen_arguments, varlen_attention


def random_states(tokens, heads=4, kv_heads=2, width=8):
    generator = torch.Generator().manual_seed(0)
    return [
        torch.randn(1, count, tokens, width, generator=generator)
        for count in (heads, kv_heads, kv_heads)
    ]


def whole_mask(lengths, window):
    """[T, T], the mask that transformers would build: True where query i sees key j."""
    document = torch.repeat_interleave(torch.arange(len(lengths)), torch.tensor(lengths))
    i, j = torch.arange(sum(lengths))[:, None], torch.arange(sum(lengths))[None]
    mask = (document[:, None] == document[None]) & (j <= i)
    return mask if window is None else mask & (j > i - window)


def test_the_mask_written_out():
    expected = [
        [1, 0, 0, 0, 0],
        [1, 1, 0, 0, 0],
        [0, 1, 1, 0, 0],  # window 2: the first token is out of sight
        [0, 0, 0, 1, 0],  # the second document begins
        [0, 0, 0, 1, 1],
    ]
    assert whole_mask([3, 2], window=2).int().tolist() == expected


@pytest.mark.parametrize("window", [None, 1, 7, 100, 300, 5000])
def test_equals_one_masked_product_over_the_whole_row(window):
    lengths = [1, 700, 3, 256, 40]  # longer than the window and than one block, and shorter
    query, key, value = random_states(sum(lengths))
    out = attend_by_document(query, key, value, lengths=lengths, window=window, scaling=0.3)
    expected = F.scaled_dot_product_attention(
        query, key, value, attn_mask=whole_mask(lengths, window), scale=0.3, enable_gqa=True
    ).transpose(1, 2)
    torch.testing.assert_close(out, expected, rtol=1e-5, atol=1e-5)


def test_alibi_equals_one_biased_product_over_the_whole_row():
    lengths = [1, 700, 3, 256, 40]  # longer than two blocks of queries, and shorter
    slopes = torch.tensor([0.5, 0.25, 0.0625, 0.01])
    states = [t.requires_grad_() for t in random_states(sum(lengths))]
    out = attend_by_document(*states, lengths=lengths, alibi_slopes=slopes)
    position = torch.arange(sum(lengths))
    bias = -slopes[:, None, None] * (position[:, None] - position[None])
    bias = bias.masked_fill(~whole_mask(lengths, None), -torch.inf)
    expected = F.scaled_dot_product_attention(*states, attn_mask=bias[None], enable_gqa=True)
    expected = expected.transpose(1, 2)
    torch.testing.assert_close(out, expected, rtol=1e-5, atol=1e-5)
    weights = torch.randn(out.shape, generator=torch.Generator().manual_seed(1))
    grads, wanted = (torch.autograd.grad((x * weights).sum(), states) for x in (out, expected))
    torch.testing.assert_close(grads, wanted, rtol=1e-4, atol=1e-4)


def test_arguments_of_a_batch():
    arguments = varlen_arguments(pack(random_documents([3, 5])))
    assert arguments["document_lengths"] == [3, 5]
    assert arguments["cu_seq_lens_q"].tolist() == [0, 3, 8]
    assert arguments["max_length_q"] == 5


def test_a_call_without_boundaries_is_refused_with_the_way_out(tiny_llama):
    model = SupervisedFinetune(load_model(str(tiny_llama)))
    with pytest.raises(ModelError, match="generation_mode"):
        model.llm(input_ids=torch.tensor([[5, 6, 7]]))


@pytest.mark.parametrize("name", ["s_aux", "position_bias"])
def test_what_would_be_left_out_is_refused(name):
    arguments = varlen_arguments(pack(random_documents([3, 5])))
    states = random_states(8)
    with pytest.raises(ModelError, match=name):
        varlen_attention(torch.nn.Identity(), *states, None, **arguments, **{name: torch.zeros(1)})


def test_capped_scores_are_refused_without_flash_attn():
    arguments = varlen_arguments(pack(random_documents([3, 5])))
    with pytest.raises(ModelError, match="caps its attention scores"):
        varlen_attention(torch.nn.Identity(), *random_states(8), None, softcap=50.0, **arguments)


@pytest.mark.parametrize("kind", ["plain", "window", "capped", "alibi"])
def test_flex_attention_equals_document_by_document_on_a_cpu(kind):
    """Its forward pass: its backward pass is for GPUs only."""
    lengths = [1, 170, 3, 60]  # longer than one of its blocks of 128, and shorter
    query, key, value = random_states(sum(lengths), width=16)
    window = 7 if kind == "window" else None
    slopes = torch.tensor([0.5, 0.25, 0.0625, 0.01]) if kind == "alibi" else None
    softcap = 2.0 if kind == "capped" else None
    masks = {}
    row = Row(torch.tensor([0, *lengths]).cumsum(0).int(), max(lengths), window)
    out = attend_flex(
        query,
        key,
        value,
        row,
        scaling=0.7,
        softcap=softcap,
        alibi_slopes=slopes,
        blocks_of_row=masks,
    )
    assert list(masks) == [window]  # for the next layer
    if softcap is None:
        expected = attend_by_document(
            query,
            key,
            value,
            lengths=lengths,
            window=window,
            scaling=0.7,
            alibi_slopes=slopes,
        )
    else:
        scores = 0.7 * query @ key.repeat_interleave(2, 1).transpose(2, 3)
        scores = softcap * torch.tanh(scores / softcap)
        scores = scores.masked_fill(~whole_mask(lengths, None), -torch.inf)
        expected = (scores.softmax(-1) @ value.repeat_interleave(2, 1)).transpose(1, 2)
    torch.testing.assert_close(out, expected, rtol=1e-5, atol=1e-5)


def test_the_layers_of_a_batch_share_their_blocks_and_batches_do_not():
    one, other = (varlen_arguments(pack(random_documents([3, 5]))) for _ in range(2))
    assert one["blocks_of_row"] == {}
    assert one["blocks_of_row"] is not other["blocks_of_row"]


@pytest.mark.parametrize(
    ("dtype", "said"),
    [
        ("float32", "attention: sdpa by document; if computed in bf16, documents side by side"),
        ("bfloat16", "attention: documents side by side"),
    ],
)
def test_what_attends_is_said(tiny_llama, caplog, dtype, said):
    assert kernel_for(torch.device("cpu"), torch.float32) == "sdpa by document"
    assert kernel_for(torch.device("cpu"), torch.bfloat16) == "documents side by side"
    with caplog.at_level("INFO", logger="xtune.models"):
        SupervisedFinetune(load_model(str(tiny_llama), dtype=dtype))
    assert said in caplog.text


on_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")
KERNELS = {
    "flash-attn": (has_flash_attn, ["plain", "window", "capped", "alibi"]),
    "torch varlen": (lambda: has_torch_varlen(torch.device("cuda")), ["plain", "window"]),
    "flex": (lambda: has_flex(torch.device("cuda")), ["plain", "window", "capped", "alibi"]),
}


@pytest.mark.gpu
@on_gpu
@pytest.mark.parametrize(
    ("kernel", "kind"), [(name, kind) for name, (_, kinds) in KERNELS.items() for kind in kinds]
)
def test_each_gpu_kernel_equals_document_by_document_forward_and_backward(kernel, kind):
    if not KERNELS[kernel][0]():
        pytest.skip(f"{kernel} is not to be had here")
    lengths = [1, 170, 3, 60]
    window = 7 if kind == "window" else None
    change = {
        "softcap": 2.0 if kind == "capped" else None,
        "alibi_slopes": (
            torch.tensor([0.5, 0.25, 0.0625, 0.01], device="cuda") if kind == "alibi" else None
        ),
    }
    states = [
        s.to("cuda", torch.bfloat16).requires_grad_() for s in random_states(sum(lengths), width=64)
    ]
    starts = torch.tensor([0, *lengths], device="cuda").cumsum(0).int()
    row = Row(starts, max(lengths), window)
    if kernel == "flash-attn":
        out = attend_flash_attn(*states, row, dropout=0.0, scaling=None, **change)
    elif kernel == "flex":
        out = attend_flex(*states, row, scaling=None, blocks_of_row={}, **change)
    else:
        out = attend_torch_varlen(*states, row, scaling=None)
    exact = [s.detach().float().requires_grad_() for s in states]
    if kind == "capped":
        query, key, value = exact[0], *(s.repeat_interleave(2, 1) for s in exact[1:])
        scores = 2.0 * torch.tanh(query @ key.transpose(2, 3) / 8 / 2.0)
        scores = scores.masked_fill(~whole_mask(lengths, None).cuda(), -torch.inf)
        expected = (scores.softmax(-1) @ value).transpose(1, 2)
    else:
        slopes = change["alibi_slopes"]
        expected = attend_by_document(*exact, lengths=lengths, window=window, alibi_slopes=slopes)
    torch.testing.assert_close(out.float(), expected, rtol=2e-2, atol=2e-2)
    weights = torch.randn(out.shape, device="cuda")
    grads = torch.autograd.grad((out * weights).sum(), states)
    wanted = torch.autograd.grad((expected * weights).sum(), exact)
    for ours, exactly in zip(grads, wanted, strict=True):
        torch.testing.assert_close(ours.float(), exactly, rtol=5e-2, atol=5e-2)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")
@pytest.mark.parametrize("window", [None, 7])
def test_gpu_kernels_equal_document_by_document(window):
    lengths = [1, 70, 3, 25]
    states = [s.to("cuda", torch.bfloat16) for s in random_states(sum(lengths), width=64)]
    arguments = varlen_arguments(pack(random_documents(lengths)).to("cuda"))
    out, _ = varlen_attention(
        torch.nn.Identity(), *states, None, sliding_window=window, **arguments
    )
    expected = attend_by_document(*(s.float() for s in states), lengths=lengths, window=window)
    torch.testing.assert_close(out.float(), expected, rtol=2e-2, atol=2e-2)
