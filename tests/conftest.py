"""Fixtures that several rooms share."""

from __future__ import annotations

import gc
import os
import signal
from pathlib import Path

import pytest
import torch

from tests.once import once
from tests.parrot import LINES, write_parrot
from tests.runs import Inputs, inputs_in, write_inputs


def pytest_collection_finish():
    """What is imported and collected stays: no collection of garbage looks through it again."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def shared_folder(tmp_path_factory) -> Path:
    """A folder of this run of the suite, the same for all processes that share it."""
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "shared"
    folder.mkdir(exist_ok=True)
    return folder


@pytest.fixture(scope="session", autouse=True)
def cache_of_the_session(shared_folder):
    """Nothing of the user's cache is read or written, and SmolLM2 is converted once."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XTUNE_CACHE", str(shared_folder / "cache"))
        yield


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    """Sums in one order whatever the machine, and no threads that wait for each other."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(autouse=True)
def ctrl_c():
    """Python's own handler in each test, whatever started the suite or an earlier test has left.

    A shell starts programs in the background with interrupts ignored, and a verb that was
    interrupted ignores further ones until its process has ended.
    """
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture(scope="session")
def inputs(shared_folder) -> Inputs:
    """A tiny model's folder and small data files, for whole runs; not to be changed."""
    return inputs_in(once(shared_folder / "inputs", write_inputs))


@pytest.fixture(scope="session")
def parrot_folder(shared_folder):
    """A checkpoint folder of a tiny model that knows `tests.parrot.LINES` by heart."""
    return once(shared_folder / "parrot", lambda folder: write_parrot(folder, LINES))
