"""Hosts that meet, that do not, and that contradict each other; each a thread or a process."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from xtune.cli.meet import meet
from xtune.errors import TrainingError, UsageError


@pytest.fixture
def port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def host(number: int, port: int, *, hosts: int = 2, seconds: float = 20) -> None:
    meet(hosts=hosts, number=number, address="127.0.0.1", port=port, seconds=seconds)


def test_all_hosts_meet_in_whatever_order_they_come_and_the_port_is_free_again(port):
    with ThreadPoolExecutor() as pool:
        came = [pool.submit(host, number, port, hosts=3) for number in (2, 0, 1)]
        assert [one.result(timeout=30) for one in came] == [None] * 3
    socket.create_server(("", port)).close()


def test_a_host_that_never_comes_is_named_on_all_that_are_there(port):
    with ThreadPoolExecutor() as pool:
        came = [pool.submit(host, number, port, hosts=4, seconds=3) for number in (0, 2)]
        for one in came:
            with pytest.raises(TrainingError) as error:
                one.result(timeout=30)
            place = f"127.0.0.1:{port}"
            assert f"2 of 4 hosts came to {place}, not NODE_RANK=1, 3 within 3 s" in str(
                error.value
            )


def test_without_the_first_host_the_others_say_where_they_look_for_it(port):
    with pytest.raises(TrainingError, match=f"nobody is at 127.0.0.1:{port} within 2 s") as error:
        host(1, port, seconds=2)
    assert "1 of 2 hosts came" in str(error.value)


@pytest.mark.parametrize(
    ("hosts", "number", "message"),
    [(3, 1, "NNODES=3 here, and 2 on the first host"), (2, 2, "numbered 0 to 1")],
)
def test_a_host_that_contradicts_the_first_is_refused(port, hosts, number, message):
    with ThreadPoolExecutor() as pool:
        first = pool.submit(host, 0, port, seconds=4)
        with pytest.raises(UsageError, match=message):
            host(number, port, hosts=hosts)
        with pytest.raises(TrainingError, match="1 of 2 hosts"):
            first.result(timeout=30)


def test_a_taken_port_is_said_so(port):
    with (
        socket.create_server(("", port)),
        pytest.raises(UsageError, match=f"PORT={port} of this host cannot be listened on"),
    ):
        host(0, port)


def started(**environment: str) -> tuple[int, str]:
    """Run `xtune train` as one of two; return its exit code and last line."""
    done = subprocess.run(
        [sys.executable, "-m", "xtune.cli.process", "train", "custom_sft_lora"],
        capture_output=True,
        text=True,
        timeout=120,
        env=os.environ | {"OMP_NUM_THREADS": "1", "MEET_TIMEOUT": "3"} | environment,
    )
    return done.returncode, done.stderr.rstrip().splitlines()[-1]


def test_the_command_says_who_did_not_come(port):
    code, said = started(NNODES="2", NODE_RANK="0", ADDR="127.0.0.1", PORT=str(port))
    assert code == 1
    assert f"1 of 2 hosts came to 127.0.0.1:{port}, not NODE_RANK=1 within 3 s" in said


@pytest.mark.parametrize(
    ("rank", "message"),
    [
        (0, "1 of 2 processes came to 127.0.0.1:{} within 3 s, not rank 1"),
        pytest.param(
            1,
            "rank 1 of 2 did not get through to 127.0.0.1:{} within 3 s",
            marks=pytest.mark.slow,
        ),
    ],
)
def test_under_srun_a_process_that_never_comes_is_named(port, tmp_path, rank, message):
    place = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    code, said = started(RANK=str(rank), WORLD_SIZE="2", LOCAL_RANK="0", **place)
    assert code == 1
    assert message.format(port) in said
