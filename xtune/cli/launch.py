"""Start the processes of a run, one for each device, through torchrun.

NPROC_PER_NODE   processes on this host; default 1
NNODES           hosts; default 1
NODE_RANK        number of this host; default 0
ADDR, PORT       of the first host, where all meet; default 127.0.0.1 and a free port
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Sequence

from xtune.errors import UsageError

__all__ = ["launch", "wanted_processes"]


def wanted_processes() -> int:
    """Return how many processes the environment asks for; 1 in one that has been started."""
    if "WORLD_SIZE" in os.environ:  # torchrun's child
        return 1
    return _number("NPROC_PER_NODE", 1) * _number("NNODES", 1)


def launch(words: Sequence[str]) -> int:
    """Run `xtune` with these words in all processes of this host; return the exit code.

    torchrun stops the others when one fails.

    Raises:
        UsageError: several hosts, and no address of the first.
    """
    nodes = _number("NNODES", 1)
    if nodes > 1 and not os.environ.get("ADDR"):
        raise UsageError(f"NNODES={nodes}, but no ADDR: the address of the first host, on each")
    command = [
        *(sys.executable, "-m", "torch.distributed.run"),
        f"--nproc-per-node={_number('NPROC_PER_NODE', 1)}",
        f"--nnodes={nodes}",
        f"--node-rank={_number('NODE_RANK', 0)}",
        f"--master-addr={os.environ.get('ADDR') or '127.0.0.1'}",
        f"--master-port={os.environ.get('PORT') or (29500 if nodes > 1 else _free_port())}",
        *("-m", "xtune.cli.process"),
        *words,
    ]
    threads = str(max(1, (os.cpu_count() or 1) // _number("NPROC_PER_NODE", 1)))
    return subprocess.run(command, env={"OMP_NUM_THREADS": threads, **os.environ}).returncode


def _number(name: str, default: int) -> int:
    given = os.environ.get(name) or str(default)
    if not given.isdecimal():
        raise UsageError(f"{name}={given!r} is no number")
    return int(given)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
