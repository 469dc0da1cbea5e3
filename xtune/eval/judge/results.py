"""All that the verdicts say: means, wins, ratings, what was left out, what is to be doubted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from xtune.errors import UsageError, did_you_mean
from xtune.eval.judge.answers import AnswerSet
from xtune.eval.judge.base import Judge
from xtune.eval.judge.bradley_terry import bradley_terry
from xtune.eval.judge.elo import ORDERS, K, shuffled_elo
from xtune.eval.judge.forms import Verdict
from xtune.eval.judge.islands import islands
from xtune.eval.judge.length_adjusted import FAR, length_adjusted
from xtune.eval.judge.matches import (
    Match,
    matches_of_pairs,
    matches_of_ratings,
    micro_macro,
    position_bias,
)
from xtune.eval.judge.requests import Plan, Request
from xtune.eval.judge.resampling import ROUNDS, resampled
from xtune.eval.judge.verdict_store import VerdictStore

__all__ = ["KINDS", "Judged", "Tally", "judged", "require_baseline"]

KINDS = ("general", "math", "coding")
_FLIPPED = 0.25  # share of matches from which the judge's own bias is worth a warning
_NAMED = 5  # questions in a warning; results.json has them all


@dataclass(frozen=True, slots=True)
class Judged:
    """One request with what came of it.

    Attributes:
        request: what was asked.
        attempts: the store's lines.
        verdict: the first in form, or None.
    """

    request: Request
    attempts: list[dict[str, Any]]
    verdict: Verdict | None


@dataclass(slots=True)
class Tally:
    """Everything that is found, ready to be written and shown.

    Attributes:
        rows: of each request, in the plan's order.
        matches: of each pair and question.
        values: what results.json holds.
    """

    rows: list[Judged]
    matches: list[Match]
    values: dict[str, Any] = field(default_factory=dict)

    @property
    def warnings(self) -> list[str]:
        """What a reader should know before believing the numbers."""
        return self.values["warnings"]


def require_baseline(baseline: str | None, sets: Sequence[AnswerSet]) -> None:
    """Refuse a baseline that is none of the models.

    Args:
        baseline: a model's name, or None.
        sets: the files of answers.

    Raises:
        UsageError: it is none of them, or there is nothing to compare.
    """
    names = [each.name for each in sets]
    if baseline is not None and (baseline not in names or len(names) < 2):
        raise UsageError(
            f"--baseline {baseline!r} is not one of the models{did_you_mean(baseline, names)}; "
            f"there are {', '.join(names)}, and it takes two or more"
        )


def judged(
    plan: Plan,
    sets: Sequence[AnswerSet],
    judge: Judge,
    store: VerdictStore,
    *,
    baseline: str | None = None,
) -> Tally:
    """Return what the verdicts that there are say.

    Args:
        plan: what was to be asked.
        sets: the files of answers.
        judge: who was asked.
        store: what it said.
        baseline: the model of whose score the others' are given in per cent.
    """
    rows = []
    for request in plan.requests:
        key = request.key(judge.identity)
        verdict = store.verdict(key, request.prompt.form)
        rows.append(Judged(request, store.attempts(key), verdict))
    alone = bool(rows) and len(rows[0].request.shown) == 1
    incomplete = 0
    if alone:
        ratings = {
            (row.request.shown[0], row.request.question): (row.request, row.verdict)
            for row in rows
            if row.verdict is not None
        }
        matches = matches_of_ratings(plan, ratings)
    else:
        matches, incomplete = matches_of_pairs(plan.requests, [row.verdict for row in rows])
    tally = Tally(rows, matches)
    bias = None if alone else position_bias(matches)
    names = [each.name for each in sets]
    pairs = [_pair(pair, matches) for pair in plan.pairs]
    tally.values = {
        "judge": judge.name,
        "ask": rows[0].request.prompt.judgement if rows else "",
        "answers": [
            {
                "model": each.name,
                "file": each.path,
                "hash": each.fingerprint,
                "rows": len(each.items),
                "empty": sum(not item.answers[-1].strip() for item in each.items.values()),
                "unusable": each.unusable,
                "unread": dict(each.unread),
            }
            for each in sets
        ],
        "prompts": _prompts(rows),
        "verdicts": _counts(rows, incomplete),
        "partial_of": plan.partial,
        "mismatched": [
            {"models": list(pair), "questions": left} for pair, left in plan.mismatched.items()
        ],
        "scores": _alone(names, rows) if alone else _by_opponent(matches),
        "pairs": pairs,
        "ratings": _ratings(names, matches),
        "position_bias": None if bias is None else asdict(bias),
        "percent_of_baseline": _percents(baseline, matches),
        "baseline": baseline,
    }
    tally.values["warnings"] = _warnings(tally, sets, judge)
    return tally


def _prompts(rows: Sequence[Judged]) -> list[dict[str, Any]]:
    used = Counter(row.request.prompt for row in rows)
    return [
        {
            "prompt_id": prompt.id,
            "hash": prompt.hash,
            "category": prompt.category,
            "output_format": prompt.form,
            "requests": count,
        }
        for prompt, count in used.items()
    ]


def _counts(rows: Sequence[Judged], incomplete: int) -> dict[str, int]:
    in_form = [row.verdict for row in rows if row.verdict is not None]
    return {
        "requests": len(rows),
        "in_form": len(in_form),
        "repaired": sum(verdict.repaired for verdict in in_form),
        "retried": sum(len(row.attempts) > 1 for row in rows),
        "invalid": sum(row.verdict is None and bool(row.attempts) for row in rows),
        "unanswered": sum(not row.attempts for row in rows),
        "matches_left_out": incomplete,
        "imitating_answers": len(
            {(name, row.request.question) for row in rows for name in row.request.imitating}
        ),
    }


def _means(values: Sequence[tuple[str, str, float]]) -> dict[str, Any]:
    """Means of (kind, category, value): by kind, by category, micro and macro over kinds."""
    by_kind = {
        kind: _mean([v for k, _, v in values if k == kind])
        for kind in KINDS
        if any(k == kind for k, _, _ in values)
    }
    categories = dict.fromkeys(category for _, category, _ in values)
    micro, macro = micro_macro((each["mean"], each["count"]) for each in by_kind.values())
    return {
        "by_kind": by_kind,
        "by_category": {name: _mean([v for _, c, v in values if c == name]) for name in categories},
        "micro": micro,
        "macro": macro,
    }


def _mean(values: Sequence[float]) -> dict[str, Any]:
    return {"mean": sum(values) / len(values), "count": len(values)}


def _alone(names: Sequence[str], rows: Sequence[Judged]) -> list[dict[str, Any]]:
    found = []
    for name in names:
        values = [
            (row.request.kind, row.request.category, row.verdict.scores[0])
            for row in rows
            if row.verdict is not None and row.request.shown[0] == name
        ]
        if values:
            found.append({"model": name, "opponent": None, **_means(values)})
    return found


def _by_opponent(matches: Sequence[Match]) -> list[dict[str, Any]]:
    """Each model's mean score against each opponent; without scores its win rate in per cent."""
    found = []
    for pair in dict.fromkeys(match.models for match in matches):
        for place, name in enumerate(pair):
            values = [
                (match.kind, match.category, _value(match, place))
                for match in matches
                if match.models == pair
            ]
            found.append({"model": name, "opponent": pair[1 - place], **_means(values)})
    return found


