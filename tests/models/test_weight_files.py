"""A file of weights that is damaged is named, with what to do."""

from __future__ import annotations

import pytest

from tests.tiny import write_tiny_llama
from xtune.errors import ModelError
from xtune.models import load_model
from xtune.models.weight_files import spoilt_weights

POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 12\n"


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda whole: POINTER, "is a pointer of Git LFS and not the file: type `git lfs install"),
        (lambda whole: b"", r"holds no safetensors \(0 bytes\), as where a download was cut off"),
        (lambda whole: whole[:-9], r"has [\d,]+ of [\d,]+ bytes, as where a download was cut off"),
        (lambda whole: whole[:8] + b"?" + whole[9:], "has a header that cannot be read"),
    ],
    ids=["a pointer", "nothing", "cut off", "no JSON"],
)
def test_a_damaged_file_of_weights_is_named(tmp_path, spoil, said):
    file = write_tiny_llama(tmp_path) / "model.safetensors"
    assert spoilt_weights(tmp_path) is None
    file.write_bytes(spoil(file.read_bytes()))
    with pytest.raises(ModelError, match=rf"model\.safetensors {said}"):
        load_model(str(tmp_path))
