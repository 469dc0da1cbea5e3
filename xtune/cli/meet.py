"""The hosts of a run meet, before torchrun starts on each.

torchrun waits ten minutes for a host that never comes and ends with a traceback that names neither
the host nor the place. Here each says its NODE_RANK at ADDR:PORT, and the first one says who lacks.
"""

from __future__ import annotations

import selectors
import socket
import sys
import time

from xtune.errors import TrainingError, UsageError
from xtune.watch.connection import Connection, LostPeer, listen

__all__ = ["meet"]

_REMINDER = 30.0  # seconds between two lines that say who is waited for


def meet(*, hosts: int, number: int, address: str, port: int, seconds: float) -> None:
    """Wait until all hosts are at address:port, which is then free for torchrun.

    Args:
        hosts: how many; NNODES.
        number: of this one; NODE_RANK. Number 0 is at `address`.
        address: of host 0.
        port: of host 0.
        seconds: after which those who are there give up; MEET_TIMEOUT.

    Raises:
        UsageError: the hosts contradict each other, or the port is taken.
        TrainingError: not all came.
    """
    if not 0 <= number < hosts:
        raise UsageError(
            f"NODE_RANK={number} of NNODES={hosts}: hosts are numbered 0 to {hosts - 1}"
        )
    if number == 0:
        _Host(hosts, address, port).wait(seconds)
    else:
        _go_to(address, port, hosts, number, seconds)


class _Host:
    """Number 0, which the others come to."""

    def __init__(self, hosts: int, address: str, port: int) -> None:
        self._hosts = hosts
        self._place = f"{address}:{port}"
        try:
            self._listener = listen(port)
        except OSError as error:
            raise UsageError(
                f"PORT={port} of this host cannot be listened on ({error.strerror}): another run "
                "may have it. Give another PORT, the same on every host"
            ) from error
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._listener, selectors.EVENT_READ)
        self._here: dict[Connection, int] = {}

    def wait(self, seconds: float) -> None:
        """Wait for the others and send them on."""
        started = reminded = time.monotonic()
        try:
            while len(self._here) < self._hosts - 1:
                for key, _ in self._selector.select(1.0):
                    if key.fileobj is self._listener:
                        wire = Connection(self._listener.accept()[0])
                        self._selector.register(wire, selectors.EVENT_READ)
                    else:
                        self._hear(key.fileobj)  # type: ignore[arg-type]
                if time.monotonic() > started + seconds:
                    self._give_up(seconds)
                if time.monotonic() > reminded + _REMINDER:
                    reminded = time.monotonic()
                    print(f"{self._state()}; {reminded - started:.0f} s so far", file=sys.stderr)
            for wire in self._here:
                wire.send(go=True)
        finally:
            for key in list(self._selector.get_map().values()):
                key.fileobj.close()  # type: ignore[union-attr]

    def _hear(self, wire: Connection) -> None:
        try:
            for message in wire.receive():
                if why := self._objection(message):
                    wire.send(refused=why)
                    raise LostPeer(is_unreachable=False)
                self._here[wire] = message["number"]
        except (LostPeer, ValueError, KeyError, TypeError):  # it went away, or is none of ours
            self._here.pop(wire, None)
            self._selector.unregister(wire)
            wire.close()

    def _objection(self, message: dict[str, int]) -> str | None:
        if message["hosts"] != self._hosts:
            return f"NNODES={message['hosts']} here, and {self._hosts} on the first host"
        if message["number"] in self._here.values():
            return f"NODE_RANK={message['number']} is there already: each host has its own"
        return None

    def _state(self) -> str:
        missing = sorted({*range(1, self._hosts)} - {*self._here.values()})
        listed = ", ".join(map(str, missing[:8])) + (" ..." if len(missing) > 8 else "")
        here = len(self._here) + 1
        return f"{here} of {self._hosts} hosts came to {self._place}, not NODE_RANK={listed}"

    def _give_up(self, seconds: float) -> None:
        why = (
            f"{self._state()} within {seconds:g} s. Start xtune there with NNODES={self._hosts} "
            f"and the same ADDR and PORT; MEET_TIMEOUT={2 * seconds:g} waits longer"
        )
        for wire in self._here:
            wire.send(late=why)
        raise TrainingError(why)


def _go_to(address: str, port: int, hosts: int, number: int, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    connection, why = None, "no answer"
    while connection is None and time.monotonic() < deadline:
        try:
            connection = socket.create_connection((address, port), timeout=5)
        except OSError as error:
            why = error.strerror or str(error)
            time.sleep(1)
    if connection is None:
        raise TrainingError(
            f"nobody is at {address}:{port} within {seconds:g} s ({why}): 1 of {hosts} hosts came, "
            f"NODE_RANK={number}. Start the first one, with NODE_RANK=0 and ADDR={address}, or "
            f"open port {port} on it; MEET_TIMEOUT={2 * seconds:g} waits longer"
        )
    wire = Connection(connection)
    try:
        wire.send(number=number, hosts=hosts)
        while time.monotonic() < deadline + 5:  # the first one knows better what is wrong
            for message in wire.receive(1.0):
                if "refused" in message:
                    raise UsageError(message["refused"])
                if "late" in message:
                    raise TrainingError(message["late"])
                return
    except LostPeer as error:
        raise TrainingError(f"the first host, {address}:{port}, ended before all came") from error
    finally:
        wire.close()
    raise TrainingError(
        f"the first host, {address}:{port}, is there, but not all {hosts} came in {seconds:g} s"
    )
