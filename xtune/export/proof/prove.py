"""Ask a reference and each reader the same, and say where they part."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from xtune.errors import ModelError
from xtune.export.proof.dialogues import Dialogue
from xtune.export.proof.limits import Limit, limit_for
from xtune.export.proof.readers import Reader
from xtune.export.proof.reference import Reference
from xtune.export.proof.scores import Scores, first_difference, scores_of

__all__ = ["Outcome", "prove", "require_passed"]


@dataclass(slots=True)
class Outcome:
    """What one reader showed.

    Attributes:
        reader: its name.
        limit: what was allowed.
        ids: dialogues whose ids are the same, of `dialogues`.
        dialogues: how many were rendered.
        scores: of all places; None where ids already differ.
        same: greedy answers that are the same, of `greedy`.
        greedy: how many there are.
        near_ties: answers that part at a near tie of the reference.
        problems: why the export is not kept; none if it is.
    """

    reader: str
    limit: Limit
    ids: int = 0
    dialogues: int = 0
    scores: Scores | None = None
    same: int = 0
    greedy: int = 0
    near_ties: int = 0
    problems: list[str] = field(default_factory=list)


def prove(reference: Reference, reader: Reader, weights: str, plain: Sequence[Dialogue]) -> Outcome:
    """Compare; what differs by more than it may is a problem, and nothing is raised.

    Args:
        reference: what chat computes.
        reader: of the export.
        weights: the format of the export's weights, a name of `LIMITS`.
        plain: the reference's dialogues, control texts in them made plain as chat does: other
            programs do not, which is no matter of an export.
    """
    in_16_bits = reader.in_16_bits or reference.dtype.itemsize == 2
    limit = limit_for(weights, in_16_bits=in_16_bits, in_8_bits=reader.in_8_bits)
    found = Outcome(reader.name, limit)
    for dialogue, expected in zip(plain, reference.prompts, strict=True):
        found.dialogues += 1
        ids = reader.prompt(dialogue, is_chat=reference.is_chat)
        if ids == expected:
            found.ids += 1
            continue
        at = _first(expected, ids)
        found.problems.append(
            f"the dialogue {dialogue.name!r} becomes other ids: at {at} {_some(ids, at)}, and "
            f"{_some(expected, at)} in xtune chat"
        )
    if lacking := reader.lacking_ends(reference):
        found.problems.append(
            f"an answer does not end at the token{'s' if len(lacking) > 1 else ''} "
            f"{', '.join(map(str, lacking))}, where it does in xtune chat"
        )
    _score(reference, reader, found)
    return found


def require_passed(outcomes: Sequence[Outcome], notices: Sequence[str] = ()) -> None:
    """Refuse an export that answers otherwise than chat.

    Args:
        outcomes: of each reader.
        notices: what is known to be otherwise in what was written: it may be the cause.

    Raises:
        ModelError: one has a problem; says each.
    """
    problems = [f"  {one.reader}: {problem}" for one in outcomes for problem in one.problems]
    if problems:
        raise ModelError(
            "what was written does not answer as xtune chat does, and nothing of it is left:\n"
            + "\n".join([*problems, *(f"  known before: {notice}" for notice in notices)])
            + "\nWhat rounds less comes nearer (--quant f16 before q8_0, q8_0 before q5_0 and "
            "q4_0; --dtype fp32), and so does a model that is trained further: where no token is "
            "much likelier than the next, rounding decides. Where ids or ends differ, please "
            "report this with the name of the model"
        )


def _score(reference: Reference, reader: Reader, found: Outcome) -> None:
    limit = found.limit
    scores = scores_of(reference.scored, [reader.given(text) for text in reference.scored])
    found.scores = scores
    changed = sum(lead >= limit.tie for lead in scores.flips)
    # A share of a few places is no share: two may always differ
    if changed > max(scores.places * (100 - limit.top1) / 100, 2):
        found.problems.append(
            f"the likeliest token is another at {changed} of {scores.places} places"
            + (f" where it led by {limit.tie:.2f} or more" if limit.tie else "")
            + f", and at least {limit.top1:g} % of all are to be the same"
        )
    if not scores.kl_mean <= limit.kl:
        found.problems.append(
            f"the distributions differ by {scores.kl_mean:.1e} (KL, mean), and {limit.kl:.1e} is "
            "allowed"
        )
    if limit.flip is not None and scores.flip > limit.flip:
        found.problems.append(
            f"the likeliest token changes where it led by {scores.flip:.2f}, and {limit.flip:g} "
            "is allowed"
        )
    for text in reference.scored:
        if not text.own:
            continue
        found.greedy += 1
        parted = first_difference(text, reader.greedy(text, reference))
        if parted is None:
            found.same += 1
        elif limit.flip is None or parted[1] <= limit.flip:
            found.near_ties += 1
        else:
            found.problems.append(
                f"a greedy answer parts at its token {parted[0]}, where the likeliest led by "
                f"{parted[1]:.2f}, and {limit.flip:g} is allowed"
            )


def _first(one: Sequence[int], other: Sequence[int]) -> int:
    pairs = enumerate(zip(one, other, strict=False))
    return next((at for at, (a, b) in pairs if a != b), min(len(one), len(other)))


def _some(ids: Sequence[int], at: int) -> str:
    return " ".join(map(str, ids[at : at + 4])) or "nothing"