def _value(match: Match, place: int) -> float:
    if match.scores:
        return match.scores[place]
    return 100 * (1 - match.outcome if place else match.outcome)


def _pair(pair: tuple[str, str], matches: Sequence[Match]) -> dict[str, Any]:
    own = [match for match in matches if match.models == pair]
    outcomes = [match.outcome for match in own]
    return {
        "models": list(pair),
        "matches": len(own),
        "wins": outcomes.count(1.0),
        "ties": outcomes.count(0.5),
        "losses": outcomes.count(0.0),
        "win_rate": sum(outcomes) / len(own) if own else None,
        "length_adjusted": (
            length_adjusted(outcomes, [match.longer for match in own]) if own else None
        ),
        "longer": sum(match.longer for match in own) / len(own) if own else None,
    }


def _ratings(names: Sequence[str], matches: Sequence[Match]) -> dict[str, Any] | None:
    """Elo, Bradley-Terry and win rate of each model; None where they do not all connect."""
    groups = islands(names, dict.fromkeys(match.models for match in matches))
    if len(names) < 2 or len(groups) > 1:
        return None
    terry, elo = bradley_terry(matches), shuffled_elo(matches)
    rating_of, rate_of = resampled(matches)
    played: Counter[str] = Counter()
    won = dict.fromkeys(names, 0.0)
    for match in matches:
        played.update(match.models)
        won[match.models[0]] += match.outcome
        won[match.models[1]] += 1 - match.outcome
    ranked = sorted(names, key=lambda name: -terry[name])
    return {
        "elo": {"k": K, "orders": ORDERS},
        "bootstrap": {"rounds": ROUNDS, "drawn": "questions"},
        "models": [
            {
                "model": name,
                "matches": played[name],
                "bradley_terry": terry[name],
                "bradley_terry_95": list(rating_of[name]),
                "elo": elo[name][0],
                "elo_95": list(elo[name][1:]),
                "win_rate": won[name] / played[name],
                "win_rate_95": list(rate_of[name]),
            }
            for name in ranked
        ],
    }


