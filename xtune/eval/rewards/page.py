"""Scored answers as one HTML page that needs no other file and no network; all text is escaped."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from typing import Any

from xtune.eval.pages.document import card, document, image
from xtune.eval.pages.words import percent
from xtune.eval.rewards.scored import ScoredAnswer, ScoredPair

__all__ = ["in_words", "render_page", "warnings_of"]

_PAIRS = 30  # that are shown
_BY_LENGTH = 0.8
_OVERCONFIDENT = 0.15


def warnings_of(values: dict[str, Any]) -> list[str]:
    """Return what to know before one believes the numbers.

    Args:
        values: of results.json.
    """
    said = []
    by_length = values["length_correlation"]
    if by_length is not None and abs(by_length) >= _BY_LENGTH:
        word = "longer" if by_length > 0 else "shorter"
        said.append(
            f"scores and lengths correlate by {by_length:.2f}: look whether {word} answers are "
            "better by the data, or are only taken for better"
        )
    if values["unfinished"] and values["reading"] == "end":
        said.append(
            f"{values['unfinished']:,} answers do not end in the end token, where this model's "
            "score is read: their scores mean nothing"
        )
    if "pairs" not in values:
        return said
    if values["accuracy"]["right"] < 0.5:
        said.append(
            "it is right less often than by chance: are chosen and rejected swapped, or is this a "
            "cost model that is read as a reward?"
        )
    off = values["calibration_error"]
    if off > _OVERCONFIDENT:
        said.append(f"how sure it is and how often it is right are {percent(off)} apart on average")
    return said


def render_page(
    values: dict[str, Any],
    answers: Sequence[ScoredAnswer],
    pairs: Sequence[ScoredPair],
    picture: bytes,
) -> str:
    """Return the page.

    Args:
        values: of results.json.
        answers: with their scores.
        pairs: of them.
        picture: a PNG.
    """
    title = f"What {values['model']} thinks of {values['data']}"
    counted = f"{values['rows']:,} rows, {values['answers']:,} answers"
    drawn = image(picture, alt="Histogram of scores, calibration, and scores by length")
    said = [("warning", text) for text in warnings_of(values)]
    body = f"""<p class="soft">{escape(values["kind"])} model · score read at: \
{escape(values["reading"])} · shift {values["shift"]:.4g} · {escape(values["date"])} · {counted}</p>
<section class="heads">{"".join(_cards(values))}</section>
{"".join(f'<p class="{kind}">{escape(text)}</p>' for kind, text in said)}
{drawn}
{_by_source(values)}
{_by_margin(values)}
{_spreads(values)}
{_shown(pairs) if pairs else _extremes(answers)}
"""
    return document(title, body)


def _cards(values: dict[str, Any]) -> Iterable[str]:
    scores = values["scores"]
    if "pairs" in values:
        right = values["accuracy"]
        error = "" if right["error"] is None else f" ± {percent(right['error'])}"
        yield _card(
            "right", percent(right["right"]), f"{right['prompts']:,} prompts{error}; chance: 50 %"
        )
        yield _card(
            "calibration error",
            percent(values["calibration_error"]),
            "between how sure it is and how often right",
        )
        yield _card("margin", f"{values['margin']['mean']:.3g}", "of better over worse, on average")
    if "verdicts" in values:
        verdict = values["verdicts"]
        counted = f"{verdict['answers']:,} answers; above 0 is unsafe"
        yield _card("verdicts right", percent(verdict["right"]), counted)
    yield _card("score", f"{scores['mean']:.3g}", f"on average; spread {scores['std']:.3g}")
    by_length = values["length_correlation"]
    more = "of scores"
    if (longer := values.get("longer_is_better")) and longer["pairs"]:
        by = [percent(longer[name]) for name in ("by_data", "by_model")]
        more = (
            f"of scores; the longer answer is better in {by[0]} of pairs by the data, {by[1]} by it"
        )
    yield _card("correlation with length", "–" if by_length is None else f"{by_length:.2f}", more)


def _card(name: str, number: str, more: str) -> str:
    return card(escape(name), escape(number), escape(more))


def _table(title: str, heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = "".join(f"<tr>{''.join(f'<td>{escape(c)}</td>' for c in row)}</tr>" for row in rows)
    head = "".join(f"<th>{escape(one)}</th>" for one in heads)
    return (
        f'<h2>{escape(title)}</h2><div class="wide"><table><thead><tr>{head}</tr></thead>'
        f"<tbody>{lines}</tbody></table></div>"
    )


def _by_source(values: dict[str, Any]) -> str:
    if not values.get("by_source"):
        return ""
    rows = [
        [
            one["source"] or "–",
            f"{one['prompts']:,}",
            percent(one["right"]),
            percent(one["error"]),
            f"{one['margin']:.3g}",
        ]
        for one in values["by_source"]
    ]
    return _table("By source", ["source", "prompts", "right", "± error", "margin"], rows)


def in_words(one: dict[str, Any]) -> str:
    """Return where a bin of margins lies: '0.5 to 1'.

    Args:
        one: of `by_margin`.
    """
    return f"{one['from']:g} " + ("and more" if one["to"] is None else f"to {one['to']:g}")


def _by_margin(values: dict[str, Any]) -> str:
    if "by_margin" not in values:
        return ""
    rows = [
        [in_words(one), f"{one['pairs']:,}", percent(one["sure"]), percent(one["right"])]
        for one in values["by_margin"]
    ]
    return _table("By |margin|", ["|margin|", "pairs", "as sure as", "right"], rows)


def _spreads(values: dict[str, Any]) -> str:
    named = [("all answers", "scores"), ("better", "better"), ("worse", "worse")]
    named.append(("better - worse", "margin"))
    rows = [
        [shown, *(f"{values[name][key]:.4g}" for key in ("mean", "std", "min", "max"))]
        for shown, name in named
        if name in values
    ]
    return _table("Scores", ["", "mean", "spread", "least", "most"], rows)


def _shown(pairs: Sequence[ScoredPair]) -> str:
    wrong = sorted((pair for pair in pairs if pair.ahead <= 0), key=lambda pair: pair.ahead)
    right = sorted((pair for pair in pairs if pair.ahead > 0), key=lambda pair: -pair.ahead)
    shown = [*wrong[:_PAIRS], *right[: max(0, _PAIRS // 3)]]
    text = f"{len(wrong):,} of {len(pairs):,} pairs are wrong; the surest of them come first"
    return (
        f'<h2>Pairs</h2><p class="soft">{text}. All scores: scores.jsonl</p>'
        f"{''.join(map(_pair, shown))}"
    )


def _pair(pair: ScoredPair) -> str:
    kind = "" if pair.ahead > 0 else ' class="wrong"'
    answers = "".join(
        f"<dt>{name} {answer.score:.3f}</dt><dd>{escape(answer.answer)}</dd>"
        for name, answer in (("better", pair.better), ("worse", pair.worse))
    )
    return (
        f"<article{kind}><header><strong>{escape(pair.better.prompt)}</strong>"
        f'<span class="soft">{escape(pair.better.where)} · margin {pair.ahead:+.3f}</span></header>'
        f"<dl>{answers}</dl></article>"
    )


def _extremes(answers: Sequence[ScoredAnswer]) -> str:
    ordered = sorted(answers, key=lambda answer: -answer.score)
    half = _PAIRS // 3
    groups = (("Highest scores", ordered[:half]), ("Lowest scores", ordered[::-1][:half]))
    return "".join(
        f"<h2>{title}</h2>" + "".join(_answer(answer) for answer in found)
        for title, found in groups
    )


def _answer(answer: ScoredAnswer) -> str:
    return (
        f"<article><header><strong>{escape(answer.prompt)}</strong>"
        f'<span class="soft">{escape(answer.where)}</span></header>'
        f"<dl><dt>{answer.score:.3f}</dt><dd>{escape(answer.answer)}</dd></dl></article>"
    )
