"""Names in an adapter's settings: each must match something of the model."""

from __future__ import annotations

import re

import pytest
from peft import LoraConfig

from tests.tiny import write_tiny_model
from xtune.config import check, render
from xtune.errors import AdapterError
from xtune.models import attach_adapter, load_model
from xtune.models.adapter_names import misnamed, taken_by_their_ends
from xtune.models.adapters import build_adapter

TARGETS = ["q_proj", "up_proj"]


@pytest.fixture(scope="module")
def draft(tiny_llama):
    """The tiny Llama without weights."""
    return load_model(str(tiny_llama), device="meta")


@pytest.mark.parametrize(
    ("settings", "argument", "said"),
    [
        ({"target_modules": ["q_proj", "up_prjo"]}, "target_modules", "did you mean 'up_proj'"),
        ({"target_modules": r".*\.(q_proj|up_prjo)"}, "target_modules", "'up_prjo' matches no"),
        ({"target_modules": "q_proj,v_proj"}, "target_modules", r"list: \['q_proj', 'v_proj'\]"),
        ({"target_modules": "[q_proj"}, "target_modules", "is no regular expression"),
        ({"modules_to_save": ["lm_haed"]}, "modules_to_save", "did you mean 'lm_head'"),
        ({"modules_to_save": "lm_head"}, "modules_to_save", r"write \['lm_head'\]"),
        ({"rank_pattern": {"q_prj": 4}}, "rank_pattern", "did you mean 'q_proj'"),
        ({"rank_pattern": {"down_proj": 4}}, "rank_pattern", "the adapter is not on"),
        ({"alpha_pattern": {r"layers\.0\.(q_prj|up_proj)": 4}}, "alpha_pattern", "matches no"),
        ({"exclude_modules": ["q_prj"]}, "exclude_modules", "did you mean 'q_proj'"),
        ({"layers_to_transform": [0, 2]}, "layers_to_transform", "layer 2; .* has 2 layers"),
        ({"layers_to_transform": [1, 2, 9]}, "layers_to_transform", "layer 2, 9; .* 2 layers"),
        (
            {"layers_to_transform": [0], "layers_pattern": ["blocks"]},
            "layers_pattern",
            "'blocks' matches no",
        ),
        ({"target_parameters": ["q_proj.wieght"]}, "target_parameters", "did you mean 'weight'"),
        ({"trainable_token_indices": {"embed": [5]}}, "trainable_token_indices", "'embed' matches"),
        ({"trainable_token_indices": [5, 384]}, "trainable_token_indices", "384 has no row"),
    ],
)
def test_a_name_that_matches_nothing_is_found(draft, settings, argument, said):
    config = LoraConfig(**{"target_modules": TARGETS} | settings)
    (found, *_) = misnamed(config, draft)
    assert found.argument == argument
    assert re.search(said, found.message + found.hint)


@pytest.mark.parametrize(
    "settings",
    [
        {"target_modules": "all-linear"},
        {"target_modules": ["layers.0.self_attn.q_proj", "mlp.up_proj"]},
        {"target_modules": r".*layers\.[01]\..*(q|up)_proj"},
        {"modules_to_save": ["norm", "model.embed_tokens"]},
        {"rank_pattern": {"q_proj": 2, r"layers\.1\.mlp\.up_proj": 3}},
        {"exclude_modules": ["lm_head"]},
        {"target_modules": "all-linear", "exclude_modules": r".*layers\.0\..*"},
        {"layers_to_transform": 1, "layers_pattern": "layers"},
        {"target_parameters": ["mlp.up_proj.weight"], "target_modules": ["q_proj"]},
        {"trainable_token_indices": [0, 383]},
    ],
)
def test_names_that_match_are_left_alone(draft, settings):
    assert misnamed(LoraConfig(**{"target_modules": TARGETS} | settings), draft) == []


def test_names_of_experts_that_transformers_4_had_are_known(tmp_path):
    from tests.models.families.case import all_cases

    (mixtral,) = (case for case in all_cases() if case.name == "mixtral")
    llm = load_model(str(mixtral.write(tmp_path / "mixtral")), device="meta")
    assert misnamed(LoraConfig(target_modules=["q_proj", "w1", "w2", "w3"]), llm) == []
    assert misnamed(LoraConfig(target_modules=["q_proj", "w4"]), llm)[0].message.startswith("'w4'")


def test_ends_that_peft_takes_besides(draft, tiny_llama, caplog):
    config = LoraConfig(target_modules=TARGETS, modules_to_save=["norm"])
    taken = {"norm": ["input_layernorm", "post_attention_layernorm"]}
    assert taken_by_their_ends(config, draft) == taken
    whole = LoraConfig(target_modules=TARGETS, modules_to_save=["model.norm", "lm_head"])
    assert taken_by_their_ends(whole, draft) == {}
    attach_adapter(load_model(str(tiny_llama)), config)
    assert "trains input_layernorm and post_attention_layernorm too" in caplog.text


def test_the_model_is_left_as_it_was(tiny_llama):
    llm = load_model(str(tiny_llama))
    names = [name for name, _ in llm.named_modules()]
    with pytest.raises(AdapterError, match=r"(?s)target_modules: 'up_prjo'.*rank_pattern: 'x'"):
        attach_adapter(llm, LoraConfig(target_modules=["q_proj", "up_prjo"], rank_pattern={"x": 2}))
    assert [name for name, _ in llm.named_modules()] == names


def test_some_layers_with_all_linear(tiny_llama):
    llm = load_model(str(tiny_llama))
    settings = {"type": "LoraConfig", "target_modules": "all-linear", "layers_to_transform": [1]}
    tuned = attach_adapter(llm, build_adapter(llm, settings))
    adapted = {n for n, _ in tuned.named_parameters() if "lora_A" in n}
    assert len(adapted) == 7
    assert all(".layers.1." in name for name in adapted)


def problems(tiny_llama, *options):
    model = f"pretrained_model_name_or_path={tiny_llama}"
    return [str(p) for p in check(render("custom_sft_lora", [model, *options]))]


def test_check_names_the_option_and_the_nearest(tiny_llama):
    options = ("lora.target_modules=[q_proj,up_prjo]", "lora.modules_to_save=[lm_haed]")
    first, second = problems(tiny_llama, *options)
    assert first.startswith("--cfg-options lora.target_modules=[q_proj,up_prjo]: model.adapter.")
    assert "'up_prjo' matches no module" in first
    assert "did you mean 'up_proj'?" in first
    assert "did you mean 'lm_head'?" in second


def test_check_finds_what_peft_would_refuse(tiny_llama):
    (problem,) = problems(tiny_llama, "lora.target_modules=[q_proj,norm]")
    assert "is not supported" in problem
    (problem,) = problems(tiny_llama, "lora.lora_bias=True")
    assert "have none in the base" in problem
    assert problems(tiny_llama, "lora.layers_to_transform=[0]") == []


def test_check_reads_no_model_where_nothing_is_named(tmp_path):
    model = write_tiny_model(tmp_path / "llama", "llama")
    (model / "config.json").write_text("no json")
    assert problems(model) == []
