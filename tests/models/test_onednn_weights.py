"""Packed weights answer as the layers' own do, and never outlive them."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from xtune.models import load_model, onednn_weights
from xtune.models.onednn_weights import pack_weights


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("rows", [1, 3, 200])
def test_a_packed_layer_gives_what_the_plain_one_gives(dtype, bias, rows):
    torch.manual_seed(0)
    layer, x = nn.Linear(64, 48, bias=bias).to(dtype), torch.randn(2, rows, 64).to(dtype)
    with torch.no_grad():
        expected = layer(x)
        for expected_rows in (1, 32):
            assert pack_weights(layer, rows=expected_rows) == 1
            assert layer.packed_from is not None
            torch.testing.assert_close(layer(x), expected)


def test_a_weight_that_has_changed_is_not_the_packed_one_any_more():
    layer, x = nn.Linear(64, 48), torch.randn(1, 64)
    pack_weights(layer)
    with torch.no_grad():
        layer.weight.mul_(2)
        assert torch.equal(layer(x), nn.functional.linear(x, layer.weight, layer.bias))
        layer.weight = nn.Parameter(torch.randn(48, 64))
        assert torch.equal(layer(x), nn.functional.linear(x, layer.weight, layer.bias))


def test_training_goes_through_the_plain_layer():
    layer, x = nn.Linear(64, 48), torch.randn(1, 64)
    pack_weights(layer)
    layer(x).sum().backward()
    assert layer.weight.grad is not None


def test_what_is_saved_is_the_weights_alone(tiny_llama):
    llm = load_model(str(tiny_llama))
    before = set(llm.state_dict())
    assert pack_weights(llm) == 7 * llm.config.num_hidden_layers + 1
    assert set(llm.state_dict()) == before


def test_a_model_answers_the_same(tiny_llama):
    llm = load_model(str(tiny_llama), dtype="bf16").eval()
    ids = torch.tensor([[5, 6, 7, 8]])
    with torch.no_grad():
        expected = llm(ids).logits
        pack_weights(llm)
        torch.testing.assert_close(llm(ids).logits, expected)


def test_more_than_half_of_what_is_free_is_not_taken(monkeypatch, caplog):
    monkeypatch.setattr(onednn_weights, "_SHARE", 0.0)
    with caplog.at_level("INFO"):
        assert pack_weights(nn.Linear(64, 48)) == 0
    assert "not packed" in caplog.text


def test_a_torch_without_the_operators_is_told_and_does_without(monkeypatch, caplog):
    def missing(weight, rows):
        raise AttributeError("no such operator")

    monkeypatch.setattr(onednn_weights, "_packed", missing)
    with caplog.at_level("INFO"):
        assert pack_weights(nn.Linear(64, 48)) == 0
    assert "no such operator" in caplog.text
