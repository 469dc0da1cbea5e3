"""`Watchdog`: ends every process of a run when one of them hangs, dies, or cannot be reached.

A thread in each process tells the hub of rank 0 (server.py) once a second where its process is, and
does what the hub says. liveness.py and diagnosis.py say what a healthy process may do for long.

A thread cannot run while a call into C holds Python's lock. The hub then sees the process stand
still, and a timer of faulthandler's, which needs no lock, writes its stacks.
"""

from __future__ import annotations

import faulthandler
import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import IO, Any

from xtune.errors import TrainingError, XtuneError
from xtune.parallel.progress import enter, now, restart
from xtune.parallel.world import World, join, leave
from xtune.watch.connection import UNANSWERED, Connection, LostPeer
from xtune.watch.diagnosis import SLOW, ProcessState, Verdict, find_hang, gone, unreachable
from xtune.watch.last_words import has_launcher, leave_end
from xtune.watch.liveness import Pulse, Waited
from xtune.watch.server import Hub

__all__ = ["Watchdog", "watched"]

_TICK = 1.0  # seconds between two states
_LOOK = 0.2  # seconds between two looks at the main thread
_GRACE = 10.0  # seconds in which a process may end by itself once another has
_CONNECTING = 30.0


@contextmanager
def watched(world: World, **settings: float | None) -> Iterator[Watchdog]:
    """Meet the other processes, watch over them all, and part when all have come to the end.

    Args:
        world: the processes.
        settings: of the Watchdog.

    Raises:
        TrainingError: not all came; or another one hangs, died or failed first.
    """
    joined = join(world)
    restart()
    dog = Watchdog(world, **settings)
    try:
        with dog.telling():
            dog.start()
            yield dog
            enter("the end of the run")
            world.wait()
    finally:
        dog.close()
        if joined:
            leave(all_are_done=False)  # or they are, and have waited above


