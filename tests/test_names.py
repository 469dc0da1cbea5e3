"""What a name stands for is told in one place, and of each name one thing."""

from __future__ import annotations

import pytest

from xtune.hub import cached_config
from xtune.names import Kind, hub_id_in, is_hub_id, is_path, kind_of

KINDS = {
    "smollm2": Kind.ALIAS,
    "model.gguf": Kind.GGUF,
    "owner/model.gguf": Kind.GGUF,
    "~/models/model.gguf": Kind.GGUF,
    "./x": Kind.PATH,
    "../x": Kind.PATH,
    ".": Kind.PATH,
    "/x": Kind.PATH,
    "~/x": Kind.PATH,
    "x/": Kind.PATH,
    "a/b/c": Kind.PATH,
    "work_dirs": Kind.PATH,
    "work_dirs/x": Kind.PATH,
    "owner/name": Kind.HUB,
    "meta-llama/Llama-3.1-8B": Kind.HUB,
    "data/rows.jsonl": Kind.HUB,  # the data's side asks for files first
    "modelscope:owner/name": Kind.MODELSCOPE,
    "modelscope:name": Kind.MODELSCOPE,
    "modelscope:owner/name.gguf": Kind.MODELSCOPE,
    "gpt2": Kind.WORD,
    "toolcall": Kind.WORD,
    "http://host/v1": Kind.WORD,
    "-x/name": Kind.WORD,
    "a name/of two": Kind.WORD,
    "": Kind.WORD,
}


@pytest.mark.parametrize("name", KINDS)
def test_each_name_has_one_kind(name):
    assert kind_of(name) is KINDS[name]
    assert is_hub_id(name) == (KINDS[name] is Kind.HUB)
    assert is_path(name) == (KINDS[name] in (Kind.PATH, Kind.GGUF))


def test_the_id_within_a_name():
    found = {name: hub_id_in(name) for name in KINDS}
    assert {name: said for name, said in found.items() if said is not None} == {
        "owner/name": "owner/name",
        "meta-llama/Llama-3.1-8B": "meta-llama/Llama-3.1-8B",
        "data/rows.jsonl": "data/rows.jsonl",
        "modelscope:owner/name": "owner/name",
    }


def test_only_what_a_hub_can_have_is_looked_for_in_its_cache():
    assert all(cached_config(name) is None for name in (*KINDS, "a--b/c", "x/.."))
