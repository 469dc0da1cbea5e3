"""The training state of a whole model, written by every process in the parts that it holds.

    parts/weights_00000.safetensors    process 0's share of each weight, flat: '{weight}'
    parts/state_00000.safetensors      and of what the optimizer keeps: '{key}/{weight}'
    parts/weights_00001.safetensors    process 1's
    …

A part is a run of a weight's numbers in the order in which they lie in memory, so that any number
of processes can put the whole together again, or take another share of it. No process ever holds
more than its own parts and one whole weight.
"""

from __future__ import annotations

import json
import math
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from xtune.errors import CheckpointError

__all__ = [
    "OptimizerParts",
    "Part",
    "keep_state",
    "parts_bytes",
    "wait_for_parts",
    "whole_weights",
    "write_parts",
]

_POLL = 0.1  # seconds
_LAST_WAIT = 30.0  # seconds for the other processes, once the run has ended with an error


@dataclass(frozen=True, slots=True)
class Part:
    """The numbers start … start + n of a weight that lies flat.

    Attributes:
        start: the first.
        shape: of the whole weight.
        weight: [n].
        state: what the optimizer keeps of them: [n], or of no dimension where it is one number for
            all of them. Empty for a frozen weight.
    """

    start: int
    shape: tuple[int, ...]
    weight: Tensor
    state: dict[str, Tensor] = field(default_factory=dict)

    def copied(self) -> Part:
        """Return a copy in the CPU's memory, which the next step does not change."""
        state = {key: value.detach().to("cpu", copy=True) for key, value in self.state.items()}
        return Part(self.start, self.shape, self.weight.detach().to("cpu", copy=True), state)


def parts_bytes(parts: Mapping[str, Part]) -> tuple[int, int]:
    """Return the bytes of the weights in `parts`, and of the optimizer's state."""
    weights = sum(part.weight.nbytes for part in parts.values())
    return weights, sum(value.nbytes for part in parts.values() for value in part.state.values())


def write_parts(folder: Path, rank: int, parts: Mapping[str, Part]) -> None:
    """Write the parts of one process; the others learn from the folder that it is done, or failed.

    Args:
        folder: exists, and is seen by all processes; the main one deletes it if it has failed.
        rank: of this process.
        parts: by name of the weight, in the CPU's memory.
    """
    where = {name: [part.start, list(part.shape)] for name, part in parts.items()}
    metadata = {"parts": json.dumps(where)}
    weights = {name: part.weight for name, part in parts.items()}
    state = {
        f"{key}/{name}": value for name, part in parts.items() for key, value in part.state.items()
    }
    try:
        save_file(weights, folder / f"weights_{rank:05d}.safetensors", metadata)
        save_file(state, folder / f"state_{rank:05d}.safetensors", metadata)
        (folder / f"{rank:05d}.done").touch()
    except BaseException:
        if folder.exists():
            (folder / f"{rank:05d}.failed").touch()
            raise


def wait_for_parts(folder: Path, processes: int, ending: threading.Event) -> None:
    """Return when every process has written its parts.

    Args:
        folder: that of `write_parts`.
        processes: how many they are.
        ending: set when the run ends with an error: the others may be gone.

    Raises:
        CheckpointError: one has failed, or is gone.
    """
    waited = 0.0
    while len(list(folder.glob("*.done"))) < processes:
        if failed := sorted(folder.glob("*.failed")):
            rank = int(failed[0].stem)
            raise CheckpointError(
                f"process {rank} could not write its part of the checkpoint: train.rank{rank}.log "
                "says why. Earlier checkpoints are untouched"
            )
        if ending.is_set():
            waited += _POLL
            if waited > _LAST_WAIT:
                raise CheckpointError("not every process has written its part of the checkpoint")
        time.sleep(_POLL)
    for marker in folder.glob("*.done"):
        marker.unlink()


def whole_weights(folder: Path, scratch: Path) -> dict[str, Tensor]:
    """Return every weight in the parts of a folder, whole.

    They lie in files below `scratch`, mapped into memory: the system keeps as much of them in
    memory as it has room for.

    Args:
        folder: that of `write_parts`.
        scratch: created; for the caller to delete when the weights are no longer used.

    Raises:
        CheckpointError: parts are missing.
    """
    scratch.mkdir()
    files = _Files(folder, "weights")
    return {
        name: files.whole(name, name, file=scratch / f"{index}.bin")
        for index, name in enumerate(files.where)
    }


def keep_state(folder: Path, final: Path) -> None:
    """Move what the optimizer keeps into `final`, which is created.

    Args:
        folder: that was read or written.
        final: where the files go.
    """
    final.mkdir()
    for file in folder.glob("state_*.safetensors"):
        file.rename(final / file.name)


class OptimizerParts(Mapping[str, dict[str, Tensor]]):
    """What the optimizer keeps of every weight, read and put together when it is asked for.

    Args:
        folder: that of `write_parts`.

    Raises:
        CheckpointError: when a weight is asked for: parts are missing.
    """

    def __init__(self, folder: Path) -> None:
        self._files = _Files(folder, "state")
        self._keys: dict[str, set[str]] = {}
        for file in self._files.opened:
            for path in file.keys():  # noqa: SIM118 - it is no dict
                key, _, name = path.partition("/")
                self._keys.setdefault(name, set()).add(key)

    def __getitem__(self, name: str) -> dict[str, Tensor]:
        return {key: self._files.whole(name, f"{key}/{name}") for key in sorted(self._keys[name])}

    def __iter__(self) -> Iterator[str]:
        return iter(self._keys)

    def __len__(self) -> int:
        return len(self._keys)


class _Files:
    """The files of one kind: where a weight's parts begin, and in which; and its shape."""

    def __init__(self, folder: Path, kind: str) -> None:
        self.folder = folder
        self.shapes: dict[str, list[int]] = {}
        self.where: dict[str, list[tuple[int, Any]]] = {}
        self.opened = [
            safe_open(path, framework="pt") for path in sorted(folder.glob(f"{kind}_*.safetensors"))
        ]
        for file in self.opened:
            for name, (start, shape) in json.loads(file.metadata()["parts"]).items():
                self.shapes[name] = shape
                self.where.setdefault(name, []).append((start, file))

    def whole(self, name: str, key: str, *, file: Path | None = None) -> Tensor:
        pieces = [(start, source.get_tensor(key)) for start, source in self.where[name]]
        first, count = pieces[0][1], math.prod(self.shapes[name])
        if first.ndim == 0:
            return first
        if sum(len(piece) for _, piece in pieces) != count:
            raise CheckpointError(
                f"{self.folder} does not hold all of {name}: a process's file is missing. Resume "
                "from another checkpoint"
            )
        if file is None:
            whole = torch.empty(count, dtype=first.dtype)
        else:
            whole = torch.from_file(str(file), shared=True, size=count, dtype=first.dtype)
        for start, piece in pieces:
            whole[start : start + len(piece)] = piece
        return whole.reshape(self.shapes[name])