class Watchdog:
    """Watches over a run of several processes; of one, it does nothing.

        with watched(world, hang_timeout=600): ...

    Args:
        world: the processes, which have met.
        hang_timeout: seconds that a process may stand still; None: for ever.
    """

    def __init__(self, world: World, *, hang_timeout: float | None = 600.0) -> None:
        self._world = world
        self._hang_timeout = hang_timeout
        self._pulse = Pulse()
        self._stacks: IO[str] | None = None
        self._hub: Hub | None = None
        self._hubs = ProcessState(0, "its host")
        self._verdict: Verdict | None = None
        self._has_failed = False
        self._judged = threading.Event()
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="xtune watchdog", daemon=True)

    def start(self) -> None:
        """Connect to the hub; all processes must come here.

        Raises:
            TrainingError: the hub cannot be reached.
        """
        if self._world.size == 1:
            return
        address = os.environ["MASTER_ADDR"]
        if self._world.is_main:
            is_local = address in ("127.0.0.1", "localhost")
            self._hub = Hub(self._world.size, hang_timeout=self._hang_timeout, is_local=is_local)
            self._hub.start()
        where = f"host {socket.gethostname()}, process {os.getpid()}"
        own = (self._hub.port, self._hub.token, where) if self._hub else None
        port, token, hubs = self._world.from_main(own)
        self._hubs = ProcessState(0, f"{hubs}, at {address}:{port}")
        try:
            connection = socket.create_connection((address, port), timeout=_CONNECTING)
        except OSError as error:
            raise TrainingError(
                f"rank {self._world.rank} does not reach rank 0 at {address}:{port}: {error}. "
                "Processes of a run must reach each other on any port"
            ) from error
        if connection.getsockname()[0] not in ("127.0.0.1", "::1"):
            where += f", at {connection.getsockname()[0]}"
        self._wire = Connection(connection)
        self._wire.send(hello={"token": token, "rank": self._world.rank, "where": where})
        self._thread.start()

    def write_stacks_to(self, folder: Path) -> None:
        """Write the stacks of a process that hangs to stacks.rankN.txt in this folder."""
        if self._world.size > 1:
            path = folder / f"stacks.rank{self._world.rank}.txt"
            self._stacks = path.open("a", encoding="utf-8")

    def fail(self, error: BaseException) -> XtuneError | None:
        """Tell the others of this process's error; only the first is told.

        Returns:
            What to raise in its place: where this error is only the echo of another process's end,
            that end.
        """
        if self._has_failed or not self._thread.is_alive():
            return None
        self._has_failed = True
        is_echo = _is_echo(error)
        text = str(error) if isinstance(error, XtuneError) else f"{type(error).__name__}: {error}"
        code = getattr(error, "exit_code", 1)
        with suppress(LostPeer):  # the thread finds out as well
            said = {"error": text[:4000], "code": code, "is_echo": is_echo}
            self._wire.send(failed={**said, "progress": str(now())})
        # Until all have been told, the connection must stay; and an echo needs the verdict, which
        # for an unreachable host takes longer than gloo's error.
        self._judged.wait(timeout=UNANSWERED + 5 if is_echo else 5)
        if not is_echo or self._verdict is None:
            return None
        # At once: torchrun, which sees the dead one as well, leaves this one no time.
        leave_end(self._verdict.code, f"xtune train: {self._verdict.text}", about_another=True)
        end = TrainingError(self._verdict.text)
        end.exit_code = self._verdict.code
        return end

    @contextmanager
    def telling(self) -> Iterator[None]:
        """Tell the other processes of an error that ends the block, and raise what `fail` gives."""
        try:
            yield
        except BaseException as error:
            if (end := self.fail(error)) is not None:
                raise end from error
            raise

    def close(self) -> None:
        """Let the processes end each for itself."""
        self._closing.set()
        if self._thread.is_alive():
            with suppress(LostPeer):  # an end as well
                self._wire.send(bye={})
            self._thread.join(timeout=5)
            self._wire.close()
        if self._hub is not None:
            self._hub.close()
        faulthandler.cancel_dump_traceback_later()
        if self._stacks is not None:
            self._stacks.close()
            path = Path(self._stacks.name)
            with suppress(FileNotFoundError):
                if not path.stat().st_size:
                    path.unlink()

    def _watch(self) -> None:
        try:
            while not self._closing.is_set() and self._verdict is None:
                self._tick()
        except LostPeer as lost:
            if not self._closing.is_set():
                end = unreachable([self._hubs], UNANSWERED) if lost.is_unreachable else None
                self._take(end or gone([self._hubs]))
        if self._verdict is not None:
            self._end(self._verdict)

    def _tick(self) -> None:
        """Tell where this process is, and hear the hub out until the next tick."""
        progress, silent, waits = self._pulse.look()
        limit = (self._hang_timeout or 0) * (SLOW if progress.is_slow else 1)
        if limit and self._stacks is not None:
            # Others of this host are ended, and torchrun then kills this one. Alone it must end
            # itself; not otherwise, for the time that a run is suspended counts here.
            alone = os.environ.get("LOCAL_WORLD_SIZE") == "1"
            faulthandler.dump_traceback_later(max(limit, 2 * _TICK), file=self._stacks, exit=alone)
        self._wire.send(
            state={
                "progress": str(progress),
                "place": progress.place,
                "is_slow": progress.is_slow,
                "waits": waits,
                "silent": silent,
            }
        )
        waited, answered = Waited(), False
        # No second state before the first is answered: what is stopped must not be filled up.
        while not answered or waited.seconds < _TICK:
            for message in self._wire.receive(_LOOK):
                answered = answered or "state" in message
                self._hear(message)
            waited.look()
            self._pulse.look()
            if self._closing.is_set() or self._verdict is not None:
                return
            if not answered and self._hang_timeout is not None:
                hubs = replace(self._hubs, silent=waited.seconds)
                if verdict := find_hang([hubs], self._hang_timeout + 3 * _TICK):
                    self._take(verdict)

    def _hear(self, message: dict[str, Any]) -> None:
        if message.get("state"):
            where = self._hubs.where  # with its address, which the hub itself does not know
            self._hubs = ProcessState(**{**message["state"], "where": where})
        elif "verdict" in message:
            self._take(Verdict(**message["verdict"]))
        elif "bye" in message:
            self._closing.set()

    def _take(self, verdict: Verdict) -> None:
        self._verdict = verdict
        self._judged.set()

    def _end(self, verdict: Verdict) -> None:
        """End this process; if another died, the main thread may find out and say so itself."""
        if verdict.kind in ("failed", "gone") and (self._closing.wait(_GRACE) or self._has_failed):
            return
        text = f"xtune train: {verdict.text}"
        if verdict.kind == "hang":
            self._dump(text)
        leave_end(verdict.code, text, about_another=True)
        # Past sys.stderr: the main thread may hold its lock.
        if self._world.local_rank == 0 or not has_launcher():
            os.write(2, f"\n{text}\n".encode())
        if self._hub is not None:
            time.sleep(2 * _TICK)  # the other processes hear it first
        os._exit(verdict.code)

    def _dump(self, text: str) -> None:
        if self._stacks is None:
            faulthandler.dump_traceback(file=2)
            return
        self._stacks.write(text + "\n\n")
        self._stacks.flush()
        faulthandler.dump_traceback(file=self._stacks)


def _is_echo(error: BaseException) -> bool:
    """Whether this is how a collective ends whose peer is gone."""
    from torch import distributed

    said = str(error)
    return isinstance(error, distributed.DistError) or (
        isinstance(error, RuntimeError) and any(word in said for word in ("gloo", "NCCL", "peer"))
    )
