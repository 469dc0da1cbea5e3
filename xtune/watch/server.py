"""`Hub`: rank 0's side of the watch: hears from every process, and says when a run cannot go on.

    each process -> hub    hello  {token, rank, where}
                           state  {progress, place, is_slow, waits, silent}     once a second
                           failed {error, code, is_echo, progress}              its last word
                           bye    {}                                            all is done
    hub -> each process    state  {…}           rank 0's own, in answer to a state
                           verdict {kind, text, code}
                           bye    {}

A store would do for the states, but a client of torch's TCPStore waits for ever once the store's
host is gone, and it cannot tell a busy process from a lost one.
"""

from __future__ import annotations

import secrets
import selectors
import threading
import time
from dataclasses import asdict, replace
from typing import Any, NamedTuple

from xtune.watch.connection import UNANSWERED, Connection, LostPeer, listen
from xtune.watch.diagnosis import ProcessState, Verdict, failed, find_hang, gone, unreachable
from xtune.watch.liveness import Waited

__all__ = ["Hub"]

_TICK = 0.5  # seconds between two looks at who hangs
# One death is followed by the errors of those that it leaves: so long all that comes is collected.
_COLLECTED = 1.0
_TOGETHER = 0.05


class _End(NamedTuple):
    """What one process says. Echoes, the errors of those that lost their peer, are sorted last."""

    is_echo: bool
    time: float
    kind: str
    sight: ProcessState
    error: str = ""
    code: int = 1


class Hub:
    """A thread that the processes of a run are connected to.

    Attributes:
        port: where it listens.
        token: what a process must say first; other programs may knock at an open port.

    Args:
        size: processes of the run, the hub's own among them.
        hang_timeout: seconds that a process may stand still; None: for ever.
        is_local: whether all are on this host.
    """

    def __init__(self, size: int, *, hang_timeout: float | None, is_local: bool) -> None:
        self.token = secrets.token_hex(8)
        self._size = size
        self._hang_timeout = hang_timeout
        self._listener = listen(is_local=is_local)
        self.port: int = self._listener.getsockname()[1]
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._listener, selectors.EVENT_READ)
        self._new: set[Connection] = set()
        self._ranks: dict[Connection, int] = {}
        self._sights: dict[int, tuple[ProcessState, float]] = {}  # and when it was heard
        self._ends: list[_End] = []
        self._verdict: Verdict | None = None
        self._are_leaving = False
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="xtune hub", daemon=True)

    def start(self) -> None:
        """Begin to listen."""
        self._thread.start()

    def close(self) -> None:
        """Tell all that it is over."""
        self._closing.set()
        self._thread.join(timeout=5)

    def _run(self) -> None:
        away, judging = Waited(), 0.0
        while not self._closing.is_set() or (self._ends and self._verdict is None):
            away.look()
            for rank, (sight, heard) in self._sights.items() if away.missed else ():
                self._sights[rank] = sight, heard + away.missed
            for key, _ in self._selector.select(_TICK):
                if key.fileobj is self._listener:
                    self._accept()
                else:
                    self._hear(key.fileobj)  # type: ignore[arg-type]
            if time.monotonic() < judging:  # of a thousand processes one speaks every millisecond
                continue
            judging = time.monotonic() + _TICK
            if self._verdict is None and (verdict := self._judge()):
                self._verdict = verdict
                self._send_all(verdict=asdict(verdict))
        self._send_all(bye={})
        for wire in [*self._new, *self._ranks]:
            wire.close()
        self._listener.close()

    def _accept(self) -> None:
        wire = Connection(self._listener.accept()[0])
        self._new.add(wire)
        self._selector.register(wire, selectors.EVENT_READ)

    def _hear(self, wire: Connection) -> None:
        try:
            for message in wire.receive():
                self._take(wire, message)
        except LostPeer as lost:
            self._drop(wire, "unreachable" if lost.is_unreachable else "gone")
        except (ValueError, KeyError, TypeError):  # no process of ours
            self._drop(wire)

    def _take(self, wire: Connection, message: dict[str, Any]) -> None:
        if wire in self._new:
            hello = message["hello"]
            if not secrets.compare_digest(hello["token"], self.token):
                raise ValueError("a stranger")
            self._new.discard(wire)
            self._ranks[wire] = hello["rank"]
            self._sights[hello["rank"]] = (
                ProcessState(hello["rank"], hello["where"]),
                time.monotonic(),
            )
            return
        rank = self._ranks[wire]
        if "state" in message:
            sight = replace(self._sights[rank][0], **message["state"])
            self._sights[rank] = sight, time.monotonic()
            wire.send(state=asdict(self._sight(0)) if 0 in self._sights else None)
        elif "failed" in message:
            said = message["failed"]
            sight = replace(self._sight(rank), progress=said["progress"])
            end = _End(said["is_echo"], time.monotonic(), "failed", sight)
            self._ends.append(end._replace(error=said["error"], code=said["code"]))
        elif "bye" in message:
            self._are_leaving = True
            wire.send(bye={})

    def _drop(self, wire: Connection, kind: str | None = None) -> None:
        self._selector.unregister(wire)
        wire.close()
        if wire in self._new:
            self._new.discard(wire)
            return
        rank = self._ranks.pop(wire)
        # Who has said bye or why it ends may go.
        if kind and not self._are_leaving and all(end.sight.rank != rank for end in self._ends):
            self._ends.append(_End(False, time.monotonic(), kind, self._sight(rank)))

    def _judge(self) -> Verdict | None:
        if self._ends:
            if time.monotonic() < self._ends[0].time + _COLLECTED:
                return None
            return _first_of(self._ends)
        is_whole = len(self._ranks) == self._size and not self._are_leaving
        if self._hang_timeout is None or not is_whole:
            return None
        return find_hang([self._sight(rank) for rank in self._ranks.values()], self._hang_timeout)

    def _sight(self, rank: int) -> ProcessState:
        sight, heard = self._sights[rank]
        return replace(sight, silent=sight.silent + time.monotonic() - heard)

    def _send_all(self, **message: Any) -> None:
        for wire in self._ranks:
            try:
                wire.send(**message)
            except LostPeer:  # it needs no telling any more
                continue


def _first_of(ends: list[_End]) -> Verdict:
    first = min(ends, key=lambda end: (end.is_echo, end.time))
    if first.kind == "failed":
        return failed(first.sight, first.error, first.code)
    # A host's processes are lost within a tick; those that die later are ended by torchrun.
    alike = [e.sight for e in ends if e.kind == first.kind and e.time < first.time + _TOGETHER]
    alike.sort(key=lambda sight: sight.rank)
    return gone(alike) if first.kind == "gone" else unreachable(alike, UNANSWERED)
