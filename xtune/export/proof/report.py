"""The table of a proof, as Markdown and as lines for the screen."""

from __future__ import annotations

from collections.abc import Sequence

from xtune.export.proof.prove import Outcome
from xtune.export.proof.reference import Reference

__all__ = ["REPORT", "UNCHECKED", "lines_of", "report_of"]

REPORT = "PARITY.md"  # in an exported folder
#: Programs that read an export and run nowhere here: listed, never as passed.
UNCHECKED = ("vLLM", "SGLang", "LMDeploy", "Ollama")

_HEAD = (
    "read by",
    "ids",
    "top-1 %",
    "KL mean",
    "KL p99",
    "KL max",
    "NLL",
    "largest flip",
    "greedy the same",
    "near ties",
    "result",
)


def report_of(
    title: str,
    reference: Reference,
    outcomes: Sequence[Outcome],
    *,
    compared_with: str,
    unchecked: Sequence[str],
    notices: Sequence[str],
) -> str:
    """Return the page.

    Args:
        title: the export.
        reference: what it was compared with.
        outcomes: of each reader.
        compared_with: the reference, in words.
        unchecked: programs that were not run, with the reason.
        notices: what else a user has to know.
    """
    from xtune import __version__

    own = sum(len(text.places) for text in reference.scored if text.own)
    rows = [_row(one) for one in outcomes]
    limits = [
        f"| {one.reader} | allowed | ≥ {one.limit.top1:g} | ≤ {one.limit.kl:.1e} | | | | "
        f"{'not judged' if one.limit.flip is None else f'≤ {one.limit.flip:g}'} | | | |"
        for one in outcomes
    ]
    parts = [
        f"# {title}: does it answer as `xtune chat` does?",
        f"Compared with {compared_with}, both computed from {_number(reference)}: "
        f"{len(reference.prompts)} dialogues, {reference.places} places of answers, {own} of them "
        "in answers that the reference wrote itself.",
        "| " + " | ".join(_HEAD) + " |\n|" + " --- |" * len(_HEAD) + "\n" + "\n".join(rows + limits)
        if outcomes
        else "No program that reads it is installed here.",
    ]
    if any(one.scores and not one.scores.whole for one in outcomes):
        parts.append(
            "llama.cpp gives the 128 likeliest tokens of a place: its KL is a lower bound, the "
            "rest counting as one token."
        )
    if reference.refused:
        parts.append("The chat template takes no dialogue with: " + ", ".join(reference.refused))
    parts.append("## Unchecked\n\n" + "\n".join(f"- {line}" for line in unchecked))
    if notices:
        parts.append("## Notices\n\n" + "\n".join(f"- {line}" for line in notices))
    parts.append(f"Written by xtune {__version__}.")
    return "\n\n".join(parts) + "\n"


def lines_of(outcomes: Sequence[Outcome]) -> list[str]:
    """Return a line for each reader.

    Args:
        outcomes: of each.
    """
    lines = []
    for one in outcomes:
        scores = one.scores
        assert scores is not None
        ties = f", {one.near_ties} part at a near tie" if one.near_ties else ""
        lines.append(
            f"{one.reader}: ids of {one.ids} of {one.dialogues} dialogues, top-1 {scores.top1:.1f} "
            f"% of {scores.places} places, KL {scores.kl_mean:.1e} (allowed {one.limit.kl:.1e}), "
            f"{one.same} of {one.greedy} greedy answers the same{ties}"
        )
    return lines


def _row(one: Outcome) -> str:
    scores = one.scores
    assert scores is not None
    cells = (
        one.reader,
        f"{one.ids} of {one.dialogues}",
        f"{scores.top1:.1f}",
        f"{scores.kl_mean:.1e}",
        f"{scores.kl_p99:.1e}",
        f"{scores.kl_max:.1e}",
        f"{scores.nll_rise:+.1e}",
        f"{scores.flip:.3f}",
        f"{one.same} of {one.greedy}",
        f"{one.near_ties}",
        "failed" if one.problems else "passed",
    )
    return "| " + " | ".join(cells) + " |"


def _number(reference: Reference) -> str:
    return str(reference.dtype).removeprefix("torch.")
