"""`RewardScorer`: a trained reward or cost model, loaded with its notes to score answers.

scorer = RewardScorer.load('work_dirs/my_reward')
scorer.score(samples)
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor

from xtune.checkpoint.meta import note_change
from xtune.errors import UsageError
from xtune.generation.locate import Located, locate, training_notes
from xtune.generation.scorer import Scorer, backbone_of, device_to_score_on, loaded_fields
from xtune.models import Backbone, load_config
from xtune.models.loading import is_reward_model
from xtune.models.quantization import quantization_of_bits
from xtune.models.scores import READINGS, Reading, read, scores_of
from xtune.models.sequence_classifier import load_classifier
from xtune.structures import Batch

__all__ = ["RewardScorer", "note_shift", "require_language_model", "shift_file"]


@dataclass(slots=True)
class RewardScorer(Scorer):
    """A reward or cost model.

    Attributes:
        backbone: of the model.
        is_cost: it gives costs: less is better, and above 0 is unsafe.
        reading: which score is a text's; see `xtune.models.scores`.
        shift: the mean score of demonstrations, which is subtracted.
    """

    backbone: Backbone
    is_cost: bool = False
    reading: Reading = "end"
    shift: float = 0.0

    @classmethod
    def load(
        cls,
        name_or_path: str,
        *,
        adapter: str | None = None,
        bits: int | None = None,
        dtype: str = "auto",
    ) -> RewardScorer:
        """Load a reward model with its notes.

        Args:
            name_or_path: a folder or hub id of `…ForSequenceClassification(num_labels=1)`, the
                work_dir or a checkpoint of a run; or the base of `adapter`.
            adapter: an adapter's folder, or the work_dir that holds it.
            bits: 4 (NF4) or 8 quantizes the layers while they are loaded.
            dtype: 'auto', 'fp32', 'bf16' or 'fp16'.

        Raises:
            UsageError: there is no such thing; it is a language model.
            ModelError, AdapterError: it cannot be loaded.
        """
        found = locate(name_or_path, adapter)
        _require_scores(found, name_or_path)
        notes = training_notes(found.trained)
        llm: Any = load_classifier(
            found.model,
            dtype=dtype,
            quantization=quantization_of_bits(bits),
            device=device_to_score_on(),
        )
        if found.adapter is not None:
            from xtune.models import load_adapter  # imports PEFT

            llm = load_adapter(llm, found.adapter)
        reward = notes.get("reward") or {}
        reading = reward.get("reading", "end")
        if reading not in READINGS:
            raise UsageError(
                f"{found.trained} says that its score is read at {reading!r}, which this version "
                f"does not know; it knows: {', '.join(READINGS)}"
            )
        return cls(
            **loaded_fields(found, name_or_path, notes, llm),
            backbone=backbone_of(llm),
            is_cost=reward.get("kind") == "cost",
            reading=cast(Reading, reading),
            shift=float(reward.get("shift") or 0.0),
        )

    @property
    def about(self) -> dict[str, Any]:
        """See `Scorer`."""
        kind = "cost" if self.is_cost else "reward"
        return {"kind": kind, "reading": self.reading, "shift": self.shift}

    @property
    def device(self) -> torch.device:
        """See `Scorer`."""
        return self.backbone.base.device

    def scores(self, batch: Batch) -> Tensor:
        """See `Scorer`; the shift is subtracted.

        Args: as `Scorer.scores`.
        """
        return read(scores_of(self.backbone, batch), batch, self.reading) - self.shift


def shift_file(model: str, adapter: str | None) -> Path:
    """Return the notes of a reward model, in which its shift stands.

    Args:
        model: as `RewardScorer.load` takes it.
        adapter: likewise.

    Raises:
        UsageError: it is on no disk of ours, or has no notes.
    """
    file = locate(model, adapter).trained / "xtune.json"
    if not file.is_file():
        raise UsageError(
            f"{model!r} has no xtune.json, in which the shift would be noted: --centre takes a "
            "reward model that xtune has trained or exported"
        )
    return file


def note_shift(file: Path, shift: float) -> None:
    """Note what is subtracted from each score from now on.

    Args:
        file: that of `shift_file`; a checkpoint that holds it stays whole.
        shift: the mean score of demonstrations.
    """
    notes = json.loads(file.read_text(encoding="utf-8"))
    notes["reward"] = {**notes.get("reward", {}), "shift": shift}
    text = json.dumps(notes, indent=1, ensure_ascii=False)
    file.write_text(text + "\n", encoding="utf-8")
    note_change(file.parent.parent, f"{file.parent.name}/{file.name}")


def require_language_model(found: Located, named: str) -> None:
    """Refuse a reward model where words are asked for; reads no weights.

    Args:
        found: model and adapter.
        named: as `xtune score` takes it: 'MODEL', or 'MODEL --adapter DIR'.

    Raises:
        UsageError: it is one; says how to score with it.
    """
    if _scores_answers(found):
        raise UsageError(
            f"{named} is a reward model: it scores answers and writes none. Score with it: "
            f"xtune score {named} DATA"
        )


def _scores_answers(found: Located) -> bool:
    if found.adapter is not None:
        from xtune.models.reward_adapters import is_reward_adapter  # imports PEFT

        return is_reward_adapter(found.adapter)
    return is_reward_model(load_config(found.model))


def _require_scores(found: Located, named: str) -> None:
    if _scores_answers(found):
        return
    raise UsageError(
        f"{named!r} is a language model: it writes answers and has no score. Train a reward model "
        "from it (xtune copy-cfg custom_reward_lora .), or, if it was trained by DPO, ask for what "
        f"that has taught it: xtune score {named} DATA --reference"
        + (" MODEL" if found.adapter is None else "")
    )
