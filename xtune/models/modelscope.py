"""Models from ModelScope: 'modelscope:Shanghai_AI_Laboratory/internlm-7b'.

A checkpoint is fetched once into ModelScope's own cache and is then a folder like any other.
"""

from __future__ import annotations

from pathlib import Path

from xtune.errors import ModelError
from xtune.hub import why_not_modelscope
from xtune.names import MODELSCOPE

__all__ = ["fetched"]

_PICKLES = ["*.bin", "*.pt", "*.pth", "*.ckpt"]
_OTHER_FORMS = ["*.gguf", "*.onnx", "*.msgpack", "*.h5", "original/*"]  # never read here


def fetched(name: str, *, local_files_only: bool = False) -> Path:
    """Return the folder of a model, fetched if it is not there.

    Pickled weights are fetched only where there are no others; those are read with
    `weights_only`, which executes nothing.

    Args:
        name: 'modelscope:owner/name'.
        local_files_only: ask the cache only.

    Raises:
        ModelError: the modelscope library is missing; nothing is there, or it cannot be fetched.
    """
    try:
        from modelscope import snapshot_download
    except ImportError as error:
        raise ModelError(
            f"{name!r} needs the modelscope library: pip install '.[modelscope]' ({error})"
        ) from error
    model_id = name.removeprefix(MODELSCOPE)
    folder = Path()
    if not local_files_only and (reason := why_not_modelscope()):
        try:  # what was fetched before needs no network
            return fetched(name, local_files_only=True)
        except ModelError:
            raise ModelError(f"{name!r} cannot be fetched from ModelScope: {reason}") from None
    for ignored in (_PICKLES + _OTHER_FORMS, _OTHER_FORMS):
        try:
            found = snapshot_download(
                model_id, ignore_patterns=ignored, local_files_only=local_files_only
            )
        except Exception as error:  # what the network and a service can do is of any type
            raise ModelError(
                f"{name!r} cannot be fetched from ModelScope: {type(error).__name__}: "
                f"{' '.join(str(error).split())[:300]}. Give a local folder if there is no network"
            ) from error
        folder = Path(found)
        if any(folder.glob("*.safetensors")):
            break
    return folder
