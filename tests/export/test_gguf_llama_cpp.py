"""Every family of the catalogue in llama.cpp itself, or why not: tiny checkpoints, in F32.

Skipped where xllamacpp is not installed: pip install '.[llamacpp]'.
"""

from __future__ import annotations

import pytest

from xtune.export.gguf_file import export_gguf
from xtune.export.tiny import write_tiny
from xtune.models.loading import _PUBLISHED, published_fields

IDS = sorted(file.stem.replace("--", "/") for file in _PUBLISHED.glob("*.json"))
ONE_OF_EACH = {published_fields(name)["model_type"]: name for name in IDS}

pytestmark = [pytest.mark.slow]


def known(name):
    """gpt-oss differs in llama.cpp by a KL of 1.6e-3 in F32; nobody knows yet why."""
    marks = [pytest.mark.xfail(strict=True)] if "gpt-oss" in name else []
    return pytest.param(name, marks=marks)


@pytest.mark.parametrize("name", map(known, sorted(ONE_OF_EACH.values())))
def test_llama_cpp_answers_as_chat_does(name, tmp_path):
    pytest.importorskip("xllamacpp")
    # Mixtral's first seed has a place where two experts are tied
    write_tiny(tmp_path / "tiny", name, seed=1 if "Mixtral" in name else 0)
    require_parity(tmp_path)


def test_baichuan_with_alibi_has_forty_layers(tmp_path):
    pytest.importorskip("xllamacpp")
    write_tiny(tmp_path / "tiny", "baichuan-inc/Baichuan2-13B-Base", layers=40)
    require_parity(tmp_path)


def require_parity(folder):
    done = export_gguf(
        str(folder / "tiny"), folder / "out.gguf", adapter=None, notes={}, quant="f32"
    )
    found = {one.reader: one for one in done.outcomes}
    assert found["llama.cpp"].ids >= 16
    assert found["llama.cpp"].problems == []
