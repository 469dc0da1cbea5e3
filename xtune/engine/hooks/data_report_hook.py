"""What the data are: rows kept and dropped, tokens, how much of them is trained."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from xtune.engine.hooks.base import Hook
from xtune.registry import HOOKS

if TYPE_CHECKING:
    from xtune.engine.runner import Runner

__all__ = ["DataReportHook"]


@HOOKS.register_module()
class DataReportHook(Hook):
    """Logs the report of each data set and writes work_dir/data_report.json."""

    def after_load_data(self, runner: Runner) -> None:
        """Report, before minutes go into loading a model for the wrong data."""
        datasets = {"train": runner.train_dataset, "validation": runner.val_dataset}
        reports = {}
        for name, dataset in datasets.items():
            if dataset is None:
                continue
            reports[name] = dataset.report.to_dict()
            runner.logger.info("%s data:", name)
            for line in dataset.report.lines():
                runner.logger.info("  %s", line)
        path = runner.work_dir / "data_report.json"
        path.write_text(json.dumps(reports, indent=1) + "\n", encoding="utf-8")
