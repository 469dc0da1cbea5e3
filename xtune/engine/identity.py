"""Whether a run that goes on has the model, data and code it began with, wherever they lie now.

    what        recorded in a checkpoint's state             compared
    data        a digest of an epoch's tokens, in order      before the model is loaded
    tokenizer   a digest of its vocabulary                   before the model is loaded
    base model  a digest of blocks of its weight files       before the model is loaded
                signs of its embedding (fingerprint.py)      once it is loaded
    others      a digest of each model next to it            once it is loaded

A path says nothing: folders move, and files change under their names. A whole model that is
trained lies in the checkpoint itself.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xtune.config.recipe import Recipe
from xtune.errors import CheckpointError, ModelError
from xtune.hub import cached_config
from xtune.models import same_base
from xtune.models.gguf import resolve_alias
from xtune.models.modelscope import fetched
from xtune.names import Kind, kind_of

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

__all__ = [
    "base_digest",
    "other_digests",
    "require_same_base",
    "require_same_inputs",
    "require_same_others",
    "vocabulary_digest",
    "weight_files",
]

_BLOCKS, _BLOCK = 256, 4096  # of a weight file are read; bytes of each
# What the identity of a data set says, for people
_MEANT = {
    "code": "the code of the map_fn or of the template, or xtune's version",
    "digest": "the tokens",
    "source": "the rows",
}
# As transformers looks for them; a repository may hold the same weights in another form as well
_WEIGHTS = ("model.safetensors", "pytorch_model.bin", "*.safetensors", "*.bin", "*.pth")


def base_digest(name: str) -> str | None:
    """Return a hash over blocks of a model's weight files, whatever they are called.

    Two models that were trained apart differ in almost every block.

    Args:
        name: what `load_model` takes.

    Returns:
        None where its files are not on this disk.
    """
    try:
        files = weight_files(name)
        digests = sorted(_digest(file) for file in files)
    except (OSError, ValueError, KeyError, ModelError):
        return None
    return hashlib.sha256("\n".join(digests).encode()).hexdigest()[:32] if digests else None


def other_digests(model: Mapping[str, Any]) -> dict[str, str | None]:
    """Return the `base_digest` of each model that an algorithm is given besides `llm`, by its key.

    Args:
        model: the sheet's `model`.
    """
    others = {key: cfg for key, cfg in model.items() if key != "llm" and isinstance(cfg, Mapping)}
    names = {key: cfg.get("pretrained_model_name_or_path") for key, cfg in others.items()}
    return {key: base_digest(name) for key, name in names.items() if isinstance(name, str)}


def vocabulary_digest(tokenizer: PreTrainedTokenizerBase) -> str:
    """Return a hash over every token and its id."""
    text = json.dumps(sorted(tokenizer.get_vocab().items()))
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def require_same_inputs(
    checkpoint: Path,
    recipe: Recipe,
    tokenizer: PreTrainedTokenizerBase,
    data: Mapping[str, Any],
) -> None:
    """Refuse to go on from a checkpoint with other data, another tokenizer or another base.

    Args:
        checkpoint: a step folder.
        recipe: of the run.
        tokenizer: of the run as it is now.
        data: `identity` of its training data.

    Raises:
        CheckpointError: one of them is another; what an older checkpoint has not recorded is not
            compared.
    """
    try:
        text = (checkpoint / "state" / "state.json").read_text(encoding="utf-8")
        state = json.loads(text)
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{checkpoint} is not the state of a run: {error}") from error
    before = state["data"]
    if differing := [key for key in {**before, **data} if before.get(key) != data.get(key)]:
        changed = "; ".join(
            f"{_MEANT.get(key, key)} ({before.get(key)} then, {data.get(key)} now)"
            for key in differing
        )
        raise CheckpointError(
            f"the data are not those that {checkpoint} was trained on; other than then: {changed}. "
            "Resume with the data and the code as they were, wherever they lie now, or start in "
            "another --work-dir"
        )
    if state.get("vocabulary") not in (None, vocabulary_digest(tokenizer)):
        raise CheckpointError(
            f"the tokenizer {recipe.tokenizer!r} has other tokens "
            f"than the one that {checkpoint} was trained with. Give that one, wherever it lies "
            "now, or start in another --work-dir"
        )
    name, before = recipe.base_model, state.get("base")
    if name is not None and before is not None and (now := base_digest(name)) not in (None, before):
        raise CheckpointError(
            f"the weights of {name!r} are not those that {checkpoint} was trained on: {before} "
            f"then, {now} now. Give that model, wherever it lies now, or start in another "
            "--work-dir"
        )


def require_same_base(checkpoint: Path, fingerprint: str) -> None:
    """Refuse to go on with an adapter's checkpoint on another base than it was trained on.

    Args:
        checkpoint: a step folder.
        fingerprint: of the base that is loaded.

    Raises:
        CheckpointError: it is another.
    """
    file = checkpoint / "adapter" / "xtune.json"
    if not file.is_file():
        return
    before = json.loads(file.read_text(encoding="utf-8")).get("base_fingerprint")
    if before and not same_base(before, fingerprint):
        raise CheckpointError(
            f"the model is not the one that {checkpoint} was trained on: its architecture, "
            "embedding or head differs. Give that model, wherever it lies now, or start in another "
            "--work-dir"
        )


def require_same_others(
    checkpoint: Path, before: Mapping[str, str | None], model: Mapping[str, Any]
) -> None:
    """Refuse to go on against another reference than the one that was trained against.

    Args:
        checkpoint: a step folder.
        before: what `other_digests` gave when it was written.
        model: the sheet's `model`.

    Raises:
        CheckpointError: one of the models next to the trained one is another.
    """
    for key, now in other_digests(model).items():
        if None not in (now, then := before.get(key)) and now != then:
            raise CheckpointError(
                f"the weights of model.{key} are not those that {checkpoint} was trained with: "
                f"{then} then, {now} now. Give that model, wherever it lies now, or start in "
                "another --work-dir"
            )


def weight_files(name: str) -> list[Path]:
    """Return the files of a model's weights; none where they are not on this disk.

    Args:
        name: what `load_model` takes.
    """
    kind = kind_of(name)
    if kind in (Kind.ALIAS, Kind.GGUF):
        return [resolve_alias(name)]
    folder = Path(name).expanduser()
    if kind is Kind.MODELSCOPE:
        folder = fetched(name, local_files_only=True)
    elif not folder.is_dir():
        config = cached_config(name)
        if config is None:
            return []
        folder = config.parent
    for index in sorted(folder.glob("*.index.json")):  # model. before pytorch_model.
        if index.name.startswith(("model.", "pytorch_model.")):
            named = set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values())
            if files := [folder / name for name in named if (folder / name).is_file()]:
                return files
    found = (sorted(folder.glob(pattern)) for pattern in _WEIGHTS)
    return next((files for files in found if files), [])


def _digest(file: Path) -> str:
    size = file.stat().st_size
    whole = hashlib.sha256(f"{size}\n".encode())
    with file.open("rb") as stream:
        if size <= _BLOCKS * _BLOCK:
            whole.update(stream.read())
        else:
            for place in range(_BLOCKS):
                stream.seek((size - _BLOCK) * place // (_BLOCKS - 1))
                whole.update(stream.read(_BLOCK))
    return whole.hexdigest()
