"""Judged answers for tests, made of pairs: the better one is good, the other one bad."""

from __future__ import annotations

from pathlib import Path

from xtune.data.preferences import PreferenceDataset

__all__ = ["JudgedAnswers", "judged_options"]


class JudgedAnswers(PreferenceDataset):
    """The answers of pairs as answers for themselves; both of a pair are in one item."""

    makes = "unpaired"

    def __init__(self, **settings):
        self.makes = "pairs"  # of the rows that are read
        super().__init__(**settings)
        del self.makes

    def documents(self, samples):
        batch = super().documents(samples)
        batch.per_document["desirable"] = 1 - batch.per_document.pop("side")
        return batch


def judged_options(loss: str = "kto") -> list[str]:
    """The options that make `custom_dpo_lora` train on such, with KTO."""
    algorithm = {"type": "UnpairedPreferenceOptimization", "loss": {"type": loss}}
    named = f"{Path(__file__).resolve()}:{JudgedAnswers.__name__}"
    data = [f"{key}.type={named}" for key in ("train_dataset", "val_dataset")]
    return [f"algorithm={algorithm!r}", *data]
