"""The verdicts as one HTML page that needs no other file and no network.

Everything that comes from data or from a judge is escaped. Both orders of a pair stand side by
side; the buttons show matches of one outcome only.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from html import escape
from typing import Any

from xtune.eval.judge.matches import Match
from xtune.eval.judge.results import KINDS, Judged, Tally
from xtune.eval.pages.document import card, document

__all__ = ["render_page"]

_SCRIPT = """
for (const button of document.querySelectorAll("button[data-show]")) {
  button.onclick = () => {
    for (const other of document.querySelectorAll("button[data-show]"))
      other.setAttribute("aria-pressed", other === button);
    for (const item of document.querySelectorAll("article"))
      item.hidden = !(" " + item.dataset.is + " ").includes(" " + button.dataset.show + " ");
  };
}
"""
_LABELS = {
    "all": "all",
    "first": "first model wins",
    "second": "second model wins",
    "tie": "ties",
    "flipped": "winner flips with the order",
    "invalid": "no verdict",
    "repaired": "repaired",
    "imitating": "answer looks like a verdict",
}


def render_page(tally: Tally, title: str, date: str) -> str:
    """Return the page.

    Args:
        tally: what it tells.
        title: of the page.
        date: for people.
    """
    values = tally.values
    warnings = "".join(f"<li>{escape(line)}</li>" for line in values["warnings"])
    body = f"""<p class="soft">judged by {escape(values["judge"])} · {escape(date)} ·
{values["verdicts"]["in_form"]} of {values["verdicts"]["requests"]} verdicts in form</p>
{_ratings(values)}
<h2>{"Win rate, %" if values["ask"] == "winner" else "Mean scores, 1 to 10"}</h2>
<div class="wide">{_scores(values)}</div>
{_pairs(values)}
{f'<h2>Before you believe it</h2><ul class="warnings">{warnings}</ul>' if warnings else ""}
<h2>Every verdict</h2>
{"".join(_verdicts(tally))}
<script>{_SCRIPT}</script>
"""
    return document(title, body, further_styles="xtune.eval.judge")


def _ratings(values: Mapping[str, Any]) -> str:
    heads = []
    for model in (values["ratings"] or {}).get("models", ()):
        low, high = model["bradley_terry_95"]
        more = (
            f"Bradley-Terry, 95 %: {low:.0f} to {high:.0f}<br>"
            f"Elo {model['elo']:.0f} ({model['elo_95'][0]:.0f} to {model['elo_95'][1]:.0f})<br>"
            f"win rate {100 * model['win_rate']:.1f} % of {model['matches']}"
        )
        heads.append(card(escape(model["model"]), f"{model['bradley_terry']:.0f}", more))
    if bias := values["position_bias"]:
        unit = "points" if values["ask"] == "scores" else "of all verdicts"
        more = f"the first place gets {bias['first_place']:+.2f} {unit}"
        heads.append(card("Winner flips with the order", f"{100 * bias['flipped']:.0f} %", more))
    return f'<section class="heads">{"".join(heads)}</section>' if heads else ""


def _scores(values: Mapping[str, Any]) -> str:
    kinds = [kind for kind in KINDS if any(kind in row["by_kind"] for row in values["scores"])]
    names = list(dict.fromkeys(name for row in values["scores"] for name in row["by_category"]))
    others = [name for name in names if name not in kinds] if len(names) > 1 else []
    body = ""
    for row in values["scores"]:
        against = (
            f' <span class="soft">against {escape(row["opponent"])}</span>'
            if row["opponent"]
            else ""
        )
        cells = [row["by_kind"].get(kind) for kind in kinds]
        cells += [row["by_category"].get(name) for name in others]
        body += (
            f"<tr><td>{escape(row['model'])}{against}</td>"
            f"<td>{row['micro']:.2f}</td><td>{row['macro']:.2f}</td>"
            + "".join(f"<td>{_cell(cell)}</td>" for cell in cells)
            + "</tr>"
        )
    heads = "".join(f"<th>{escape(n)}</th>" for n in ["model", "micro", "macro", *kinds, *others])
    return f"<table><thead><tr>{heads}</tr></thead><tbody>{body}</tbody></table>"


def _cell(group: Mapping[str, Any] | None) -> str:
    if group is None:
        return ""
    return f'{group["mean"]:.2f} <span class="soft">({group["count"]})</span>'


def _pairs(values: Mapping[str, Any]) -> str:
    rows = [
        f"<tr><td>{escape(pair['models'][0])} against {escape(pair['models'][1])}</td>"
        f"<td>{pair['wins']}</td><td>{pair['ties']}</td><td>{pair['losses']}</td>"
        f"<td>{100 * pair['win_rate']:.1f} %</td><td>{100 * pair['length_adjusted']:.1f} %</td>"
        f"<td>{pair['longer']:+.0f}</td></tr>"
        for pair in values["pairs"]
        if pair["matches"]
    ]
    if not rows:
        return ""
    heads = ("pair", "wins", "ties", "losses", "win rate", "at equal length", "longer by")
    return (
        f"<h2>Pairs</h2><div class='wide'><table><thead><tr>"
        f"{''.join(f'<th>{head}</th>' for head in heads)}</tr></thead>"
        f"<tbody>{''.join(rows)}</tbody></table></div>"
    )


def _verdicts(tally: Tally) -> Iterator[str]:
    matches = {(match.models, match.question): match for match in tally.matches}
    step = 1 if tally.values["ask"] == "rating" else 2
    made = []
    for at in range(0, len(tally.rows), step):
        rows = tally.rows[at : at + step]
        request = rows[0].request
        match = matches.get((request.shown, request.question)) if step == 2 else None  # type: ignore[arg-type]
        made.append((_marks(rows, match), rows, match))
    there = [name for name in _LABELS if name == "all" or any(name in m for m, _, _ in made)]
    yield (
        '<p class="filters">'
        + "".join(
            f'<button data-show="{name}" aria-pressed="{str(name == "all").lower()}">'
            f"{_LABELS[name]} ({sum(name in marks for marks, _, _ in made)})</button>"
            for name in there
        )
        + "</p>"
    )
    yield from (_article(*each) for each in made)


def _marks(rows: Sequence[Judged], match: Match | None) -> list[str]:
    marks = ["all"]
    if match is not None:
        marks.append({1.0: "first", 0.0: "second", 0.5: "tie"}[match.outcome])
        marks += ["flipped"] if match.flipped else []
    marks += ["invalid"] if any(row.verdict is None for row in rows) else []
    marks += ["repaired"] if any(row.verdict and row.verdict.repaired for row in rows) else []
    marks += ["imitating"] if any(row.request.imitating for row in rows) else []
    return marks


def _article(marks: Sequence[str], rows: Sequence[Judged], match: Match | None) -> str:
    request = rows[0].request
    answers = "".join(
        f"<div><h3>{escape(name)}{_flag(name, request.imitating)}</h3>"
        f'<div class="text">{_text(item.answer)}</div></div>'
        for name, item in zip(request.shown, request.items, strict=True)
    )
    said = "".join(_said(row) for row in rows)
    reference = request.items[0].reference
    right = (
        f'<div class="reference"><h3>reference</h3><div class="text">{_text(reference)}</div></div>'
        if reference
        else ""
    )
    bad = "invalid" in marks or "flipped" in marks
    return f"""<article class="{"wrong" if bad else "right"}" data-is="{" ".join(marks)}">
