"""Tiny checkpoints that the tests of this room share, written once a session."""

from __future__ import annotations

import pytest

from tests.tiny import write_tiny_llama, write_tiny_model


@pytest.fixture(scope="session")
def tiny_llama(tmp_path_factory):
    """A folder: 2 layers, width 32, 4 query and 2 key heads, tied embeddings."""
    return write_tiny_llama(tmp_path_factory.mktemp("models") / "llama")


@pytest.fixture(scope="session")
def untied_llama(tmp_path_factory):
    """The same shape with a head of its own and other weights."""
    return write_tiny_llama(tmp_path_factory.mktemp("models") / "untied", tied=False, seed=3)


@pytest.fixture(scope="session")
def tiny_family(tmp_path_factory):
    """A function (family, **settings) -> folder that writes each combination once."""
    written = {}

    def write(family, **settings):
        key = (family, repr(sorted(settings.items())))
        if key not in written:
            folder = tmp_path_factory.mktemp(family)
            written[key] = write_tiny_model(folder, family, **settings)
        return written[key]

    return write
