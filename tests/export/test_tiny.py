"""`xtune tiny-model`: every architecture that comes with xtune, in its own layout."""

from __future__ import annotations

import json

import pytest
import torch

from xtune.cli.entry import main
from xtune.data.templates import build_template
from xtune.errors import ModelError, TemplateError, UsageError
from xtune.export.tiny import shrunk, tiny_tokenizer, write_tiny
from xtune.models.families import family_of_fields
from xtune.models.loading import _PUBLISHED, load_model, published_fields
from xtune.models.tokenizer import load_tokenizer
from xtune.registry import TEMPLATES, names

IDS = sorted(file.stem.replace("--", "/") for file in _PUBLISHED.glob("*.json"))


@pytest.mark.parametrize("published", IDS)
def test_it_loads_as_its_published_checkpoint_does_and_is_tiny(published, tmp_path):
    parameters = write_tiny(tmp_path / "tiny", published)
    fields = json.loads((tmp_path / "tiny/config.json").read_text(encoding="utf-8"))
    theirs = family_of_fields(published_fields(published))
    ours = family_of_fields(fields)
    if published != "openai/gpt-oss-20b":  # its layout is packed, and is not written
        assert type(ours) is type(theirs)
    llm = load_model(str(tmp_path / "tiny"), dtype="fp32")
    assert sum(parameter.numel() for parameter in llm.parameters()) == parameters < 1_000_000
    ids = torch.arange(3, 40)[None]
    with torch.no_grad():
        assert llm(input_ids=ids, use_cache=False).logits.isfinite().all()
    assert len(load_tokenizer(str(tmp_path / "tiny"))) == 384


def test_the_seed_decides(tmp_path):
    for folder, seed in (("a", 0), ("b", 0), ("c", 1)):
        write_tiny(tmp_path / folder, "internlm/internlm-7b", seed=seed)
    a, b, c = ((tmp_path / folder / "model.safetensors").read_bytes() for folder in "abc")
    assert a == b != c


@pytest.mark.parametrize("template", names(TEMPLATES))
def test_its_tokenizer_fits_every_template(template):
    if template == "moss_sft":  # whose config adds the tokens, as to the real vocabulary
        with pytest.raises(TemplateError, match="<eom>"):
            build_template(template, tiny_tokenizer())
    else:
        assert build_template(template, tiny_tokenizer()).stop_words


def test_sizes_keep_what_makes_a_family():
    tokenizer = tiny_tokenizer()
    gemma = shrunk(published_fields("google/gemma-3-1b-pt"), tokenizer)
    assert gemma["num_hidden_layers"] == gemma["sliding_window_pattern"]  # one layer of each kind
    qwen = shrunk(published_fields("Qwen/Qwen2-7B"), tokenizer)
    assert (qwen["num_attention_heads"], qwen["num_key_value_heads"]) == (4, 2)
    llama = shrunk(published_fields("meta-llama/Llama-2-7b-hf"), tokenizer)
    assert llama["num_key_value_heads"] == 4


def test_an_architecture_that_is_not_here_and_a_full_folder_are_refused(tmp_path):
    with pytest.raises(ModelError, match="'nobody/nothing'.*published config.json alone"):
        write_tiny(tmp_path / "tiny", "nobody/nothing")
    (tmp_path / "full").mkdir()
    (tmp_path / "full/thesis.txt").write_text("years of work")
    with pytest.raises(UsageError, match="not an empty folder"):
        write_tiny(tmp_path / "full", "internlm/internlm-7b")


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"hidden_size": 8}, "has no model_type"),
        ({"model_type": "llamma"}, "'llamma' is no language model.*did you mean 'llama'.*list-mod"),
        ({"model_type": "clip"}, "'clip' is no language model"),
        ({"model_type": "gpt2", "n_embd": 1536}, "names that are not known here.*at most 5,000"),
    ],
)
def test_a_config_json_that_gives_no_tiny_model_is_refused(fields, message, tmp_path):
    (tmp_path / "config.json").write_text(json.dumps(fields))
    with pytest.raises(ModelError, match=message):
        write_tiny(tmp_path / "tiny", str(tmp_path))
    assert not (tmp_path / "tiny").exists()


def test_a_config_json_of_ones_own_is_enough(tmp_path):
    fields = published_fields("meta-llama/Llama-2-7b-hf")
    (tmp_path / "config.json").write_text(json.dumps(fields))
    write_tiny(tmp_path / "tiny", str(tmp_path))
    assert load_model(str(tmp_path / "tiny"), dtype="fp32").config.hidden_size == 64


def test_the_command_that_it_prints_runs(tmp_path, capsys):
    out = tmp_path / "tiny"
    assert main(["tiny-model", "qwen2_5_7b_qlora_tools", str(out)]) == 0
    words = capsys.readouterr().out.replace("\\\n", " ").partition("xtune train")[2].split()
    assert words[0] == "qwen2_5_7b_qlora_tools"
    assert main(["train", *words]) == 0
    assert (tmp_path / "tiny_run/checkpoints/latest/adapter").is_dir()
    talk = ["--adapter", str(tmp_path / "tiny_run"), "--prompt", "Hi", "--max-new-tokens", "4"]
    assert main(["chat", str(out), *talk]) == 0
    assert main(["tiny-model", "qwen2_5_7b_qlora_tool", str(tmp_path / "other")]) == 2
    assert main(["tiny-model", "qwen2_5_7b_qlora_tools", str(out)]) == 2
