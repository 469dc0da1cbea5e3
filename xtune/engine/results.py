"""What a run has left in its work_dir, as values: `Results`."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from xtune.checkpoint.folder import list_checkpoints
from xtune.data.report import DataReport
from xtune.engine.metrics_file import METRICS, read_rows
from xtune.errors import UsageError
from xtune.local_path import not_there

__all__ = ["Results", "results"]


@dataclass(frozen=True, repr=False)
class Results:
    """What a run has left, read from its work_dir when it ended.

    In a notebook a cell that ends with it shows the loss curve. It stands for its work_dir
    wherever a path may stand: `xtune.load(run)`.

    Attributes:
        work_dir: the run's folder.
        metrics: the numbers of each step, as MetricsHook writes them: `step`, `loss`, `lr`,
            `tokens_per_s` …; a DataFrame takes them as they are. Empty without that hook.
        report: what became of the rows that are trained on; printed it says so in words. None
            without DataReportHook.
        val_report: the same of the validation data; None if there are none.
        checkpoint: the folder of the newest checkpoint; None before the first.
    """

    work_dir: Path
    metrics: list[dict[str, Any]]
    report: DataReport | None
    val_report: DataReport | None
    checkpoint: Path | None

    @property
    def adapter(self) -> Path | None:
        """The folder of the trained adapter, in PEFT's format; None where a whole model is."""
        return self._part("adapter")

    @property
    def model(self) -> Path | None:
        """The folder of the trained model, in Hugging Face's format; None where an adapter is."""
        return self._part("model")

    def __fspath__(self) -> str:
        return str(self.work_dir)

    def __repr__(self) -> str:
        last = f"step {self.metrics[-1]['step']}" if self.metrics else "no steps"
        losses = [row["loss"] for row in self.metrics if row.get("loss") is not None]
        loss = f", loss {losses[0]:.4f} -> {losses[-1]:.4f}" if losses else ""
        saved = self.adapter or self.model or "nothing saved"
        return f"<Results of {self.work_dir}: {last}{loss}; {saved}>"

    def _repr_png_(self) -> bytes | None:
        """The loss curve, where the run has drawn one."""
        picture = self.work_dir / "loss_curve.png"
        return picture.read_bytes() if picture.is_file() else None

    def _part(self, name: str) -> Path | None:
        folder = None if self.checkpoint is None else self.checkpoint / name
        return folder if folder is not None and folder.is_dir() else None


def results(work_dir: str | Path) -> Results:
    """Return what a run has left: one that has ended, was interrupted, or goes on elsewhere.

        run = xtune.results('work_dirs/smollm2_135m_lora_toolcall')

    Args:
        work_dir: of the run.

    Raises:
        UsageError: it is no folder of a run.
    """
    folder = Path(work_dir).expanduser()
    if not folder.is_dir():
        raise UsageError(f"{not_there(str(work_dir))} A run's results are in work_dirs/NAME")
    if not (folder / "config.py").is_file():
        raise UsageError(
            f"{str(work_dir)!r} is not the folder of a run: it has no config.py. "
            "xtune.train writes to work_dirs/NAME unless work_dir=… says otherwise"
        )
    checkpoints = list_checkpoints(folder / "checkpoints")
    reports = _reports(folder / "data_report.json")
    return Results(
        work_dir=folder,
        metrics=read_rows(folder / METRICS),
        report=reports.get("train"),
        val_report=reports.get("validation"),
        checkpoint=checkpoints[-1][1] if checkpoints else None,
    )


def _reports(file: Path) -> dict[str, DataReport]:
    if not file.is_file():
        return {}
    written = json.loads(file.read_text(encoding="utf-8"))
    return {name: DataReport.from_dict(values) for name, values in written.items()}
