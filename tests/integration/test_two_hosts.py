"""Two hosts, each a network namespace with an address of its own, joined by one link."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

import pytest

from tests.integration.test_ddp import chosen, run
from tests.runs import losses

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


def test_two_hosts_make_the_steps_of_two_processes_on_one(inputs, hosts, tmp_path):
    config = "custom_sft_lora"
    run(inputs, tmp_path / "one", "max_steps=4")
    started = [
        subprocess.Popen(
            [
                *("ip", "netns", "exec", name, sys.executable, "-m", "xtune.cli.process"),
                *("train", config, "--work-dir", str(tmp_path / "two"), "--cfg-options"),
                *chosen(inputs, "max_steps=4", config=config),
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
            },
        )
        for number, name in enumerate(hosts)
    ]
    said = [process.communicate(timeout=240)[0] for process in started]
    assert [process.returncode for process in started] == [0, 0], "\n".join(said)
    assert losses(tmp_path / "two") == losses(tmp_path / "one")
    assert "done: 4 steps" in said[0]
    assert "done" not in said[1]  # one of them speaks
