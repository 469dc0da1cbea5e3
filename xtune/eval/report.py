"""What a run has learnt, as files: results.json, report.png and report.html."""

from __future__ import annotations

import json
from pathlib import Path

from xtune.eval.page import render_page
from xtune.eval.picture import draw_picture
from xtune.eval.result import Report

__all__ = ["write_report"]

_FORMAT_VERSION = 1


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
