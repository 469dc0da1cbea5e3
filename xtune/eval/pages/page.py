"""The report as one HTML page that needs no other file and no network.

Everything that comes from data or from a model is escaped. The items stand in the page as JSON,
of which page.js shows those that are looked for, a few at a time: ten thousand are no burden.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from html import escape
from importlib.resources import files
from typing import Any

from xtune.eval.comparison import Comparison, abilities_of
from xtune.eval.pages.document import card, document, image
from xtune.eval.pages.words import change, of_all_items, p_in_words, percent
from xtune.eval.radar import radar_svg
from xtune.eval.results import NEAR_TIE, ItemResult, Results, TaskResult, in_words

__all__ = ["render_page"]

_CARDS = 8  # tasks with a number of their own on top
_GROUPS = 16  # of a task, shown open


def render_page(after: Results, comparison: Comparison | None, picture: bytes | None) -> str:
    """Return the page.

    Args:
        after: what it is about.
        comparison: with what was measured before; None: nothing was.
        picture: a PNG; None: there is none.
    """
    before = None if comparison is None else comparison.before
    earlier = {} if before is None else before.tasks
    title = comparison.title if comparison else f"What {after.name} knows"
    names = list(after.tasks) if comparison is None else comparison.tasks
    said = [
        ("notice" if text in after[name].notices else "warning", f"{name}: {text}")
        for name in names
        for text in after[name].warnings
    ]
    if comparison is not None:
        said += [
            ("warning", f"{name}: {', '.join(keys)} differ between the two measurements")
            for name in names
            if (keys := comparison.differing(name))
        ]
    count = sum(len(after[name].rows) for name in names)
    compared = f"before: {escape(before.name)} · after: " if before else ""
    body = f"""<p class="soft">{compared}{escape(after.name)}</p>
