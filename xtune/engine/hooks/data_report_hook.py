"""What the data are: rows kept and dropped, tokens, how much of them is trained."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from xtune.engine.hooks.base import Hook
from xtune.registry import HOOKS

if TYPE_CHECKING:
    from xtune.engine.run import Run

__all__ = ["DataReportHook"]


@HOOKS.register_module()
class DataReportHook(Hook):
    """Logs the report of each data set and writes work_dir/data_report.json."""

    def after_load_data(self, run: Run) -> None:
        """Report, before minutes go into loading a model for the wrong data."""
        loaders = {"train": run.loader, "validation": run.val_loader}
        reports = {}
        for name, loader in loaders.items():
            if loader is None:
                continue
            reports[name] = loader.report.to_dict()
            part = " of the first window" if loader.steps_per_epoch is None else ""
            run.logger.info("%s data%s:", name, part)
            for line in loader.report.lines():
                run.logger.info("  %s", line)
        path = run.work_dir / "data_report.json"
        path.write_text(json.dumps(reports, indent=1) + "\n", encoding="utf-8")
