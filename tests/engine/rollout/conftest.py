"""A small GRPO run: 6 prompts, 3 an iteration, 4 answers of 6 tokens to each."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

OWN = str(Path(__file__).parent / "own_rewards.py")


@pytest.fixture
def grpo(tmp_path):
    """Options, besides those of `tests.runs.options`."""
    path = tmp_path / "prompts.jsonl"
    rows = [{"prompt": f"{n} miles" + "?" * (n % 3)} for n in range(6)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return [
        f"data_path={path}",
        "map_fn=prompt",
        "max_length=128",
        "max_new_tokens=6",
        "prompts=3",
        "answers=4",
        f"rewards=[{{'type': '{OWN}:even'}}]",
        "lora.lora_dropout=0.0",
        "max_steps=4",
        "accumulative_counts=1",
    ]
