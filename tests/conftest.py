"""Fixtures that several rooms share."""

from __future__ import annotations

import pytest

from tests.parrot import LINES, write_parrot


@pytest.fixture(scope="session")
def parrot_folder(tmp_path_factory):
    """A checkpoint folder of a tiny model that knows `tests.parrot.LINES` by heart."""
    folder = tmp_path_factory.mktemp("models") / "parrot"
    write_parrot(folder, LINES)
    return folder
