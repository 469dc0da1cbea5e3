"""Models from ModelScope, with the service's own function replaced at the library's border."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType

import pytest

from tests.tiny import write_tiny_llama
from xtune.errors import ModelError
from xtune.models.loading import load_config, load_model
from xtune.models.tokenizer import load_tokenizer

ID = "modelscope:owner/tiny"


@pytest.fixture
def service(monkeypatch, tmp_path):
    """What is published, by id; and every call."""
    published: dict[str, Path] = {}
    calls: list[dict] = []

    def snapshot_download(model_id, *, ignore_patterns, local_files_only):
        calls.append({"id": model_id, "ignored": ignore_patterns, "local": local_files_only})
        if model_id not in published:
            raise ConnectionError("no such model,\n or no network")
        return str(published[model_id])

    module = ModuleType("modelscope")
    module.snapshot_download = snapshot_download
    monkeypatch.setitem(sys.modules, "modelscope", module)
    monkeypatch.setattr("xtune.models.modelscope.why_not_modelscope", lambda: None)
    return published, calls


def test_a_model_is_fetched_and_read_as_a_folder(service, tmp_path):
    published, calls = service
    published["owner/tiny"] = write_tiny_llama(tmp_path / "tiny")
    assert load_config(ID).model_type == "llama"
    assert load_tokenizer(ID).eos_token == "<|im_end|>"
    assert load_model(ID, dtype="fp32").num_parameters() > 0
    assert {call["id"] for call in calls} == {"owner/tiny"}
    assert all("*.bin" in call["ignored"] for call in calls)  # safetensors are there


def test_pickled_weights_are_asked_for_only_where_there_are_no_others(service, tmp_path):
    published, calls = service
    published["owner/tiny"] = write_tiny_llama(tmp_path / "tiny")
    (tmp_path / "tiny/model.safetensors").unlink()
    load_config(ID)
    assert ["*.bin" in call["ignored"] for call in calls] == [True, False]


def test_what_cannot_be_fetched_is_an_error_with_the_next_step(service):
    with pytest.raises(ModelError, match=r"from ModelScope: ConnectionError: no such model, or no"):
        load_tokenizer(ID)


def test_without_the_library_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "modelscope", None)
    with pytest.raises(ModelError, match=r"pip install '.\[modelscope\]'"):
        load_model(ID)


def test_without_a_network_what_was_fetched_before_is_read(service, tmp_path, monkeypatch):
    published, calls = service
    monkeypatch.setattr("xtune.models.modelscope.why_not_modelscope", lambda: "no answer. Give …")
    with pytest.raises(ModelError, match=r"cannot be fetched from ModelScope: no answer\. Give"):
        load_config(ID)
    published["owner/tiny"] = write_tiny_llama(tmp_path / "tiny")
    assert load_config(ID).model_type == "llama"
    assert all(call["local"] for call in calls)