def _percents(baseline: str | None, matches: Sequence[Match]) -> dict[str, float]:
    """Sum of own scores as per cent of the sum of the baseline's, over their matches."""
    sums: dict[str, list[float]] = {}
    for match in matches:
        if baseline in match.models and match.scores:
            place = match.models.index(baseline)
            own, base = match.scores[1 - place], match.scores[place]
            both = sums.setdefault(match.models[1 - place], [0.0, 0.0])
            both[0] += own
            both[1] += base
    return {name: 100 * own / base for name, (own, base) in sums.items()}


def _warnings(tally: Tally, sets: Sequence[AnswerSet], judge: Judge) -> list[str]:
    values = tally.values
    said = []
    for each, told in zip(sets, values["answers"], strict=True):
        said += _listed(f"{each.path}: {len(each.unusable)} rows cannot be used", each.unusable)
        if told["empty"]:
            said.append(f"{each.path}: {told['empty']} answers are empty")
    for pair in values["mismatched"]:
        one, other = pair["models"]
        left = pair["questions"]
        said += _listed(f"{one} and {other} do not share {len(left)} questions", left)
    counts = values["verdicts"]
    for name, text in (
        ("invalid", "requests had no verdict in form in 4 attempts and are left out"),
        ("unanswered", "requests have no answer and are left out"),
        ("matches_left_out", "matches miss the verdict of one order or both and are left out"),
        ("imitating_answers", "answers contain what a verdict looks like; look at them"),
    ):
        if counts[name]:
            said.append(f"{counts[name]} {text}")
    if values["partial_of"]:
        said.append(f"partial: --rows took evenly spaced questions of {values['partial_of']}")
    bias = values["position_bias"]
    if bias and bias["flipped"] >= _FLIPPED:
        said.append(
            f"the winner changes with the order of the answers in {100 * bias['flipped']:.0f} % of "
            "the matches; where models are close it may be all that parts them"
        )
    for pair in values["pairs"]:
        if pair["matches"] and abs(pair["win_rate"] - pair["length_adjusted"]) > FAR:
            said.append(
                f"{pair['models'][0]} against {pair['models'][1]}: win rate "
                f"{100 * pair['win_rate']:.1f} %, at equal length "
                f"{100 * pair['length_adjusted']:.1f} %: the judge may reward length"
            )
    if len(sets) > 1 and values["ratings"] is None:
        groups = islands([each.name for each in sets], [match.models for match in tally.matches])
        named = " | ".join(", ".join(group) for group in groups)
        said.append(f"no ratings: left-out verdicts part the models into islands: {named}")
    said += [
        f"{each.name} is judged by itself, and judges favour their own answers"
        for each in sets
        if each.name.lower() in judge.name.lower().replace("/", " ").split()
    ]
    return said


def _listed(what: str, which: Sequence[str]) -> list[str]:
    if not which:
        return []
    more = f"; {len(which) - _NAMED} more in results.json" if len(which) > _NAMED else ""
    return [f"{what}: {'; '.join(which[:_NAMED])}{more}"]
