from __future__ import annotations

import pytest

from xtune.generation.model import ChatModel


@pytest.fixture(scope="session")
def parrot(parrot_folder) -> ChatModel:
    return ChatModel.load(str(parrot_folder))
