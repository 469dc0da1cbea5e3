"""`Connection`: messages between two processes, and the news that the peer is lost.

A message is one line of JSON. Whether the peer's host answers is the kernel's to find out, on both
sides: a process that is busy, or stopped, or waits for Python's lock, still answers; one that dies
closes its connections; and across a cut link nothing answers at all.
"""

from __future__ import annotations

import errno
import json
import select
import socket
import threading
from typing import Any

__all__ = ["UNANSWERED", "Connection", "LostPeer", "listen"]

UNANSWERED = 20  # seconds without an answer of the peer's kernel after which it counts as lost
_PROBES = 4

_NO_ROUTE = {
    errno.ETIMEDOUT,
    errno.EHOSTUNREACH,
    errno.ENETUNREACH,
    errno.ENETDOWN,
    errno.EHOSTDOWN,
}


def listen(port: int = 0, *, is_local: bool = False) -> socket.socket:
    """Listen for connections, over IPv6 too where there is some.

    Args:
        port: where; 0 for any that is free.
        is_local: only from this host.

    Raises:
        OSError: the port is taken.
    """
    if is_local:
        return socket.create_server(("127.0.0.1", port))
    if socket.has_dualstack_ipv6():
        return socket.create_server(("", port), family=socket.AF_INET6, dualstack_ipv6=True)
    return socket.create_server(("", port))


class LostPeer(Exception):
    """The other end is not there any more.

    Attributes:
        is_unreachable: its host does not answer; otherwise it closed the connection.
    """

    def __init__(self, *, is_unreachable: bool) -> None:
        super().__init__("unreachable" if is_unreachable else "closed")
        self.is_unreachable = is_unreachable


class Connection:
    """One end of a connection; any thread may send, one receives.

    Args:
        connection: a connected TCP socket; closed by `close`.
    """

    def __init__(self, connection: socket.socket) -> None:
        self._socket = connection
        self._socket.setblocking(False)
        self._begun = b""
        self._sending = threading.Lock()
        set_option = connection.setsockopt
        set_option(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        set_option(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for name, value in (
            ("TCP_KEEPIDLE", UNANSWERED // _PROBES),
            ("TCP_KEEPINTVL", UNANSWERED // _PROBES),
            ("TCP_KEEPCNT", _PROBES),
            ("TCP_USER_TIMEOUT", UNANSWERED * 1000),
        ):
            if hasattr(socket, name):  # macOS has some of them
                set_option(socket.IPPROTO_TCP, getattr(socket, name), value)

    def fileno(self) -> int:
        """Return the descriptor, for select."""
        return self._socket.fileno()

    def send(self, **message: Any) -> None:
        """Send one message. Messages are short and answered, so the kernel has room for them.

        Raises:
            LostPeer: there is no one to send to.
        """
        line = json.dumps(message).encode() + b"\n"
        try:
            with self._sending:
                self._socket.sendall(line)
        except OSError as error:
            raise _lost(error) from error

    def receive(self, seconds: float = 0.0) -> list[dict[str, Any]]:
        """Return the messages that have come, after at most so many seconds.

        Raises:
            LostPeer: there will be no more.
        """
        try:
            ready = select.poll()  # select.select takes no descriptor above 1023
            ready.register(self._socket, select.POLLIN)
            if not ready.poll(max(seconds, 0.0) * 1000):
                return []
            data = self._socket.recv(1 << 16)
        except BlockingIOError:
            return []
        except (OSError, ValueError) as error:  # ValueError: closed here
            raise _lost(error) from error
        if not data:
            raise LostPeer(is_unreachable=False)
        *lines, self._begun = (self._begun + data).split(b"\n")
        return [json.loads(line) for line in lines]

    def close(self) -> None:
        """Close the connection; what has been sent still arrives."""
        self._socket.close()


def _lost(error: Exception) -> LostPeer:
    return LostPeer(is_unreachable=getattr(error, "errno", None) in _NO_ROUTE)
