"""The first twenty losses and gradient norms of nine tiny runs: are they the same after a change?

python -m dev.first_losses before.json      on the old commit
python -m dev.first_losses after.json       on the new one
cmp before.json after.json
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

import torch

from tests.runs import Inputs, metrics, sheet_of, write_inputs
from tests.tiny import write_tiny_model
from xtune.engine.runner import Runner

FULL = "custom_sft_full"
FAMILIES = {
    "gemma2": {"final_logit_softcapping": 3.0},
    "granite": {"logits_scaling": 4.0},
    "phi": {"tied": False},
}


def main(file: Path) -> None:
    """Train and write the numbers, whole."""
    torch.set_num_threads(2)
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        inputs = write_inputs(folder)
        runs = {
            "lora": (inputs.model, "custom_sft_lora", []),
            "lora bf16": (inputs.model, "custom_sft_lora", ["strategy.precision=bf16"]),
            "lora on head": (
                inputs.model,
                "custom_sft_lora",
                ["lora.target_modules=['q_proj','lm_head']"],
            ),
            "full": (inputs.model, FULL, []),
            "full bf16": (inputs.model, FULL, ["strategy.precision=bf16"]),
        }
        for family, settings in FAMILIES.items():
            model = write_tiny_model(folder / family, family, **settings)
            runs[family] = (model, "custom_sft_lora", [])
            runs[f"{family} full"] = (model, FULL, [])
        found = {}
        for name, (model, config, options) in runs.items():
            work_dir = folder / "runs" / name.replace(" ", "_")
            own = Inputs(model, inputs.data, inputs.val)
            sheet = sheet_of(own, "max_steps=20", *options, config=config)
            trained = Runner(sheet, work_dir=work_dir).train()
            if trained.interrupted:
                sys.exit(f"{name}: stopped after {trained.step} steps; nothing is written")
            rows = [row for row in metrics(work_dir) if "loss" in row]
            found[name] = [(row["loss"], row["grad_norm"]) for row in rows]
        file.write_text(json.dumps(found, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
