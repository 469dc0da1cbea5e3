"""The hub, spoken to over real connections as the processes of a run do."""

from __future__ import annotations

import socket
import time

import pytest

from xtune.watch.connection import Connection, LostPeer
from xtune.watch.server import Hub


class Rank:
    """One process's end."""

    def __init__(self, hub: Hub, rank: int, *, token: str | None = None) -> None:
        self.heard: list[dict] = []
        self.wire = Connection(socket.create_connection(("127.0.0.1", hub.port)))
        self.wire.send(hello={"token": token or hub.token, "rank": rank, "where": f"host {rank}"})

    def state(self, **state) -> dict:
        whole = {"progress": "step 3: forward 1/2", "place": 9, "is_slow": False, "waits": False}
        self.wire.send(state={**whole, "silent": 0.0, **state})
        return self.next("state")

    def fail(self, error: str, *, code: int = 1, is_echo: bool = False) -> None:
        said = {"error": error, "code": code, "is_echo": is_echo}
        self.wire.send(failed={**said, "progress": "step 4: optimizer"})

    def next(self, kind: str, seconds: float = 10) -> dict:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            self.heard += self.wire.receive(0.1)
            for message in self.heard:
                if kind in message:
                    self.heard.remove(message)
                    return message[kind]
        raise AssertionError(f"no {kind} came")


@pytest.fixture
def hub():
    hub = Hub(3, hang_timeout=60, is_local=True)
    hub.start()
    yield hub
    hub.close()


def test_a_state_is_answered_with_where_rank_0_is(hub):
    ranks = [Rank(hub, rank) for rank in range(3)]
    ranks[0].state(progress="step 4: optimizer")
    assert ranks[2].state()["progress"] == "step 4: optimizer"


def test_all_hear_who_hangs(hub):
    ranks = [Rank(hub, rank) for rank in range(3)]
    for rank in (0, 2):
        ranks[rank].state(place=12, silent=62.0, waits=True)
    ranks[1].state(silent=61.0)
    for rank in ranks:
        verdict = rank.next("verdict")
        assert verdict["kind"] == "hang"
        assert "rank 1 (host 1) stands still" in verdict["text"]
        assert "2 others wait for it" in verdict["text"]


def test_a_closed_connection_is_a_death_and_the_errors_after_it_are_its_echo(hub):
    ranks = [Rank(hub, rank) for rank in range(3)]
    for rank in ranks:
        rank.state()
    ranks[2].fail("Connection closed by peer", is_echo=True)
    ranks[1].wire.close()
    verdict = ranks[0].next("verdict")
    assert "rank 1 (host 1) is gone, last seen in step 3: forward 1/2" in verdict["text"]
    assert verdict["text"] == ranks[2].next("verdict")["text"]


def test_an_error_is_passed_on_with_its_exit_code(hub):
    ranks = [Rank(hub, rank) for rank in range(3)]
    ranks[2].state()
    ranks[2].fail("no such column", code=2)
    verdict = ranks[0].next("verdict")
    assert verdict["text"] == "rank 2 (host 2) failed in step 4: optimizer: no such column"
    assert verdict["code"] == 2


def test_who_takes_leave_may_go(hub):
    ranks = [Rank(hub, rank) for rank in range(3)]
    ranks[1].wire.send(bye={})
    ranks[1].next("bye")
    ranks[1].wire.close()
    ranks[2].fail("no such column")  # the first that ends otherwise
    assert "rank 2 (host 2) failed" in ranks[0].next("verdict")["text"]


@pytest.mark.parametrize("said", [b"GET / HTTP/1.1\r\n\r\n", b'{"hello": 3}\n', b'{"a": 1}\n'])
def test_a_stranger_is_shown_the_door(hub, said):
    ranks = [Rank(hub, rank) for rank in range(3)]
    with socket.create_connection(("127.0.0.1", hub.port)) as stranger:
        stranger.sendall(said)
        assert stranger.recv(100) == b""
    assert ranks[0].state()


def test_a_wrong_token_is_no_process_of_the_run(hub):
    with pytest.raises((LostPeer, AssertionError)):
        Rank(hub, 1, token="guessed").state()
