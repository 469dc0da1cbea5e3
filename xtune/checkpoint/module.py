"""A module's weights in a folder of their own: `score/weights.safetensors`, under its own names.

    module = nn.Linear(2048, 1)
    read_module(Path("checkpoints/latest/score"), module)

Any program reads them that reads safetensors.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from xtune.errors import CheckpointError

__all__ = ["read_module", "write_module"]

_FILE = "weights.safetensors"


def write_module(folder: Path, weights: Mapping[str, Tensor]) -> None:
    """Write a module's `state_dict`.

    Args:
        folder: created.
        weights: on the CPU.
    """
    folder.mkdir(parents=True)
    seen: set[int] = set()
    own: dict[str, Tensor] = {}
    for name, tensor in weights.items():  # two names of one tensor are written as two
        storage = tensor.untyped_storage().data_ptr()
        own[name] = tensor.clone() if storage in seen else tensor.contiguous()
        seen.add(storage)
    save_file(own, folder / _FILE, metadata={"format": "pt"})


def read_module(folder: Path, module: nn.Module) -> None:
    """Give a module the weights that `write_module` wrote.

    Args:
        folder: that of `write_module`.
        module: all of its weights are in the file, and no others.

    Raises:
        CheckpointError: the file cannot be read, or is another module's.
    """
    file = folder / _FILE
    try:
        module.load_state_dict(load_file(file))
    except (OSError, SafetensorError) as error:
        raise CheckpointError(f"{file} cannot be read: {error}") from error
    except RuntimeError as error:  # torch names each weight that is missing, left over, misshapen
        raise CheckpointError(
            f"{file} has not the weights of this {type(module).__name__}: {error}. Take the config "
            "that wrote it (work_dir/config.py)"
        ) from error
