"""LoRA on every module of a family: what `export` writes is the adapter model, or it is refused."""

from __future__ import annotations

import pytest
import torch
from peft import LoraConfig

from tests.models.families.case import all_cases
from xtune.errors import AdapterError
from xtune.export.merge import export_model
from xtune.models import attach_adapter, load_model
from xtune.models.tied import embedding_and_head

CASES = {case.name: case for case in all_cases()}
IDS = torch.tensor([[5, 6, 7, 8, 9, 30, 12]])
# family, targets: tied and untied, with biases, with experts, a head that is no plain linear layer
SAMPLE = [
    ("llama3.2", ("embed_tokens",)),
    ("llama3.2", ("lm_head", "q_proj")),
    ("llama3.2", ("embed_tokens", "lm_head")),
    ("gemma2", ("embed_tokens", "o_proj")),
    ("bloom", ("word_embeddings",)),
    ("bloom", ("lm_head", "query_key_value")),
    ("qwen2.5", ("k_proj", "lm_head")),
    ("qwen3-moe", ("embed_tokens", "lm_head")),
    ("internlm2", ("embed_tokens", "lm_head")),
    ("mixtral", ("gate", "lm_head")),
]
# What PEFT or xtune refuses to put an adapter on
REFUSED = [
    ("llama3.2", ("norm",), "is not supported"),
    ("mixtral", ("experts",), "is not supported"),
    ("baichuan2-7b", ("lm_head",), r"modules_to_save=\['lm_head'\]"),
]


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    """A function that writes the checkpoint of a family once."""
    written = {}

    def write(name):
        if name not in written:
            written[name] = CASES[name].write(tmp_path_factory.mktemp(name))
        return written[name]

    return write


@torch.no_grad()
def logits_of(llm):
    return llm.eval()(input_ids=IDS, use_cache=False).logits


def saved_adapter(model, targets, folder):
    """Save an adapter whose weights are not those it began with; return its logits."""
    llm = load_model(str(model), dtype="fp32")
    tuned = attach_adapter(llm, LoraConfig(r=2, target_modules=list(targets)))
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in tuned.parameters():
            if parameter.requires_grad:
                parameter += torch.randn(parameter.shape, generator=generator) * 0.1
    tuned.save_pretrained(str(folder), save_embedding_layers=False)
    return logits_of(tuned)


def require_equal(model, targets, tmp_path):
    expected = saved_adapter(model, targets, tmp_path / "adapter")
    out = tmp_path / "out"
    done = export_model(str(model), out, adapter=tmp_path / "adapter", notes={}, dtype="fp32")
    exported = logits_of(load_model(str(out), dtype="fp32"))
    assert float((exported - expected).abs().max() / expected.abs().max()) < 1e-4
    assert done.difference < 1e-4


@pytest.mark.parametrize(("name", "targets"), SAMPLE, ids=lambda value: str(value))
def test_an_exported_model_is_the_adapter_model(published, tmp_path, name, targets):
    require_equal(published(name), targets, tmp_path)


@pytest.mark.parametrize(("name", "targets", "reason"), REFUSED)
def test_or_it_is_refused_at_attach(published, name, targets, reason):
    llm = load_model(str(published(name)), dtype="fp32")
    with pytest.raises(AdapterError, match=reason):
        attach_adapter(llm, LoraConfig(r=2, target_modules=list(targets)))


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_every_module_alone_and_with_the_head(published, tmp_path, name):
    model = published(name)
    llm = load_model(str(model), dtype="fp32")
    head = list(embedding_and_head(llm))[-1].rpartition(".")[2]
    modules = {
        path.rpartition(".")[2]
        for path, module in llm.named_modules()
        if next(module.parameters(recurse=False), None) is not None
    }
    done = 0
    for number, targets in enumerate(
        sorted({(m,) for m in modules} | {(m, head) for m in modules})
    ):
        try:
            require_equal(model, set(targets), tmp_path / str(number))
        except AdapterError:
            continue
        done += 1
    assert done >= len(CASES[name].linears)


@pytest.mark.parametrize("wrong", ["lm_head", "model.layers.1.mlp.up_proj"])
def test_a_wrong_merge_is_seen(published, tmp_path, monkeypatch, wrong):
    """One row of the head, or one layer, changed while merging: nothing is written."""
    from xtune.errors import ModelError
    from xtune.export import prepared
    from xtune.models import merge_adapter

    def wrongly(peft_model):
        merged = merge_adapter(peft_model)
        with torch.no_grad():
            merged.get_submodule(wrong).weight[7] += 0.05
        return merged

    model = published("llama2")
    saved_adapter(model, ["q_proj"], tmp_path / "adapter")
    monkeypatch.setattr(prepared, "merge_adapter", wrongly)
    with pytest.raises(ModelError, match=f"not the base with its adapter: {wrong} differs by"):
        export_model(
            str(model), tmp_path / "out", adapter=tmp_path / "adapter", notes={}, dtype="bf16"
        )
    assert not (tmp_path / "out").exists()
