"""The results as Markdown, to paste."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from xtune.eval.judge.results import KINDS

__all__ = ["markdown"]


def markdown(values: Mapping[str, Any]) -> str:
    """Return the tables: scores, pairs, ratings, and what is to be doubted.

    Args:
        values: of results.json.
    """
    kinds = [kind for kind in KINDS if any(kind in row["by_kind"] for row in values["scores"])]
    blocks = [_scores(values, kinds)]
    if values["pairs"]:
        blocks.append(_pairs(values))
    if values["ratings"]:
        blocks.append(_ratings(values["ratings"]["models"]))
    counts = values["verdicts"]
    lines = [
        f"Judge: {values['judge']}. {counts['in_form']} of {counts['requests']} verdicts in form"
        f" ({counts['repaired']} of them repaired)."
    ]
    if bias := values["position_bias"]:
        unit = "points" if values["ask"] == "scores" else "of all verdicts"
        lines.append(
            f"Position bias: the winner flips in {100 * bias['flipped']:.1f} % of "
            f"{bias['matches']} matches; the first place gets {bias['first_place']:+.2f} {unit}."
        )
    if percents := values["percent_of_baseline"]:
        named = ", ".join(f"{name} {share:.1f} %" for name, share in percents.items())
        lines.append(f"Score as share of {values['baseline']}'s: {named}.")
    blocks.append("\n".join(lines))
    if values["warnings"]:
        blocks.append("\n".join(f"- {' '.join(line.split())}" for line in values["warnings"]))
    return "\n\n".join(blocks)


def _scores(values: Mapping[str, Any], kinds: Sequence[str]) -> str:
    unit = " (win rate, %)" if values["ask"] == "winner" else ""
    heads = [f"model{unit}", "against", *kinds, "micro", "macro"]
    rows = [
        [
            row["model"],
            row["opponent"] or "",
            *(_mean(row["by_kind"].get(kind)) for kind in kinds),
            f"{row['micro']:.2f}",
            f"{row['macro']:.2f}",
        ]
        for row in values["scores"]
    ]
    return _table(heads, rows, texts=2)


def _pairs(values: Mapping[str, Any]) -> str:
    heads = ["model", "against", "wins", "ties", "losses", "win rate", "length_adjusted"]
    rows = [
        [
            *pair["models"],
            *(str(pair[name]) for name in ("wins", "ties", "losses")),
            _percent(pair["win_rate"]),
            _percent(pair["length_adjusted"]),
        ]
        for pair in values["pairs"]
    ]
    return _table(heads, rows, texts=2)


def _ratings(models: Sequence[Mapping[str, Any]]) -> str:
    heads = ["model", "Bradley-Terry [95 %]", "Elo, median [95 % of orders]", "win rate [95 %]"]
    rows = [
        [
            model["model"],
            "{:.0f} [{:.0f}, {:.0f}]".format(model["bradley_terry"], *model["bradley_terry_95"]),
            "{:.0f} [{:.0f}, {:.0f}]".format(model["elo"], *model["elo_95"]),
            "{} [{}, {}]".format(*map(_percent, (model["win_rate"], *model["win_rate_95"]))),
        ]
        for model in models
    ]
    return _table(heads, rows, texts=1)


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]], *, texts: int) -> str:
    """A table whose first `texts` columns are words and the others numbers."""
    rule = ["---"] * texts + ["---:"] * (len(heads) - texts)
    lines = [heads, rule, *([cell.replace("|", "\\|") for cell in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _mean(group: Mapping[str, Any] | None) -> str:
    return "" if group is None else f"{group['mean']:.2f}"


def _percent(rate: float | None) -> str:
    return "" if rate is None else f"{100 * rate:.1f} %"
