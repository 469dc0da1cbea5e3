"""Start the processes of a run, one for each device, through torchrun.

NPROC_PER_NODE   processes on this host; default 1
NNODES           hosts; default 1
NODE_RANK        number of this host; default 0
ADDR, PORT       of the first host, where all meet; default 127.0.0.1 and a free port
MEET_TIMEOUT     seconds that those who are there wait for the others; default 600
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from xtune.cli.meet import meet
from xtune.errors import UsageError
from xtune.parallel.world import MEET_TIMEOUT
from xtune.watch.last_words import read_ends

__all__ = ["launch", "wanted_processes"]


def wanted_processes() -> int:
    """Return how many processes the environment asks for; 1 in one that has been started."""
    if "WORLD_SIZE" in os.environ:  # torchrun's child
        return 1
    return _number("NPROC_PER_NODE", 1) * _number("NNODES", 1)


def launch(words: Sequence[str]) -> int:
    """Run `xtune` with these words in all processes of this host; return the exit code.

    torchrun stops the others when one fails. What the first to fail has said is said last, and its
    exit code is the launcher's.

    Raises:
        UsageError: several hosts, and no address of the first; or they contradict each other.
        TrainingError: not all hosts came.
    """
    nodes = _number("NNODES", 1)
    if nodes > 1 and not os.environ.get("ADDR"):
        raise UsageError(f"NNODES={nodes}, but no ADDR: the address of the first host, on each")
    address = os.environ.get("ADDR") or "127.0.0.1"
    port = _number("PORT", 29500) if nodes > 1 else _number("PORT", 0) or _free_port()
    if port > 65535:
        raise UsageError(f"PORT={port}: give a number from 1 to 65535, the same on each host")
    if nodes > 1:
        meet(
            hosts=nodes,
            number=_number("NODE_RANK", 0),
            address=address,
            port=port,
            seconds=_number("MEET_TIMEOUT", MEET_TIMEOUT),
        )
    command = [
        *(sys.executable, "-m", "torch.distributed.run"),
        f"--nproc-per-node={_number('NPROC_PER_NODE', 1)}",
        f"--nnodes={nodes}",
        f"--node-rank={_number('NODE_RANK', 0)}",
        f"--master-addr={address}",
        f"--master-port={port}",
        *("-m", "xtune.cli.process"),
        *words,
    ]
    threads = str(max(1, (os.cpu_count() or 1) // _number("NPROC_PER_NODE", 1)))
    with tempfile.TemporaryDirectory() as ends:
        environment = {"OMP_NUM_THREADS": threads, **os.environ, "XTUNE_ENDS": ends}
        code = subprocess.run(command, env=environment).returncode
        return code and _report(Path(ends), code)


def _report(ends: Path, code: int) -> int:
    """Say what the process that failed first has said; return its exit code."""
    found = read_ends(ends)
    if not found:
        print(f"xtune train: a process was killed; torchrun ended with {code}", file=sys.stderr)
        return 1
    rank, first = next(iter(found.items()))
    if first["about_another"]:
        print(file=sys.stderr)
    else:
        print(f"\nThe first of {len(found)} that failed, rank {rank}:", file=sys.stderr)
    print(first["said"].rstrip(), file=sys.stderr)
    return int(first["code"])


def _number(name: str, default: int) -> int:
    given = os.environ.get(name) or str(default)
    if not (given.isascii() and given.isdecimal()):
        raise UsageError(f"{name}={given!r} is no number")
    return int(given)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