<p class="soft">{escape(str(after.run.get("date", "")))} · {count:,} items</p>
<section class="heads">
{"".join(_card(after[name], earlier.get(name)) for name in names[:_CARDS])}
</section>
{"".join(f'<p class="{kind}">{escape(text)}</p>' for kind, text in said)}
{_summary(names, after, comparison)}
{"".join(_groups(after[name], earlier.get(name)) for name in names)}
{_radar(after, before)}
{_picture(picture)}
<h2>Every item</h2>
{_ITEMS}
{"".join(_settings(after[name]) for name in names)}
<script type="application/json" id="items">{_json(_items(names, after, comparison))}</script>
<script>
{files("xtune.eval.pages").joinpath("page.js").read_text(encoding="utf-8")}</script>
"""
    return document(title, body)


_ITEMS = """<form id="filters">
<select id="task" aria-label="task"></select>
<select id="group" aria-label="group"></select>
<select id="verdict" aria-label="verdict"></select>
<input id="text" type="search" placeholder="words in it" aria-label="words in it">
<span id="count" class="soft"></span>
</form>
<noscript><p class="soft">A script in this page shows the items; items.jsonl has them too.</p>
</noscript>
<div id="list"></div>
<button id="more" hidden>show more</button>
"""


def _card(after: TaskResult, before: TaskResult | None) -> str:
    whole = after.measured()
    earlier = f"<small>{_number(before)} →</small> " if before else ""
    counted = f"{before.measured()} → {whole}" if before and whole.is_share else str(whole)
    if after.lower_is_better:
        counted = f"less is better; {whole.n} item{'s' * (whole.n != 1)}"
    name = f"{_words(after.task)}: {_words(after.headline)}"
    return card(name, f"{earlier}{_number(after)}", escape(counted))


def _number(task: TaskResult) -> str:
    return percent(task.score, is_share=task.is_share)


def _summary(names: list[str], after: Results, comparison: Comparison | None) -> str:
    heads = ["task", "metric", "items", "before", "after", "change", "95 %", "p", "lost", "gained"]
    if comparison is None:
        heads = ["task", "metric", "items", "result", "± error"]
    rows = []
    for name in names:
        task = after[name]
        for metric in dict.fromkeys([*task.metrics, *task.overall]):
            cells = _metric_cells(task, metric, comparison)
            total = ' class="total"' if metric == task.headline else ""
            rows.append(f"<tr{total}>{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>")
        count = task.near_ties
        ties = f"{count} near-tie{'s' * (count > 1)} (under {NEAR_TIE:g} nats)" if count else ""
        silent = f"{task.unanswered} unanswered" if task.unanswered else ""
        if ties or silent:
            said = ", ".join(filter(None, (silent, ties)))
            rows.append(
                f'<tr><td class="soft" colspan="{len(heads)}">{_words(name)}: {said}</td></tr>'
            )
    return (
        '<h2>Results</h2><div class="wide"><table><thead><tr>'
        f"{''.join(f'<th>{head}</th>' for head in heads)}</tr></thead>"
        f"<tbody>{''.join(rows)}</tbody></table></div>"
    )


def _metric_cells(task: TaskResult, metric: str, comparison: Comparison | None) -> list[str]:
    start = [_words(task.task), _words(metric)]
    if metric not in task.metrics:
        value = of_all_items(metric, task.overall[metric])
        if comparison is None:
            return [*start, str(len(task.rows)), value, ""]
        was = comparison.before[task.task].overall.get(metric)
        return [*start, str(len(task.rows)), of_all_items(metric, was), value, *[""] * 5]
    whole = task.measured(metric)
    is_share = not task.lower_is_better and 0 <= whole.mean <= 1
    # what all items have together, where a task says so; their mean is another number
    shown = percent(task.overall.get(metric, whole.mean), is_share=is_share)
    if comparison is None:
        error = "" if whole.stderr is None else percent(whole.stderr, is_share=is_share)
        return [*start, str(whole.n), shown, error]
    pair = comparison.paired(task.task, metric)
    if pair is None:
        return [*start, str(whole.n), "–", shown, *[""] * 5]
    flips = ["", ""] if pair.lost is None else [str(pair.lost), str(pair.gained)]
    return [
        *start,
        str(pair.n),
        percent(comparison.before[task.task].overall.get(metric, pair.before), is_share=is_share),
        percent(task.overall.get(metric, pair.after), is_share=is_share),
        change(pair.difference, is_share=is_share),
        f"{change(pair.low, is_share=is_share)} … {change(pair.high, is_share=is_share)}",
        p_in_words(pair.p_value),
        *flips,
    ]


def _groups(after: TaskResult, before: TaskResult | None) -> str:
    groups = after.groups
    if len(groups) < 2:
        return ""
    rows = [_group_row(_words(group or "–"), after, before, group) for group in groups]
    rows.append(_group_row("all items (micro)", after, before, None, "total"))
    if after.macro is not None:
        was = f"<td>{percent(before.macro)}</td>" if before else ""
        rows.append(
            f'<tr class="total"><td>mean of the groups (macro)</td><td></td>{was}'
            f"<td>{percent(after.macro)}</td></tr>"
        )
    earlier = "<th>right before</th><th>right after</th>" if before else "<th>result</th>"
    table = (
        '<div class="wide"><table><thead><tr><th>group</th><th>items</th>'
        f"{earlier}</tr></thead><tbody>{''.join(rows)}</tbody></table></div>"
    )
    opened = " open" if len(groups) <= _GROUPS else ""
    return f"<details{opened}><summary>{_words(after.task)} by group</summary>{table}</details>"


def _group_row(
    name: str, after: TaskResult, before: TaskResult | None, group: str | None, kind: str = ""
) -> str:
    later = after.measured(group=group)
    cells = [str(later.n)]
    if before is not None:
        cells.append(escape(str(before.measured(group=group))))
    cells.append(escape(str(later)))
    return f'<tr class="{kind}"><td>{name}</td>{"".join(f"<td>{c}</td>" for c in cells)}</tr>'


def _radar(after: Results, before: Results | None) -> str:
    series: dict[str, Mapping[str, float]] = {}
    if before is not None:
        series["before"] = abilities_of(before)
    series["after" if before is not None else "result"] = abilities_of(after)
    drawn = radar_svg(series)
    return f'<h2>Abilities</h2><div class="radar">{drawn}</div>' if drawn else ""


def _picture(picture: bytes | None) -> str:
    if picture is None:
        return ""
    shown = image(picture, alt="Results, and what a run has of losses")
    return f"<h2>At a glance</h2>{shown}"


def _settings(task: TaskResult) -> str:
    rows = "".join(
        f"<tr><td>{escape(key)}</td><td>{escape(json.dumps(value, ensure_ascii=False))}</td></tr>"
        for key, value in task.settings.items()
    )
    return (
        f"<details><summary>{_words(task.task)}: settings, and the exact prompt of the first item"
        f'</summary><pre>{escape(task.first_prompt)}</pre><table class="settings"><tbody>{rows}'
        "</tbody></table></details>"
    )


def _items(names: list[str], after: Results, comparison: Comparison | None) -> dict[str, Any]:
    """What page.js reads: `tasks`, and `rows` of [task, group, where, question, options, expected,
    after, before], the last two [value, got, said, unanswered, near-tie].
    """
    rows = []
    for number, name in enumerate(names):
        task = after[name]
        pairs: Iterator[tuple[ItemResult | None, ItemResult]] = (
            iter(comparison.pairs(name)) if comparison else ((None, row) for row in task.rows)
        )
        for was, row in pairs:
            shown = [number, row.group, row.where or row.id, row.question, list(row.options)]
            sides = [_side(row, task), None if was is None else _side(was, task)]
            rows.append([*shown, row.expected, *sides])
    tasks = [{"name": in_words(name), "lower": after[name].lower_is_better} for name in names]
    return {"tasks": tasks, "rows": rows}


def _side(row: ItemResult, task: TaskResult) -> list[Any]:
    said = ""
    if isinstance(row.raw, list) and row.raw and "text" in row.raw[0]:
        said = row.raw[0]["text"]
    tie = row.margin is not None and row.margin < NEAR_TIE
    value = row.metrics.get(task.headline)
    return [value, row.got, "" if said == row.got else said, int(row.unanswered), int(tie)]


def _json(value: Any) -> str:
    # In a script element nothing is markup but its end, and a comment's beginning
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).replace("<", "\\u003c")


def _words(name: str) -> str:
    return escape(in_words(name))
