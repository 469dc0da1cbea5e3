"""GaLore and APOLLO: what is projected, what a step does, and a state that resumes bit for bit."""

from __future__ import annotations

import importlib
import math

import pytest
import torch

from tests.runs import losses, sheet_of
from xtune.checkpoint.state import load_state, save_state
from xtune.engine.runner import Runner
from xtune.errors import ConfigError
from xtune.models import build_model, choose_precision
from xtune.optim.optimizers import build_optimizer

PACKAGES = {"GaLoreAdamW": "galore_torch", "APOLLOAdamW": "apollo_torch"}
EITHER = pytest.mark.parametrize("kind", PACKAGES)


@pytest.fixture(autouse=True)
def _installed(request):
    kind = getattr(request.node, "callspec", None) and request.node.callspec.params.get("kind")
    if kind in PACKAGES:
        pytest.importorskip(PACKAGES[kind], reason=f"pip install {PACKAGES[kind]} to test it")


def tiny(inputs, adapter=None):
    torch.manual_seed(0)
    llm = {"type": "CausalLM", "pretrained_model_name_or_path": str(inputs.model)}
    cfg = {"type": "SupervisedFinetune", "llm": llm, "adapter": adapter}
    return build_model(cfg, precision=choose_precision("cpu", "fp32"))


def give_gradients(model, seed):
    generator = torch.Generator().manual_seed(seed)
    for parameter in model.parameters():
        parameter.grad = torch.randn(parameter.shape, generator=generator)


@EITHER
def test_the_linear_layers_of_attention_and_mlp_are_projected(inputs, kind):
    model = tiny(inputs)
    optimizer = build_optimizer(model, {"type": kind, "lr": 1e-3, "rank": 4, "weight_decay": 0.1})
    names = {id(p): name for name, p in model.named_parameters()}
    projected, others = (
        {names[id(p)] for g in optimizer.param_groups if ("rank" in g) is has for p in g["params"]}
        for has in (True, False)
    )
    linears = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
    assert len(projected) == 2 * len(linears)
    assert all(any(f"{linear}.weight" in name for linear in linears) for name in projected)
    assert all("norm" in name or "embed_tokens" in name for name in others)
    assert not any("projected" in group for group in optimizer.param_groups)

    give_gradients(model, 0)
    optimizer.step()
    for parameter, state in optimizer.state.items():
        if names[id(parameter)] in projected:
            assert 4 in state["exp_avg"].shape
            assert state["exp_avg"].numel() < parameter.numel()
        else:
            assert state["exp_avg"].shape == parameter.shape


def test_galore_at_full_rank_takes_the_steps_of_adamw_on_the_rotated_gradient(inputs):
    """Written out: P of the first gradient's SVD, Adam's moments of P^T G, and back."""
    pytest.importorskip("galore_torch", reason="pip install galore_torch to test it")
    model = tiny(inputs)
    cfg = {"type": "GaLoreAdamW", "lr": 1e-2, "rank": 3, "scale": 0.5, "eps": 1e-8}
    optimizer = build_optimizer(model, cfg)
    name = "llm.model.layers.1.mlp.up_proj.weight"  # [64, 32]: projected from the right
    weight = model.get_parameter(name)
    expected = weight.detach().clone()
    first = second = projection = None
    for step in (1, 2):
        give_gradients(model, step)
        gradient = weight.grad
        if projection is None:
            projection = torch.linalg.svd(gradient, full_matrices=False).Vh[:3]
            first = second = torch.zeros(64, 3)
        small = gradient @ projection.T
        first, second = 0.9 * first + 0.1 * small, 0.999 * second + 0.001 * small**2
        size = 1e-2 * math.sqrt(1 - 0.999**step) / (1 - 0.9**step)
        expected -= size * 0.5 * (first / (second.sqrt() + 1e-8)) @ projection
        optimizer.step()
    torch.testing.assert_close(weight.detach(), expected, rtol=1e-4, atol=1e-5)


@EITHER
def test_the_state_passes_through_a_file_bit_for_bit(inputs, tmp_path, kind):
    cfg = {"type": kind, "lr": 1e-2, "rank": 2, "update_proj_gap": 3, "weight_decay": 0.1}

    def steps_from(further, optimizer, model, start):
        for seed in range(start, start + further):
            give_gradients(model, seed)
            optimizer.step()
        return {name: p.detach().clone() for name, p in model.named_parameters()}

    model = tiny(inputs)
    optimizer = build_optimizer(model, cfg)
    weights = steps_from(5, optimizer, model, 0)
    state = {str(k): v for k, v in optimizer.state_dict()["state"].items()}
    save_state(tmp_path / "state", state)
    expected = steps_from(4, optimizer, model, 5)  # projections change at steps 6 and 9

    other = tiny(inputs)
    with torch.no_grad():
        for name, parameter in other.named_parameters():
            parameter.copy_(weights[name])
    resumed = build_optimizer(other, cfg)
    loaded = {int(k): v for k, v in load_state(tmp_path / "state").items()}
    groups = resumed.state_dict()["param_groups"]
    resumed.load_state_dict({"state": loaded, "param_groups": groups})
    for name, value in steps_from(4, resumed, other, 5).items():
        assert torch.equal(value, expected[name]), name


@EITHER
def test_a_run_that_was_cut_resumes_bit_for_bit(inputs, tmp_path, kind):
    optimizer = f"optimizer={{'type': '{kind}', 'lr': 1e-2, 'rank': 4, 'update_proj_gap': 3}}"
    crash = "default_hooks.tensorboard={'type': 'tests/integration/crash.py:CrashAt', 'step': 6}"

    def run(work_dir, *further, resume=None):
        sheet = sheet_of(
            inputs, "max_steps=8", optimizer, *further, config="smollm2_135m_full_toolcall"
        )
        Runner(sheet, work_dir=work_dir, resume=resume).train()
        return losses(work_dir)

    whole = run(tmp_path / "whole", "val_data_path=None")
    with pytest.raises(RuntimeError, match="the test's crash"):
        run(tmp_path / "cut", "val_data_path=None", crash)
    assert run(tmp_path / "cut", "val_data_path=None", resume="auto") == whole
    assert whole[-1][1] < whole[0][1]


@EITHER
def test_an_adapter_is_refused(inputs, kind):
    model = tiny(inputs, {"type": "LoraConfig", "r": 4})
    with pytest.raises(ConfigError, match=r"none is trained: with an adapter use optimizer\.type"):
        build_optimizer(model, {"type": kind, "lr": 1e-3})


@EITHER
def test_a_state_of_another_version_is_refused(inputs, kind):
    model = tiny(inputs)
    optimizer = build_optimizer(model, {"type": kind, "lr": 1e-3, "rank": 4})
    give_gradients(model, 0)
    optimizer.step()
    state = optimizer.state_dict()
    for values in state["state"].values():
        if "projector" in values:
            del values["projector"]["rank"]
    with pytest.raises(ConfigError, match="install the version that wrote it"):
        optimizer.load_state_dict(state)


@pytest.mark.parametrize(
    ("kind", "how"),
    [("GaLoreAdamW", r"pip install '.\[galore\]'"), ("APOLLOAdamW", "install apollo-torch")],
)
def test_a_library_that_is_not_installed_is_named(inputs, kind, how, monkeypatch):
    def missing(name, *_):
        raise ImportError(name)

    model = tiny(inputs)
    monkeypatch.setattr(importlib, "import_module", missing)
    with pytest.raises(ConfigError, match=how):
        build_optimizer(model, {"type": kind, "lr": 1e-3})
