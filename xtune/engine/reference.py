"""Log-probabilities of a reference, computed once over the data before a training, and kept.

    data, template, tokenizer  \
    weights of the reference    >  a hash  ->  $XTUNE_CACHE/reference/<hash>.npy  ->  ref_log_prob
    format, length, ld_alpha   /

Everything that they depend on is in the hash, the weights by every byte of their files, so that
what is found under it is never of something else. The model is placed by a strategy of its own, as
for a training, and is gone before the trained one is loaded.
"""

from __future__ import annotations

import gc
import hashlib
import json
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from xtune import __version__
from xtune.data.collate import filler
from xtune.engine.identity import vocabulary_digest, weight_files
from xtune.engine.rng import preserved_rng, seed_everything
from xtune.models.algorithms.with_reference import ReferencePass
from xtune.models.build import build_model
from xtune.parallel.progress import beat, enter
from xtune.parallel.slices import slice_of
from xtune.paths import cache_root
from xtune.registry import MODELS, STRATEGIES, build, resolve

if TYPE_CHECKING:
    from xtune.engine.run import Run
    from xtune.engine.strategies.base import Strategy

__all__ = ["attach_reference"]

_NAME = "ref_log_prob"


def attach_reference(run: Run, model: Mapping[str, Any]) -> None:
    """Give the data of a run what its reference says of them, if the sheet asks for that.

    All processes call it. No random generator is moved.

    Args:
        run: whose data and strategy are there, and whose model is not.
        model: the sheet's `model`, as it is going to be built at the beginning of the run.
    """
    if not model.get("precompute_reference"):
        return
    enter("the reference's log-probabilities", slow=True)
    with preserved_rng():
        made: _Computed | None = None
        for dataset in (run.train_dataset, run.val_dataset):
            if dataset is None:
                continue
            file = _file_of(run, model, dataset) if run.world.is_main else None
            parts: list[list[int]] = dataset.in_order(_room(run))  # type: ignore[attr-defined]
            values = run.world.from_main(_read(file, parts))
            if values is None:
                made = made or _Computed(run, model)
                values = made.values(dataset, parts)
                # The weights of a model that had to be fetched have a hash only now
                file = (file or _file_of(run, model, dataset)) if run.world.is_main else None
                _write(file, values)
            dataset.attach(_NAME, values)  # type: ignore[attr-defined]
            if run.world.is_main:
                run.logger.info(
                    "reference: log-probabilities of %d answers%s",
                    np.isfinite(values).sum(),
                    f", kept in {file}" if file else "",
                )
        if made is not None:
            made.close()


class _Computed:
    """A reference that stands ready, on all processes."""

    def __init__(self, run: Run, model: Mapping[str, Any]) -> None:
        self._run = run
        self._began = time.perf_counter()
        seed_everything(run.recipe.seed)
        self._strategy = build(STRATEGIES, run.cfg["strategy"])
        named = model.get("ref")
        llm = dict(named or model["llm"])
        if llm.get("dtype", "auto") == "auto" and not self._strategy.divides_state:
            llm["dtype"] = _weight_format(self._strategy, model)
        algorithm: Any = resolve(MODELS, model["type"])
        settings = {
            "type": ReferencePass,
            "llm": llm,
            "vocabulary": model.get("vocabulary"),
            "sums": algorithm.reference_sums(model),
            **{key: model[key] for key in ("loss_chunk_size", "fused") if key in model},
        }
        if named is None and model.get("adapter_folder"):
            settings["adapter_folder"] = model["adapter_folder"]
        self._pass: Any = build_model(
            settings,
            device=self._strategy.loads_on,
            precision=self._strategy.precision,
            as_stored=self._strategy.divides_state,
            pieces=run.pieces if "adapter_folder" not in settings else None,
            sequence=run.sequence,
        )
        self._strategy.place(self._pass)

    def values(self, dataset: Any, parts: list[list[int]]) -> np.ndarray:
        """What the reference says of each sample, fp32 [N]; NaN of those in no part."""
        run = self._run
        takers, number = run.sequence.count, run.sequence.number
        own: list[tuple[list[int], list[float]]] = []
        for first in range(0, len(parts), takers):
            beat(f"{first}/{len(parts)}")
            at = first + number
            batch = dataset.documents(parts[at if at < len(parts) else 0])
            if at >= len(parts):
                batch = filler(batch)
            batch = slice_of(batch, run.sequence).to(self._strategy.device)
            sums = self._strategy.run_apart(lambda batch=batch: self._pass.sums(batch))
            if at < len(parts) and run.sequence.rank == 0:
                own.append((parts[at], sums.cpu().tolist()))
        count = 1 + max(sample for part in parts for sample in part)
        found = np.full(count, np.nan, dtype=np.float32)
        for given in run.world.gather(own):
            for samples, sums in given:
                found[samples] = sums
        return found

    def close(self) -> None:
        """Let go of the model."""
        self._pass = None
        self._strategy.release()
        self._strategy.close()
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        self._run.logger.info(
            "the reference took %.0f s, and is in memory no more",
            time.perf_counter() - self._began,
        )


