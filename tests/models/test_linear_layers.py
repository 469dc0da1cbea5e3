"""The table of linear layers' names, held against the models themselves."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import torch
from torch import nn
from transformers import AutoModelForCausalLM

import xtune
from xtune.config.linear_layers import LINEAR_LAYERS
from xtune.models.families import family_of_config
from xtune.models.loading import load_config

PUBLISHED = {
    file.stem.replace("--", "/"): json.loads(file.read_text())
    for file in (Path(xtune.__file__).parent / "models/published_configs").glob("*.json")
}
LISTED = sorted(name for name, it in PUBLISHED.items() if it["model_type"] in LINEAR_LAYERS)


@pytest.mark.parametrize("name", LISTED)
def test_every_layer_has_them_and_no_other(name):
    fields = PUBLISHED[name]
    config = load_config(name, offline=True)
    assert config.num_hidden_layers == fields["num_hidden_layers"]
    config.num_hidden_layers = 3
    if getattr(config, "layer_types", None):
        config.layer_types = config.layer_types[:3]
    family = family_of_config(config)
    with torch.device("meta"):
        llm = (
            AutoModelForCausalLM.from_config(config)
            if family is None
            else family.model_class(config)._from_config(config)
        )
    found: dict[str, set[str]] = {}
    for path, module in llm.named_modules():
        if isinstance(module, nn.Linear) and path != "lm_head":
            where = re.fullmatch(r"model\.layers\.(\d+)\.(.+)", path)
            assert where, path
            found.setdefault(where[1], set()).add(where[2])
    assert found == dict.fromkeys("012", set(LINEAR_LAYERS[fields["model_type"]]))


def test_nothing_in_the_table_is_unproved():
    assert {PUBLISHED[name]["model_type"] for name in LISTED} == set(LINEAR_LAYERS)
