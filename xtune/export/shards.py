"""Weights from folders that hold only shards: DeepSpeed's, and torch.distributed.checkpoint's.

xtune's own checkpoints are whole. These two formats are pickles; they are read with an unpickler
that makes the few classes in them and nothing else, so that a folder from somebody else runs no
code.
"""

from __future__ import annotations

import importlib
import io
import os
import pickle
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from xtune.errors import CheckpointError

__all__ = ["read_dcp", "read_zero", "weights_of_model"]

_REFUSED = "would run {}, which no weights need: it is not loaded. Take another copy"
_IN_ZERO = (
    "deepspeed.runtime.fp16.loss_scaler.LossScaler",
    "deepspeed.runtime.fp16.loss_scaler.DynamicLossScaler",
    "deepspeed.runtime.zero.config.ZeroStageEnum",
    "deepspeed.utils.tensor_fragment.fragment_address",
)
_METADATA = "torch.distributed.checkpoint.metadata"
_IN_DCP = {
    *((_METADATA, name) for name in ("Metadata", "MetadataIndex", "StorageMeta")),
    *((_METADATA, name) for name in ("TensorStorageMetadata", "BytesStorageMetadata")),
    *((_METADATA, name) for name in ("ChunkStorageMetadata", "TensorProperties")),
    (_METADATA, "_MEM_FORMAT_ENCODING"),
    ("torch.distributed.checkpoint.filesystem", "_StorageInfo"),
    ("torch.serialization", "_get_layout"),
    ("torch", "Size"),
    ("collections", "OrderedDict"),
    ("pathlib", "PosixPath"),
}


def read_zero(folder: Path) -> dict[str, Tensor]:
    """Return the fp32 weights in a folder that DeepSpeed's `save_checkpoint` wrote, by name.

    Args:
        folder: with the file `latest`, or one of the folders next to that.

    Raises:
        CheckpointError: it is none, or holds more than weights and what DeepSpeed keeps by them.
    """
    from deepspeed.utils.zero_to_fp32 import get_fp32_state_dict_from_zero_checkpoint

    latest = folder / "latest"
    is_step = any(folder.glob("*_optim_states.pt"))
    if not (latest.is_file() or is_step):
        raise CheckpointError(
            f"{folder} is no checkpoint of DeepSpeed: it holds neither the file 'latest' nor files "
            "named *_optim_states.pt"
        )
    root, tag = (folder.parent, folder.name) if is_step else (folder, None)
    known = [_class(name) for name in _IN_ZERO]
    try:
        with _weights_only(), torch.serialization.safe_globals(known):
            return dict(get_fp32_state_dict_from_zero_checkpoint(str(root), tag))
    except pickle.UnpicklingError as error:  # torch advises to allow it
        wanted = re.search(r"GLOBAL (\S+)", str(error))
        what = wanted[1] if wanted else "something"
        raise CheckpointError(f"{folder} {_REFUSED.format(what)}") from error
    except (OSError, ValueError, KeyError) as error:
        raise CheckpointError(f"{folder} cannot be read: {_first_line(error)}") from error


def read_dcp(folder: Path) -> dict[str, Tensor]:
    """Return the tensors in a folder that torch.distributed.checkpoint wrote, by name.

    Raises:
        CheckpointError: it is none, or holds more than tensors and where they are.
    """
    from torch.distributed import checkpoint
    from torch.distributed.checkpoint.metadata import Metadata, TensorStorageMetadata

    class Reader(checkpoint.FileSystemReader):
        def read_metadata(self, *args: Any, **kwargs: Any) -> Metadata:
            metadata = _DcpUnpickler(io.BytesIO((folder / ".metadata").read_bytes())).load()
            metadata.storage_meta.load_id = self.load_id
            return metadata

    if not (folder / ".metadata").is_file():
        raise CheckpointError(
            f"{folder} is no checkpoint of torch.distributed.checkpoint: it has no file '.metadata'"
        )
    try:
        reader = Reader(str(folder))
        found = reader.read_metadata().state_dict_metadata
        tensors = {
            name: torch.empty(entry.size, dtype=entry.properties.dtype)
            for name, entry in found.items()
            if isinstance(entry, TensorStorageMetadata)
        }
        checkpoint.load(tensors, storage_reader=reader, no_dist=True)
    except pickle.UnpicklingError as error:
        raise CheckpointError(f"{folder} {error}") from error
    except (OSError, ValueError, AttributeError) as error:
        raise CheckpointError(f"{folder} cannot be read: {_first_line(error)}") from error
    return tensors


def weights_of_model(
    found: Mapping[str, Tensor], expected: Mapping[str, Tensor]
) -> dict[str, Tensor]:
    """Return a model's weights from what a training has saved, under the model's own names.

    Trainings save their model under a prefix ('module.', 'model.llm.') and besides other things.

    Args:
        found: what was saved.
        expected: the model's parameters, for their names and shapes.

    Raises:
        CheckpointError: they are not all there, or are of another model.
    """
    if any("lora_" in name for name in found):
        raise CheckpointError(
            "these shards hold an adapter. Convert is for whole models: train with --resume, which "
            "writes the adapter, or save it with peft where it was trained"
        )
    prefix = _prefix(found, expected)
    missing = [name for name in expected if prefix + name not in found]
    if missing:
        raise CheckpointError(
            f"the shards lack {len(missing)} of the model's {len(expected)} weights, the first is "
            f"{missing[0]}; they hold {len(found)}, as {next(iter(found), 'nothing')}. Give the "
            "model that was trained as MODEL"
        )
    weights = {name: found[prefix + name] for name in expected}
    for name, weight in weights.items():
        if weight.shape != expected[name].shape:
            raise CheckpointError(
                f"{name} is {list(weight.shape)} in the shards and {list(expected[name].shape)} in "
                "the model. Give the model that was trained as MODEL"
            )
    return weights


def _prefix(found: Iterable[str], expected: Mapping[str, Tensor]) -> str:
    """What stands before the model's names; the one under which most of them are found."""
    first = next(iter(expected))
    every = set(found)
    candidates = {name.removesuffix(first) for name in every if name.endswith(first)}
    return max(
        candidates, key=lambda prefix: sum(prefix + name in every for name in expected), default=""
    )


class _DcpUnpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        is_dtype = module == "torch" and isinstance(getattr(torch, name, None), torch.dtype)
        if not (is_dtype or (module, name) in _IN_DCP):
            raise pickle.UnpicklingError(_REFUSED.format(f"{module}.{name}"))
        return super().find_class(module, name)


@contextmanager
def _weights_only() -> Iterator[None]:
    """Inside, torch.load makes tensors and known classes only, whatever its caller asks for."""
    name = "TORCH_FORCE_WEIGHTS_ONLY_LOAD"
    before = os.environ.get(name)
    os.environ[name] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ[name]
        else:
            os.environ[name] = before


def _class(path: str) -> Any:
    module, _, name = path.rpartition(".")
    return getattr(importlib.import_module(module), name)


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
