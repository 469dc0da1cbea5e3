"""Texts that a run was trained on, as it has tokenised them: what is calibrated on."""

from __future__ import annotations

from pathlib import Path

from xtune.errors import UsageError
from xtune.generation.locate import locate
from xtune.models import load_tokenizer

__all__ = ["rows_of_run"]

_ROWS = 128
_LONGEST = 512  # tokens of a text


def rows_of_run(run: str) -> list[list[int]]:
    """Return the first texts of a run's training data, as ids.

    Args:
        run: its work_dir, or a checkpoint within it.

    Raises:
        UsageError: it is no run's folder.
        DataError: its data are no longer there.
    """
    from xtune.config import render
    from xtune.registry import DATASETS, build

    folder = Path(run).expanduser().resolve()
    work_dir = next((p for p in (folder, *folder.parents) if (p / "config.py").is_file()), None)
    if work_dir is None:
        raise UsageError(
            f"{run!r} is no run's folder, and int4 and pruning are calibrated on the rows of one: "
            "--calibrate work_dirs/RUN"
        )
    found = locate(str(folder))
    trained = found.trained
    has_tokenizer = (trained / "tokenizer_config.json").is_file()
    tokenizer = load_tokenizer(str(trained) if has_tokenizer else found.model)
    values = render(str(work_dir / "config.py")).values
    dataset = build(DATASETS, values["train_dataset"], tokenizer=tokenizer).preview()
    rows: list[list[int]] = []
    for item in range(len(dataset)):
        for number in dataset.pack(item):
            rows.append(dataset.sample(number).input_ids.tolist()[:_LONGEST])
            if len(rows) == _ROWS:
                return rows
    return rows
