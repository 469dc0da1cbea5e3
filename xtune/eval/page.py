"""The report as one HTML page that needs no other file and no network.

Everything that comes from data or from a model is escaped.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator
from html import escape
from importlib.resources import files

from xtune.eval.result import EvaluationRow, Report, Share

__all__ = ["render_page"]


def render_page(report: Report, picture: bytes) -> str:
    """Return the page.

    Args:
        report: what it tells.
        picture: a PNG.
    """
    css = files("xtune.eval").joinpath("page.css").read_text(encoding="utf-8")
    image = base64.b64encode(picture).decode()
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{escape(report.title)}</title>
<style>
{css}</style>
</head>
<body>
<h1>{escape(report.title)}</h1>
<p class="soft">{escape(report.model)} as it was, and with {escape(report.trained)}</p>
<p class="soft">{escape(report.date)} · {len(report.after.rows)} requests</p>
<section class="heads">
{_head("Exact calls", report.before.exact_calls, report.after.exact_calls)}
{_head("No needless call", report.before.no_needless_calls, report.after.no_needless_calls)}
</section>
<h2>By kind of request</h2>
<div class="wide">
{_table(report)}
</div>
{_checks(report)}
<h2>Right answers by kind, and the loss</h2>
<div class="wide">
<img alt="Share answered right by kind of request, before and after; loss by optimizer step"
 src="data:image/png;base64,{image}">
</div>
{"".join(_answers(report))}
</body>
</html>
"""


def _head(title: str, before: Share, after: Share) -> str:
    if not after.total:
        return ""
    return f"""<div class="head"><div>{title}</div>
<div class="number"><small>{_percent(before)} →</small> {_percent(after)}</div>
<div class="soft">{before.right} → {after.right} of {after.total}</div></div>"""


def _table(report: Report) -> str:
    rows = [
        f"<tr><td>{_words(kind)}</td>{_cells(report.before.by_kind[kind], share)}</tr>"
        for kind, share in report.after.by_kind.items()
    ]
    for name, before, after in report.totals:
        rows.append(f'<tr class="total"><td>{name}</td>{_cells(before, after)}</tr>')
    return (
        "<table><thead><tr><th>kind</th><th>requests</th><th>right before</th><th>right after</th>"
        f"</tr></thead><tbody>{''.join(rows)}</tbody></table>"
    )


def _checks(report: Report) -> str:
    names = report.after.checks
    if not names:
        return ""
    rows = []
    for kind in report.after.checked_kinds:
        pairs = [(report.before.check(n, kind), report.after.check(n, kind)) for n in names]
        cells = "".join(f"<td>{a.right} → {b.right} of {b.total}</td>" for a, b in pairs)
        rows.append(f"<tr><td>{_words(kind)}</td>{cells}</tr>")
    heads = "".join(f"<th>{escape(name)}</th>" for name in names)
    return (
        '<h2>What was right, before → after</h2><div class="wide"><table><thead><tr><th>kind</th>'
        f"{heads}</tr></thead><tbody>{''.join(rows)}</tbody></table></div><p>Needless calls: "
        f"{report.before.needless} before, {report.after.needless} after.</p>"
    )


def _words(kind: str) -> str:
    return escape(kind.replace("_", " "))


def _cells(before: Share, after: Share) -> str:
    return (
        f"<td>{after.total}</td><td>{before.right} · {_percent(before)}</td>"
        f"<td>{after.right} · {_percent(after)}</td>"
    )


def _answers(report: Report) -> Iterator[str]:
    pairs = list(zip(report.before.rows, report.after.rows, strict=True))
    for title, right in (("Wrong after training", False), ("Right after training", True)):
        chosen = [pair for pair in pairs if pair[1].right is right]
        if chosen:
            yield f"\n<h2>{title}: {len(chosen)}</h2>\n"
            yield from (_article(before, after) for before, after in chosen)


def _article(before: EvaluationRow, after: EvaluationRow) -> str:
    kind = f'<span class="soft">{escape(after.kind)}</span>'
    return f"""<article class="{_mark(after)}">
<header><strong>{escape(after.request)}</strong>{kind}</header>
<dl><dt>expected</dt><dd>{_text(after.expected)}</dd>
<dt>before</dt><dd class="{_mark(before)}">{_text(before.got)}</dd>
<dt>after</dt><dd class="{_mark(after)}">{_text(after.got)}</dd></dl>
</article>
"""


def _mark(row: EvaluationRow) -> str:
    return "right" if row.right else "wrong"


def _text(text: str) -> str:
    return escape(text.strip()) or '<span class="soft">(nothing)</span>'


def _percent(share: Share) -> str:
    return "–" if share.rate is None else f"{100 * share.rate:.0f} %"
