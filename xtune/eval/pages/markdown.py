"""A table to paste: into a model card, an issue, a paper's appendix."""

from __future__ import annotations

from xtune.eval.comparison import Comparison
from xtune.eval.pages.words import change, p_in_words, percent
from xtune.eval.results import Results

__all__ = ["markdown"]

_STATED = ("form", "shots_shown", "scoring", "system", "dtype", "quantization", "template", "rows")


def markdown(after: Results, comparison: Comparison | None = None) -> str:
    """Return the table, and below it what decides the numbers.

    Args:
        after: what it is about.
        comparison: with what was measured before; None: nothing was.
    """
    lines = []
    if comparison is None:
        lines += ["| task | metric | items | result | ± |", "|---|---|---|---|---|"]
        for name, task in after.tasks.items():
            whole, share = task.measured(), task.is_share
            error = "" if whole.stderr is None else percent(whole.stderr, is_share=share)
            shown = percent(task.score, is_share=share)
            lines.append(f"| {_cell(name)} | {task.headline} | {whole.n} | {shown} | {error} |")
    else:
        lines += [
            "| task | metric | items | before | after | change (95 %) | p | lost | gained |",
            "|---|---|---|---|---|---|---|---|---|",
        ]
        lines += [_compared(name, comparison) for name in comparison.tasks]
    lines += ["", f"Model: {_cell(after.name)}."]
    for name, task in after.tasks.items():
        stated = [f"{key} {task.settings[key]}" for key in _STATED if task.settings.get(key)]
        macro = "" if task.macro is None else f"; mean of the groups {percent(task.macro)}"
        lines.append(f"{_cell(name)}: {_cell(', '.join(stated))}{macro}.")
        lines += [f"{_cell(name)}: {_cell(warning)}." for warning in task.warnings]
    lines.append("; ".join(f"{name} {number}" for name, number in after.versions.items()) + ".")
    return "\n".join(lines) + "\n"


def _compared(name: str, comparison: Comparison) -> str:
    before, after = comparison.of(name)
    share = after.is_share
    cells = [_cell(name), after.headline]
    pair = comparison.paired(name)
    if pair is None or after.headline in after.overall:
        scores = [percent(each.score, is_share=share) for each in (before, after)]
        return f"| {' | '.join([*cells, str(len(after.rows)), *scores, '', '', '', ''])} |"
    interval = f"{change(pair.low, is_share=share)} … {change(pair.high, is_share=share)}"
    cells += [
        str(pair.n),
        percent(pair.before, is_share=share),
        percent(pair.after, is_share=share),
        f"{change(pair.difference, is_share=share)} ({interval})",
        p_in_words(pair.p_value),
        *(["", ""] if pair.lost is None else [str(pair.lost), str(pair.gained)]),
    ]
    return f"| {' | '.join(cells)} |"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
