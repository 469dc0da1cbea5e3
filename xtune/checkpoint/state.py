"""A nested dict of tensors and plain values, written as safetensors and JSON.

    state/tensors.safetensors    every tensor, once, named by its path: 'rng/torch'
    state/state.json             the dict itself, with {"$tensor": path} in a tensor's place

Nothing is pickled, so loading a checkpoint from somebody else runs no code.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from safetensors.torch import load_file, save_file
from torch import Tensor

from xtune.errors import CheckpointError

__all__ = ["as_json", "load_state", "recorded_day", "save_state", "snapshot", "state_bytes"]

_TENSOR = "$tensor"


def save_state(folder: Path, state: dict[str, Any]) -> None:
    """Write `state` into `folder`, which is created.

    Args:
        folder: where state.json and tensors.safetensors go.
        state: dicts with string keys, lists, tensors, and what JSON holds. Tuples become lists.
    """
    folder.mkdir(parents=True)
    paths: dict[Any, str] = {}
    tensors = {}
    for path, tensor in _tensors(state):
        if paths.setdefault(_identity(tensor), path) == path:
            tensors[path] = tensor.detach().cpu().contiguous()
    save_file(tensors, folder / "tensors.safetensors")
    text = json.dumps(_without_tensors(state, paths), indent=1)
    (folder / "state.json").write_text(text + "\n", encoding="utf-8")


def as_json(state: dict[str, Any]) -> str:
    """Return the text of state.json, as if no tensor stood in two places.

    Args:
        state: as for `save_state`.

    Raises:
        TypeError, ValueError: it holds what can be in no checkpoint.
    """
    paths = {_identity(tensor): path for path, tensor in _tensors(state)}
    return json.dumps(_without_tensors(state, paths), indent=1)


def load_state(folder: Path) -> dict[str, Any]:
    """Return what `save_state` wrote, with its tensors on the CPU."""
    try:
        tensors = load_file(folder / "tensors.safetensors")
        return _with_tensors(json.loads((folder / "state.json").read_text("utf-8")), tensors)
    except (OSError, ValueError, KeyError) as error:
        raise CheckpointError(f"{folder} is not the state of a run: {error}") from error


def recorded_day(folder: Path) -> str | None:
    """Return the day, '2026-11-30', on which the run of a state began; None where it is not said.

    Args:
        folder: as for `load_state`.
    """
    try:
        day = json.loads((folder / "state.json").read_text("utf-8")).get("day")
    except (OSError, ValueError, AttributeError):
        return None  # `load_state` says what is wrong
    return day if isinstance(day, str) else None


def state_bytes(state: Any) -> int:
    """How many bytes the tensors in `state` take."""
    return sum(tensor.nbytes for _, tensor in _tensors(state))


def snapshot(state: Any) -> Any:
    """Copy a state to the CPU, so that what goes on does not change it; a tensor once."""
    return _copied(state, {})


def _copied(node: Any, copies: dict[Any, Tensor]) -> Any:
    if isinstance(node, Tensor):
        return copies.setdefault(_identity(node), node.detach().to("cpu", copy=True))
    if isinstance(node, dict):
        return {key: _copied(value, copies) for key, value in node.items()}
    if isinstance(node, list | tuple):
        return [_copied(value, copies) for value in node]
    return node


def _tensors(node: Any, path: str = "") -> Iterator[tuple[str, Tensor]]:
    if isinstance(node, Tensor):
        yield path, node
    elif isinstance(node, dict | list | tuple):
        for key, value in node.items() if isinstance(node, dict) else enumerate(node):
            yield from _tensors(value, f"{path}/{key}" if path else str(key))


def _identity(tensor: Tensor) -> tuple[Any, ...]:
    """Equal for tensors that are one: an 8-bit optimizer has one table for all parameters."""
    return (tensor.device, tensor.data_ptr(), tensor.dtype, tensor.shape, tensor.stride())


def _without_tensors(node: Any, paths: dict[Any, str]) -> Any:
    if isinstance(node, Tensor):
        return {_TENSOR: paths[_identity(node)]}
    if isinstance(node, dict):
        if wrong := [key for key in node if not isinstance(key, str)]:
            raise TypeError(f"a state's keys are strings, not {wrong[0]!r}")
        return {key: _without_tensors(value, paths) for key, value in node.items()}
    if isinstance(node, list | tuple):
        return [_without_tensors(value, paths) for value in node]
    return node


def _with_tensors(node: Any, tensors: dict[str, Tensor]) -> Any:
    if isinstance(node, dict):
        if set(node) == {_TENSOR}:
            return tensors[node[_TENSOR]]
        return {key: _with_tensors(value, tensors) for key, value in node.items()}
    if isinstance(node, list):
        return [_with_tensors(value, tensors) for value in node]
    return node
