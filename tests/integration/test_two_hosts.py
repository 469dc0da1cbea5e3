"""Two hosts, each a network namespace with an address of its own, joined by one link."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from tests.integration.hang import hang
from tests.integration.test_ddp import chosen, processes_of, run, wait_for_steps
from tests.runs import Inputs, losses

HOSTS = {f"xtune{os.getpid()}a": "10.77.0.1", f"xtune{os.getpid()}b": "10.77.0.2"}


def ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True)


@pytest.fixture
def hosts():
    """The namespaces' names and addresses."""
    if shutil.which("ip") is None or os.geteuid() != 0:
        pytest.skip("two hosts need iproute2's `ip` and root")
    try:
        for name in HOSTS:
            ip("netns", "add", name)
    except subprocess.CalledProcessError as error:
        pytest.skip(f"this machine allows no network namespaces: {error.stderr.decode().strip()}")
    try:
        a, b = HOSTS
        ends = ("type", "veth", "peer", "name", "link_b", "netns", b)
        ip("link", "add", "name", "link_a", "netns", a, *ends)
        for name, address in HOSTS.items():
            ip("-n", name, "addr", "add", f"{address}/24", "dev", f"link_{name[-1]}")
            ip("-n", name, "link", "set", f"link_{name[-1]}", "up")
            ip("-n", name, "link", "set", "lo", "up")
        yield HOSTS
    finally:
        for name in HOSTS:
            subprocess.run(["ip", "netns", "del", name], check=False)


def start_on(hosts, number: int, inputs: Inputs, work_dir: Path, *further: str, **environment: str):
    """Start host `number` of two, as its user does."""
    config = "custom_sft_lora"
    name = list(hosts)[number]
    return subprocess.Popen(
        [
            *("ip", "netns", "exec", name, sys.executable, "-m", "xtune.cli.process"),
            *("train", config, "--work-dir", str(work_dir), "--cfg-options"),
            *chosen(inputs, *further, config=config),
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=os.environ
        | {
            "HF_HUB_OFFLINE": "1",
            "OMP_NUM_THREADS": "1",
            "NNODES": "2",
            "NODE_RANK": str(number),
            "ADDR": next(iter(hosts.values())),
            "PORT": "29577",
            "GLOO_SOCKET_IFNAME": f"link_{name[-1]}",
        }
        | environment,
    )


@pytest.mark.slow
def test_two_hosts_make_the_steps_of_two_processes_on_one(inputs, hosts, tmp_path):
    run(inputs, tmp_path / "one", "max_steps=4")
    two = tmp_path / "two"
    started = [start_on(hosts, number, inputs, two, "max_steps=4") for number in range(2)]
    said = [process.communicate(timeout=240)[0] for process in started]
    assert [process.returncode for process in started] == [0, 0], "\n".join(said)
    assert losses(tmp_path / "two") == losses(tmp_path / "one")
    assert "done: 4 steps" in said[0]
    assert "done" not in said[1]  # one of them speaks


def ends_of(started, seconds: float = 60) -> list[str]:
    """The last two lines of each host, which must have ended by then."""
    deadline = time.monotonic() + seconds
    said = []
    for process in started:
        try:
            said.append(process.communicate(timeout=deadline - time.monotonic())[0])
        except subprocess.TimeoutExpired:
            process.kill()
            said.append("did not end\n")
    return ["\n".join(text.rstrip().splitlines()[-2:]) for text in said]


@pytest.mark.slow
def test_a_cut_link_ends_both_sides_with_the_name_of_the_other(inputs, hosts, tmp_path):
    steps = "max_steps=100000"
    started = [start_on(hosts, number, inputs, tmp_path, steps) for number in range(2)]
    wait_for_steps(started[0], tmp_path, 60)
    ip("-n", list(hosts)[1], "link", "set", "link_b", "down")
    ends = ends_of(started)
    assert [process.returncode for process in started] == [1, 1], ends
    assert "rank 1 (host" in ends[0]
    assert "10.77.0.2) cannot be reached any more, last seen in step" in ends[0]
    assert "rank 0 (host" in ends[1]
    assert "10.77.0.1" in ends[1]
    assert "cannot be reached any more, last seen in" in ends[1]


@pytest.mark.slow
@pytest.mark.parametrize("rank", [0, 1])
def test_the_death_of_a_rank_is_known_on_both_hosts(inputs, hosts, tmp_path, rank):
    steps = "max_steps=100000"
    started = [start_on(hosts, number, inputs, tmp_path, steps) for number in range(2)]
    wait_for_steps(started[0], tmp_path, 60)
    ranks = {psutil.Process(pid).environ().get("RANK"): pid for pid in processes_of(tmp_path)}
    killed = ranks[str(rank)]
    os.kill(killed, signal.SIGKILL)
    ends = ends_of(started)
    assert [process.returncode for process in started] == [1, 1], ends
    assert "a process was killed" in ends[rank]
    assert f"rank {rank} (host" in ends[1 - rank]
    assert f"process {killed}, at 10.77.0.{rank + 1}" in ends[1 - rank]
    # Rank 1 hears of rank 0 once a second, in which it does many of these small steps.
    seen = "is gone, last seen in " + ("step" if rank == 1 else "")
    assert seen in ends[1 - rank]


@pytest.mark.slow
def test_the_error_of_a_rank_is_said_last_on_both_hosts(inputs, hosts, tmp_path):
    started = [start_on(hosts, number, inputs, tmp_path, hang("fail")) for number in range(2)]
    ends = ends_of(started, 120)
    assert [process.returncode for process in started] == [1, 1], ends
    assert "failed in step 3" in ends[0]
    for end in ends:
        assert "RuntimeError: the test's crash of one rank" in end
