"""What was found, as files to look at: report.html, report.png, report.md, and results.json."""

from __future__ import annotations

import json
from pathlib import Path

from xtune.eval.comparison import Comparison
from xtune.eval.earlier import set_aside
from xtune.eval.loss_curve import LossCurve
from xtune.eval.pages.markdown import markdown
from xtune.eval.pages.page import render_page
from xtune.eval.pages.picture import draw_picture
from xtune.eval.results import Results

__all__ = ["write_comparison", "write_report"]


def write_comparison(comparison: Comparison, folder: Path) -> dict[str, Path]:
    """Write the page, the picture, the table and results.json of two measurements.

    Args:
        comparison: of which they tell.
        folder: made if it is missing.

    Returns:
        The files' paths: 'page', 'picture', 'table' and 'results'.
    """
    if (folder / "items.jsonl").exists():  # one model's own results, not a comparison's
        set_aside(folder, "a comparison is there instead")
    paths = _write(comparison.after, comparison, folder)
    paths["results"] = folder / "results.json"
    text = json.dumps(comparison.to_dict(), indent=1) + "\n"
    paths["results"].write_text(text, encoding="utf-8")
    return paths


def write_report(results: Results, folder: Path) -> dict[str, Path]:
    """Write the page, the picture and the table of one measurement; its results.json is there.

    Args:
        results: of which they tell.
        folder: made if it is missing.

    Returns:
        The files' paths: 'page', 'picture' and 'table'.
    """
    return _write(results, None, folder)


def _write(after: Results, comparison: Comparison | None, folder: Path) -> dict[str, Path]:
    folder.mkdir(parents=True, exist_ok=True)
    paths = {
        "page": folder / "report.html",
        "picture": folder / "report.png",
        "table": folder / "report.md",
    }
    before = None if comparison is None else comparison.before
    curve = LossCurve({}, {}) if comparison is None else comparison.curve
    draw_picture(paths["picture"], after, before, curve)
    page = render_page(after, comparison, paths["picture"].read_bytes())
    for name, text in (("page", page), ("table", markdown(after, comparison))):
        paths[name].write_text(text, encoding="utf-8", errors="replace")  # lone surrogates
    return paths
