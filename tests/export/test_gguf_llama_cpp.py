"""Every family of the catalogue in llama.cpp itself, or why not: tiny checkpoints, in F32.

Skipped where xllamacpp is not installed: pip install 'xtune[llamacpp]'.
"""

from __future__ import annotations

import pytest
import torch

from xtune.export.gguf_file import export_gguf
from xtune.export.tiny import write_tiny
from xtune.models import precision
from xtune.models.loading import _PUBLISHED, published_fields

IDS = sorted(file.stem.replace("--", "/") for file in _PUBLISHED.glob("*.json"))
ONE_OF_EACH = {published_fields(name)["model_type"]: name for name in IDS}

pytestmark = [pytest.mark.slow]


@pytest.fixture(autouse=True)
def fp32(monkeypatch):
    """Whatever this processor is fastest in."""
    monkeypatch.setattr(
        "xtune.models.precision._probe_cpu", lambda threads: precision._precision(torch.float32, "")
    )


@pytest.mark.parametrize("name", sorted(ONE_OF_EACH.values()))
def test_llama_cpp_answers_as_chat_does(name, tmp_path):
    pytest.importorskip("xllamacpp")
    write_tiny(tmp_path / "tiny", name, layers=40 if "Baichuan2-13B" in name else 2)
    done = export_gguf(
        str(tmp_path / "tiny"), tmp_path / "out.gguf", adapter=None, notes={}, quant="f32"
    )
    found = {one.reader: one for one in done.outcomes}
    assert found["llama.cpp"].problems == []