def _room(run: Run) -> int:
    """Tokens of a part: those of a pack."""
    return int(run.recipe.max_length or 2048)


def _weight_format(strategy: Strategy, model: Mapping[str, Any]) -> str:
    """The dtype of the reference's weights: that in which the training runs the same weights.

    Where all are trained and none divided they are fp32, and so is what the layers add up: held
    against a reference in bf16 a training would not begin at the loss of two equal models.
    """
    all_is_trained = model.get("adapter") is model.get("adapter_folder") is None
    whole = all_is_trained and not strategy.divides_state
    return str(torch.float32 if whole else strategy.precision.weight_dtype).removeprefix("torch.")


def _file_of(run: Run, model: Mapping[str, Any], dataset: Any) -> Path | None:
    """Where the values are kept; None while the weights are not on this disk."""
    named = model.get("ref")
    llm = named or model["llm"]
    files = weight_files(llm["pretrained_model_name_or_path"])
    if not files:
        return None
    folder = None if named else model.get("adapter_folder")
    if folder:
        files = [*files, *sorted(Path(folder).expanduser().glob("adapter_*"))]
    known = {
        "xtune": __version__,
        "data": dataset.identity,
        "template": str(run.tokenizer.chat_template),
        "vocabulary": vocabulary_digest(run.tokenizer),
        "pieces": sorted(run.pieces.items()),
        "weights": sorted(_sha256(file) for file in files),
        "model": {key: repr(value) for key, value in llm.items() if "path" not in key},
        "precision": run.strategy.precision.name,
        "weights in": _weight_format(run.strategy, model),
        "max_length": _room(run),
        "algorithm": str(model["type"]),
        "ld_alpha": model.get("ld_alpha"),
    }
    text = json.dumps(known, sort_keys=True, default=str)
    return cache_root() / "reference" / f"{hashlib.sha256(text.encode()).hexdigest()[:32]}.npy"


def _sha256(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _read(file: Path | None, parts: list[list[int]]) -> np.ndarray | None:
    """The values in a file, if they are whole."""
    if file is None or not file.is_file():
        return None
    try:
        values = np.load(file, allow_pickle=False)
        samples = [sample for part in parts for sample in part]
        whole = values.dtype == np.float32 and bool(np.isfinite(values[samples]).all())
    except (OSError, ValueError, IndexError):
        return None
    return values if whole else None


def _write(file: Path | None, values: np.ndarray) -> None:
    if file is None:
        return
    file.parent.mkdir(parents=True, exist_ok=True)
    beside = file.with_name(f".{file.stem}.{os.getpid()}.npy")
    np.save(beside, values, allow_pickle=False)
    beside.replace(file)
