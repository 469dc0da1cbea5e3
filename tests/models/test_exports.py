"""The room's public names, and that importing it is cheap."""

from __future__ import annotations

import subprocess
import sys

import pytest

import xtune.models


def test_every_public_name_is_there_and_sorted():
    assert xtune.models.__all__ == sorted(xtune.models.__all__)
    assert set(xtune.models._HOMES) == set(xtune.models.__all__)
    for name in xtune.models.__all__:
        assert getattr(xtune.models, name).__name__ == name


def test_another_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="load_modle"):
        xtune.models.load_modle  # noqa: B018


def test_importing_the_room_does_not_import_torch():
    code = "import sys, xtune.models; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
