"""Parameter groups: learning rates by name, decay on matrices only."""

import warnings

import pytest
import torch
from torch import nn

from xtune.errors import ConfigError
from xtune.optim.optimizers import build_optimizer

CFG = {"type": "AdamW", "lr": 1e-3, "weight_decay": 0.1}


def _model() -> nn.Module:
    model = nn.ModuleDict(
        {"embed": nn.Embedding(5, 4), "layer": nn.Linear(4, 4), "norm": nn.LayerNorm(4)}
    )
    model["embed"].weight.requires_grad_(False)
    return model


def _by_name(model, optimizer):
    names = {id(p): name for name, p in model.named_parameters()}
    return {
        names[id(p)]: (group["lr"], group["weight_decay"])
        for group in optimizer.param_groups
        for p in group["params"]
    }


def test_decay_goes_to_matrices_only_and_frozen_weights_are_left_out():
    model = _model()
    assert _by_name(model, build_optimizer(model, CFG)) == {
        "layer.weight": (1e-3, 0.1),
        "layer.bias": (1e-3, 0.0),
        "norm.weight": (1e-3, 0.0),
        "norm.bias": (1e-3, 0.0),
    }


def test_custom_keys_scale_rate_and_decay_and_the_longest_decides():
    model = _model()
    keys = {"layer": {"lr_mult": 0.1}, "layer.weight": {"lr_mult": 0.5, "decay_mult": 0.0}}
    groups = _by_name(model, build_optimizer(model, CFG, {"custom_keys": keys}))
    assert groups["layer.weight"] == (5e-4, 0.0)
    assert groups["layer.bias"] == (1e-4, 0.0)
    assert groups["norm.weight"] == (1e-3, 0.0)


def test_groups_remember_the_rate_that_schedules_multiply():
    optimizer = build_optimizer(_model(), CFG, {"custom_keys": {"norm": {"lr_mult": 0.1}}})
    assert sorted({group["base_lr"] for group in optimizer.param_groups}) == [1e-4, 1e-3]


def test_a_custom_key_that_names_nothing_trainable_is_refused():
    with pytest.raises(ConfigError, match=r"'lyer'; did you mean 'layer'"):
        build_optimizer(_model(), CFG, {"custom_keys": {"lyer": {"lr_mult": 0.1}}})
    with pytest.raises(ConfigError, match="'embed'"):
        build_optimizer(_model(), CFG, {"custom_keys": {"embed": {"lr_mult": 0.1}}})
    with pytest.raises(ConfigError, match="'lr_mlt'; allowed: lr_mult, decay_mult"):
        build_optimizer(_model(), CFG, {"custom_keys": {"layer": {"lr_mlt": 0.1}}})


def test_nothing_to_train_is_refused():
    with pytest.raises(ConfigError, match="no parameter of the model is trainable"):
        build_optimizer(_model().requires_grad_(False), CFG)


def test_any_optimizer_by_its_dotted_path():
    cfg = {"type": "torch.optim.SGD", "lr": 0.1, "momentum": 0.9}
    optimizer = build_optimizer(_model(), cfg)
    assert isinstance(optimizer, torch.optim.SGD)
    assert optimizer.param_groups[0]["momentum"] == 0.9


@pytest.mark.parametrize("name", ["PagedAdamW8bit", "PagedAdamW32bit"])
def test_a_paged_optimizer_is_a_plain_one_on_a_cpu(name):
    """The steps are those of the plain one, bit for bit, and nobody is warned."""
    weights = []
    for kind in (name, name.removeprefix("Paged").replace("AdamW32bit", "AdamW")):
        torch.manual_seed(0)
        model = nn.Linear(128, 64, bias=False)
        cfg = {"type": kind if kind != "AdamW" else "bitsandbytes.optim.AdamW32bit", "lr": 1e-2}
        with warnings.catch_warnings():
            warnings.simplefilter("error", UserWarning)
            optimizer = build_optimizer(model, cfg)
            for _ in range(3):
                model(torch.ones(4, 128)).square().mean().backward()
                optimizer.step()
                optimizer.zero_grad()
        weights.append(model.weight.detach())
    assert torch.equal(*weights)
