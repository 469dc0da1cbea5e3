"""A fused LoRA layer against PEFT's own: values, gradients, what is kept, what it leaves alone."""

from __future__ import annotations

import copy

import pytest
import torch
from peft import LoraConfig, get_peft_model
from torch import nn

from tests.models.fused.draws import draw_alike
from xtune.models.fused.lora_linear import draw_kept, fuse_lora

N, D, OUT = 37, 24, 40


def peft_layer(*, with_bias=True, base_dtype=torch.float32, quantized=False, **lora):
    """A PEFT layer with an adapter that does something, and the same once more, fused."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(D, OUT, bias=with_bias).to(base_dtype))
    if quantized:
        from bitsandbytes.nn import Linear4bit

        packed = Linear4bit(D, OUT, bias=with_bias, compute_dtype=base_dtype, quant_type="nf4")
        packed.load_state_dict(model[0].state_dict())
        model = nn.Sequential(packed.to("cpu"))
        model.is_loaded_in_4bit = True
    model.train()
    config = LoraConfig(r=4, lora_alpha=12, target_modules=["0"], **lora)
    plain = get_peft_model(model, config).base_model.model[0]
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in plain.parameters():
            if parameter.requires_grad:
                parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.3)
    fused = copy.deepcopy(plain)
    return plain, fused


def run(layer, x, *, autocast):
    """Output and gradients, by x and by every trained parameter."""
    draw_alike(layer)
    torch.manual_seed(5)  # of the dropout
    x = x.clone().requires_grad_()
    weights = torch.randn(N, OUT, generator=torch.Generator().manual_seed(2))
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=autocast):
        out = layer(x.view(1, N, D))
    (out[0].float() * weights).sum().backward()
    grads = {name: p.grad for name, p in layer.named_parameters() if p.requires_grad}
    layer.zero_grad()
    return out.detach(), {"x": x.grad, **grads}


def inputs(dtype=torch.float32):
    return torch.randn(N, D, generator=torch.Generator().manual_seed(3)).to(dtype)


@pytest.mark.parametrize(
    ("bias", "lora"),
    [
        (True, {}),
        (False, {}),
        (True, {"lora_dropout": 0.3}),
        (False, {"use_rslora": True}),
        (True, {"bias": "lora_only"}),  # the base's bias is trained
    ],
)
def test_equals_peft_in_fp32(bias, lora):
    plain, fused = peft_layer(with_bias=bias, **lora)
    assert fuse_lora(fused)
    out, grads = run(fused, inputs(), autocast=False)
    expected, wanted = run(plain, inputs(), autocast=False)
    torch.testing.assert_close(out, expected, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(grads, wanted, rtol=1e-5, atol=1e-5)
    assert all(grad is not None for grad in grads.values())


@pytest.mark.parametrize("x_dtype", [torch.float32, torch.bfloat16], ids=["fp32", "bf16"])
@pytest.mark.parametrize("dropout", [0.0, 0.3])
@pytest.mark.parametrize("base_dtype", [torch.float32, torch.bfloat16], ids=["fp32", "bf16"])
def test_under_autocast_it_is_as_near_to_fp32_as_peft(x_dtype, dropout, base_dtype):
    plain, fused = peft_layer(base_dtype=base_dtype, lora_dropout=dropout)
    exact = copy.deepcopy(plain).float()
    assert fuse_lora(fused)
    x = inputs(x_dtype)
    out, grads = run(fused, x, autocast=True)
    peft_out, peft_grads = run(plain, x, autocast=True)
    true_out, true_grads = run(exact, x.float(), autocast=False)
    assert out.dtype == peft_out.dtype == torch.bfloat16
    for name, own, theirs, true in [("out", out, peft_out, true_out)] + [
        (name, grads[name], peft_grads[name], true_grads[name]) for name in true_grads
    ]:
        assert own.dtype == theirs.dtype
        error, their_error = ((v.float() - true).norm() / true.norm() for v in (own, theirs))
        assert error < 0.02, name
        assert error < 1.3 * their_error, name


@pytest.mark.parametrize("dropout", [0.0, 0.3])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=["fp32", "bf16"])
def test_a_4bit_base_equals_peft(dropout, dtype):
    pytest.importorskip("bitsandbytes")
    bf16 = dtype == torch.bfloat16
    plain, fused = peft_layer(quantized=True, base_dtype=dtype, lora_dropout=dropout)
    assert fuse_lora(fused)
    assert type(fused).__name__ == "FusedLinear4bit"
    out, grads = run(fused, inputs(dtype), autocast=bf16)
    expected, wanted = run(plain, inputs(dtype), autocast=bf16)
    for name, own, theirs in [("out", out, expected)] + [(n, grads[n], wanted[n]) for n in wanted]:
        assert own.dtype == theirs.dtype
        difference = (own - theirs).norm() / theirs.norm()
        assert difference < (0.01 if bf16 else 1e-5), name


@pytest.mark.parametrize("dropout", [0.0, 1e-7, 0.1, 0.5, 1 - 1e-7])
def test_as_many_are_dropped_as_asked_for(dropout):
    torch.manual_seed(0)
    kept = draw_kept(torch.empty(500, 2001), dropout)  # not a multiple of four
    assert kept.dtype == torch.uint8
    assert set(kept.unique().tolist()) <= {0, 1}
    assert abs(kept.float().mean() - (1 - dropout)) < 0.002
    neighbours = torch.corrcoef(torch.stack([kept[:, :-1].flatten(), kept[:, 1:].flatten()]))
    assert dropout in (0.0, 1e-7, 1 - 1e-7) or abs(neighbours[0, 1]) < 0.005


def kept_bytes(layers, x):
    """Bytes that wait for the backward pass, next to parameters; a storage counts once."""
    modules = [layer for layer in layers if isinstance(layer, nn.Module)]
    own = {p.untyped_storage().data_ptr() for layer in modules for p in layer.parameters()}
    kept = {}

    def keep(tensor):
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            kept[storage.data_ptr()] = tensor, storage.nbytes()
        return tensor

    with (
        torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor),
        torch.autocast("cpu", dtype=torch.bfloat16),
    ):
        for layer in layers:
            layer(x)
    return sum(size for _, size in kept.values())


@pytest.mark.parametrize("dropout", [0.0, 0.3])
def test_layers_of_one_input_keep_it_once(dropout):
    plain, fused = peft_layer(base_dtype=torch.bfloat16, lora_dropout=dropout)
    assert fuse_lora(fused)
    x = inputs(torch.bfloat16).requires_grad_() * 1
    each = (4 * D + OUT * 4) * 2 + N * 4 * 2  # the adapter in bf16, and x A'
    mask = N * D if dropout else 0
    assert kept_bytes([fused] * 3, x) == N * D * 2 + 3 * (each + mask)
    assert kept_bytes([plain] * 3, x) >= 3 * (N * D * 2 + N * 4 * 2 + 4 * mask)


def test_without_a_gradient_by_the_input_none_is_computed():
    from torch.utils.flop_counter import FlopCounterMode

    def flops(needs):
        _, fused = peft_layer(with_bias=False)
        assert fuse_lora(fused)
        with FlopCounterMode(display=False) as counter:
            fused(inputs().requires_grad_(needs)).sum().backward()
        return counter.get_total_flops()

    base, first, second = 2 * N * D * OUT, 2 * N * D * 4, 2 * N * 4 * OUT
    assert flops(False) == base + 2 * first + 3 * second
    assert flops(True) == 2 * base + 3 * first + 3 * second


@pytest.mark.parametrize("lora", [{"use_dora": True}, {"lora_bias": True}], ids=["dora", "bias"])
def test_what_is_not_covered_is_peft_s_own(lora):
    plain, fused = peft_layer(**lora)
    fuse_lora(fused)
    out, grads = run(fused, inputs(), autocast=False)
    expected, wanted = run(plain, inputs(), autocast=False)
    torch.testing.assert_close(out, expected, rtol=0, atol=0)
    torch.testing.assert_close(grads, wanted, rtol=0, atol=0)


def test_disabled_merged_and_hooked_layers_are_peft_s_own():
    plain, fused = peft_layer()
    assert fuse_lora(fused)
    x = inputs()
    seen = []
    handle = fused.lora_A["default"].register_forward_hook(lambda *_: seen.append(1))
    torch.testing.assert_close(fused(x), plain(x), rtol=0, atol=0)
    assert seen
    handle.remove()
    for layer in (plain, fused):
        layer.enable_adapters(False)
    torch.testing.assert_close(fused(x), fused.base_layer(x), rtol=0, atol=0)
    for layer in (plain, fused):
        layer.enable_adapters(True)
        layer.merge()
    torch.testing.assert_close(fused(x), plain(x), rtol=0, atol=0)


def test_no_rows_are_no_trouble():
    _, fused = peft_layer()
    assert fuse_lora(fused)
    x = torch.zeros(0, D, requires_grad=True)
    out = fused(x)
    out.sum().backward()
    assert out.shape == (0, OUT)
    assert fused.lora_A["default"].weight.grad.eq(0).all()


def test_only_exact_classes_are_fused_and_names_stay():
    plain, fused = peft_layer()
    names = list(fused.state_dict())
    assert fuse_lora(fused)
    assert list(fused.state_dict()) == names
    assert isinstance(fused, type(plain))
    once = type(fused)
    assert fuse_lora(fused)
    assert type(fused) is once
    assert not fuse_lora(nn.Linear(3, 3))
