"""What a run has learnt, as files: results.json, report.png and report.html."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from xtune.eval.loss_curve import LossCurve
from xtune.eval.page import render_page
from xtune.eval.picture import draw_picture
from xtune.eval.result import EvaluationResult, Share

__all__ = ["Report", "write_report"]

_FORMAT_VERSION = 1


@dataclass(frozen=True, slots=True)
class Report:
    """The same requests before and after training.

    Attributes:
        title: of the page.
        model: the model that was trained.
        trained: the adapter or model folder that the training made.
        date: when this was measured.
        before: of the untouched model.
        after: with what was trained.
        curve: the run's losses.
    """

    title: str
    model: str
    trained: str
    date: str
    before: EvaluationResult
    after: EvaluationResult
    curve: LossCurve

    @property
    def totals(self) -> list[tuple[str, Share, Share]]:
        """Name, before and after of each rate over all kinds; those that count no row left out."""
        both = [
            ("exact calls", self.before.exact_calls, self.after.exact_calls),
            ("no needless call", self.before.no_needless_calls, self.after.no_needless_calls),
        ]
        return [each for each in both if each[2].total]


def write_report(report: Report, folder: Path) -> dict[str, Path]:
    """Write all three files.

    Args:
        report: what they tell.
        folder: created if it is missing.

    Returns:
        The files' paths: 'page', 'picture' and 'results'.
    """
    folder.mkdir(parents=True, exist_ok=True)
    paths = {
        "page": folder / "report.html",
        "picture": folder / "report.png",
        "results": folder / "results.json",
    }
    draw_picture(paths["picture"], report.before, report.after, report.curve)
    page = render_page(report, paths["picture"].read_bytes())
    paths["page"].write_text(page, encoding="utf-8", errors="replace")  # lone surrogates
    results = {
        "format_version": _FORMAT_VERSION,
        "model": report.model,
        "trained": report.trained,
        "date": report.date,
        "before": report.before.to_dict(),
        "after": report.after.to_dict(),
    }
    paths["results"].write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    return paths