<header><strong>{escape(request.items[0].question)}</strong>
<span class="soft">{escape(request.category)} · {escape(_result(rows, match))}</span></header>
<div class="sides">{answers}</div>{right}
<div class="sides">{said}</div>
</article>
"""


def _flag(name: str, imitating: Sequence[str]) -> str:
    return ' <span class="flag">looks like a verdict</span>' if name in imitating else ""


def _result(rows: Sequence[Judged], match: Match | None) -> str:
    if match is None:
        verdict = rows[0].verdict
        if len(rows) == 1 and verdict is not None:
            return f"{verdict.scores[0]:g}"
        return "left out"
    won = {1.0: f"{match.models[0]} wins", 0.0: f"{match.models[1]} wins", 0.5: "tie"}
    scores = f", {match.scores[0]:g} to {match.scores[1]:g}" if match.scores else ""
    return won[match.outcome] + scores + (", flips with the order" if match.flipped else "")


def _said(row: Judged) -> str:
    order = " before ".join(row.request.shown) if len(row.request.shown) > 1 else "verdict"
    verdict = row.verdict
    if verdict is None:
        short = "no verdict in form" if row.attempts else "no answer"
    elif verdict.scores:
        short = " and ".join(f"{score:g}" for score in verdict.scores)
    else:
        short = {1.0: "the first", 0.0: "the second", 0.5: "neither"}[verdict.preference]
    if verdict is not None and verdict.repaired:
        short += " (repaired)"
    texts = "".join(f'<div class="text">{_text(each["raw"])}</div>' for each in row.attempts)
    return (
        f"<div><h3>{escape(order)}: {escape(short)}</h3>"
        f'<p class="soft">prompt {escape(row.request.prompt.id)}, {len(row.attempts)} '
        f"attempt{'' if len(row.attempts) == 1 else 's'}</p>{texts}</div>"
    )


def _text(text: str) -> str:
    return escape(text.strip()) or '<span class="soft">(nothing)</span>'
