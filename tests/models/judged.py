"""The options that make `custom_dpo_lora` train on judged answers, which pairs are read as."""

from __future__ import annotations

__all__ = ["judged_options"]


def judged_options(loss: str = "kto") -> list[str]:
    """Options of a run with a loss of unpaired answers."""
    algorithm = {"type": "UnpairedPreferenceOptimization", "loss": {"type": loss}}
    data = [f"{key}.type=UnpairedPreferenceDataset" for key in ("train_dataset", "val_dataset")]
    return [f"algorithm={algorithm!r}", *data]
