"""Every family of the catalogue in llama.cpp itself, or why not: tiny checkpoints, in F32.

Skipped where xllamacpp is not installed: pip install '.[llamacpp]'.
"""

from __future__ import annotations

import json

import pytest

from xtune.errors import ModelError
from xtune.export.gguf_file import export_gguf
from xtune.export.tiny import write_tiny
from xtune.models.loading import _PUBLISHED, published_fields

IDS = sorted(file.stem.replace("--", "/") for file in _PUBLISHED.glob("*.json"))
ONE_OF_EACH = {published_fields(name)["model_type"]: name for name in IDS}
GPT_OSS = ONE_OF_EACH.pop("gpt_oss")

pytestmark = [pytest.mark.slow]


@pytest.mark.parametrize("name", sorted(ONE_OF_EACH.values()))
def test_llama_cpp_answers_as_chat_does(name, tmp_path):
    pytest.importorskip("xllamacpp")
    # Mixtral's first seed has a place where two experts are tied
    write_tiny(tmp_path / "tiny", name, seed=1 if "Mixtral" in name else 0)
    require_parity(tmp_path)


def test_baichuan_with_alibi_has_forty_layers(tmp_path):
    pytest.importorskip("xllamacpp")
    write_tiny(tmp_path / "tiny", "baichuan-inc/Baichuan2-13B-Base", layers=40)
    require_parity(tmp_path)


def test_gpt_oss_is_computed_but_for_the_rounding_of_its_positions(tmp_path):
    """Rounded as llama.cpp does; all experts are taken, for two of them may tie."""
    pytest.importorskip("xllamacpp")
    write_tiny(tmp_path / "tiny", GPT_OSS)
    change(tmp_path, {"num_experts_per_tok": 4}, {"truncate": True})
    require_parity(tmp_path)


def test_gpt_oss_as_it_is_published_is_refused_in_f32_with_the_cause(tmp_path):
    pytest.importorskip("xllamacpp")
    write_tiny(tmp_path / "tiny", GPT_OSS)
    with pytest.raises(ModelError, match="llama.cpp rounds the two frequencies"):
        require_parity(tmp_path)


@pytest.mark.parametrize("further", [{"attention_factor": 1.0}, {"mscale": 1, "mscale_all_dim": 2}])
def test_what_yarn_multiplies_by(further, tmp_path):
    pytest.importorskip("xllamacpp")
    write_tiny(tmp_path / "tiny", "Qwen/Qwen2.5-0.5B")
    yarn = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 256}
    change(tmp_path, {}, yarn | further)
    require_parity(tmp_path)


def change(folder, fields, rope):
    file = folder / "tiny" / "config.json"
    said = json.loads(file.read_text()) | fields
    said.pop("rope_scaling", None)
    said["rope_parameters"] = said.get("rope_parameters", {}) | rope
    file.write_text(json.dumps(said))


def require_parity(folder):
    done = export_gguf(
        str(folder / "tiny"), folder / "out.gguf", adapter=None, notes={}, quant="f32"
    )
    found = {one.reader: one for one in done.outcomes}
    assert found["llama.cpp"].ids >= 16
    assert found["llama.cpp"].problems == []
