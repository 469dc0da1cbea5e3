"""Why a run of several processes cannot go on, and whose fault it is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["SLOW", "ProcessState", "Verdict", "failed", "find_hang", "gone", "unreachable"]

SLOW = 6  # times hang_timeout that a phase which reads or writes whole models may stand still


@dataclass(frozen=True, slots=True)
class ProcessState:
    """What is known of one process.

    Attributes:
        rank: its number.
        where: its host and process number, for people.
        progress: what it is in, for people.
        place: how far it is in the program; see `Progress`.
        is_slow: one call of its phase may take many minutes.
        waits: for others, as far as can be seen.
        silent: seconds without a sign of life.
    """

    rank: int
    where: str
    progress: str = "starting"
    place: int = 0
    is_slow: bool = False
    waits: bool = False
    silent: float = 0.0

    def __str__(self) -> str:
        return f"rank {self.rank} ({self.where})"


@dataclass(frozen=True, slots=True)
class Verdict:
    """The end of a run.

    Attributes:
        kind: 'hang', 'gone', 'unreachable' or 'failed'.
        text: for people; names the process at fault.
        code: what every process ends with.
    """

    kind: str
    text: str
    code: int = 1


def find_hang(sights: Sequence[ProcessState], hang_timeout: float) -> Verdict | None:
    """Return a verdict if a process that the others wait for has stood still too long.

    The others stand still as well, but further on: who is to blame is behind.

        rank 0   step 12: backward 4/4   place 97   silent for 601 s   waits for rank 1
        rank 1   step 12: forward 2/4    place 92   silent for 600 s   hangs

    Args:
        sights: the newest state of each process.
        hang_timeout: seconds without a sign of life.
    """
    place = min(sight.place for sight in sights)
    behind = [sight for sight in sights if sight.place == place]
    # Where all of those wait, they wait for each other, and none of them is to blame alone.
    blamed = [sight for sight in behind if not sight.waits] or behind
    if any(s.silent <= hang_timeout * (SLOW if s.is_slow else 1) for s in blamed):
        return None
    seconds = min(sight.silent for sight in blamed)
    ranks = _listed(blamed)
    text = f"{ranks} stand{'s' * (len(blamed) == 1)} still for {seconds:.0f} s in "
    text += blamed[0].progress
    others = len(sights) - len(blamed)
    if len(sights) == 1:
        pass
    elif others:
        wait = f"{others} others wait" if others > 1 else "the other waits"
        text += f"; {wait} for {'it' if len(blamed) == 1 else 'them'}"
    elif blamed == behind and all(sight.waits for sight in behind):
        text += ", each waiting for the others: is the network between them up?"
    else:
        text += ", all at the same point: their stacks show which one hangs"
    return Verdict(
        "hang",
        f"{text}. Every process has written its stacks to stacks.rank*.txt in the work dir. Where "
        f"it was only slow, set env_cfg.hang_timeout above {hang_timeout:g} s; go on with --resume",
    )


def gone(lost: Sequence[ProcessState]) -> Verdict:
    """Processes that ended without a word."""
    verb = "are" if len(lost) > 1 else "is"
    return Verdict(
        "gone",
        f"{_listed(lost)} {verb} gone, last seen in {lost[0].progress}: killed, by someone or by "
        "the kernel for want of memory (dmesg there says so), or crashed. Go on with --resume",
    )


def unreachable(lost: Sequence[ProcessState], seconds: float) -> Verdict:
    """Processes whose host does not answer.

    Args:
        lost: the newest state of each process that does not answer.
        seconds: since they last did.
    """
    return Verdict(
        "unreachable",
        f"{_listed(lost)} cannot be reached any more, last seen in {lost[0].progress}: for "
        f"{seconds:.0f} s nothing came through. Its host, or the network to it, is down. Go on "
        "with --resume when it is up",
    )


def failed(sight: ProcessState, error: str, code: int) -> Verdict:
    """A process that said itself why it ends.

    Args:
        sight: the process's newest state.
        error: its last line.
        code: its exit code.
    """
    return Verdict("failed", f"{sight} failed in {sight.progress}: {error}", code)


def _listed(sights: Sequence[ProcessState]) -> str:
    if len(sights) <= 3:
        return " and ".join(map(str, sights))
    shown = ", ".join(str(sight.rank) for sight in sights[:8])
    rest = f" and {len(sights) - 8} more" if len(sights) > 8 else ""
    return f"ranks {shown}{rest} (the first: {sights[0].where})"
