"""Minutes of clients who join, leave, read slowly and send garbage, and what is left of them.

    python benchmarks/serve_soak.py --seconds 600

A two-layer SmolLM2 behind `xtune serve` in a process of its own. Each quarter of a minute memory,
threads, open files and rows are noted; a section of Markdown goes to standard output. The exit code
is 1 if memory, without what the prefix cache holds, is more than 5 % higher in the last fifth than
in the second, or if threads, files or rows are left when all clients have gone.
"""

from __future__ import annotations

import argparse
import http.client
import json
import random
import re
import socket
import statistics
import sys
import tempfile
import threading
import time
import urllib.request
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import psutil
from harness.machine import machine_lines
from serve_cpu import ROOT, _only_model, _prompt, _server, _two_layers

_EVERY = 15.0  # seconds between two looks
_ALLOWED = 1.05  # of the memory after the first fifth
_CACHED = 2 * 2 * 3 * 64 * 4 / 1e6  # MB of a token: keys and values, layers, heads, width, fp32


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seconds", type=float, default=600.0)
    args = parser.parse_args()
    sys.path.insert(0, str(ROOT))
    from xtune.models.gguf import converted_gguf

    machine = machine_lines(threads=1)
    with tempfile.TemporaryDirectory() as folder:
        model = _two_layers(str(converted_gguf("smollm2")), folder)
        command = [sys.executable, "-m", "xtune.cli.entry", "serve", model, "--dtype", "fp32"]
        with _server([*command, "--queue", "16"]) as (process, url):
            looks, done = _abuse(process, url, args.seconds)
    print("\n".join(_page(machine, looks, done, args.seconds)))
    return _grown(looks)


def _abuse(process: psutil.Process, url: str, seconds: float) -> tuple[list[dict], Counter[str]]:
    """Let four kinds of clients at it; return what was seen, and what each has done."""
    port = int(url.split(":")[2].split("/")[0])
    model = _only_model(url)
    done: Counter[str] = Counter()
    ended = threading.Event()
    kinds: list[Callable[[int, str, random.Random], str]] = [_whole, _leave, _garbage, _slow]

    def client(number: int) -> None:
        dice = random.Random(number)
        while not ended.is_set():
            try:
                done[kinds[number % 4](port, model, dice)] += 1
            except (OSError, http.client.HTTPException) as error:
                done[f"failed: {type(error).__name__}"] += 1

    looks = [_look(process, url, 0.0)]
    threads = [threading.Thread(target=client, args=(number,)) for number in range(8)]
    began = time.monotonic()
    for thread in threads:
        thread.start()
    while (passed := time.monotonic() - began) < seconds:
        time.sleep(min(_EVERY, seconds - passed))
        looks.append(_look(process, url, time.monotonic() - began))
    ended.set()
    for thread in threads:
        thread.join()
    time.sleep(3)
    looks.append(_look(process, url, time.monotonic() - began))
    return looks, done


def _body(model: str, dice: random.Random, tokens: int) -> str:
    return json.dumps(
        {
            "model": model,
            "messages": [{"role": "user", "content": _prompt(dice.randrange(10**6)) * 2}],
            "max_tokens": tokens,
            "seed": dice.randrange(1000),
            "stream": True,
        }
    )


def _head(body: str) -> bytes:
    return (
        "POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body.encode())}\r\n\r\n{body}"
    ).encode()


def _whole(port: int, model: str, dice: random.Random) -> str:
    """Read an answer to its end."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
    connection.request("POST", "/v1/chat/completions", _body(model, dice, dice.randint(1, 40)))
    response = connection.getresponse()
    said = response.read()
    connection.close()
    return "read to the end" if said.endswith(b"[DONE]\n\n") else f"status {response.status}"


def _leave(port: int, model: str, dice: random.Random) -> str:
    """Leave: at once, or in the middle of a long answer."""
    with socket.create_connection(("127.0.0.1", port), timeout=120) as connection:
        connection.sendall(_head(_body(model, dice, 400)))
        if dice.random() < 0.7:
            connection.recv(dice.randint(1, 3000))
    return "left"


def _garbage(port: int, model: str, dice: random.Random) -> str:
    """Send what is no request, or one that is refused."""
    kind = dice.randrange(4)
    with socket.create_connection(("127.0.0.1", port), timeout=120) as connection:
        if kind == 0:
            connection.sendall(dice.randbytes(dice.randint(1, 5000)))
        elif kind == 1:
            connection.sendall(_head("{" * dice.randint(1, 2000)))
        elif kind == 2:
            connection.sendall(_head(_body(model + "x", dice, 9)))
        else:
            connection.sendall(_head(_body(model, dice, 9))[: dice.randint(1, 200)])
            connection.shutdown(socket.SHUT_WR)
        connection.settimeout(2)
        try:
            connection.recv(100)
        except TimeoutError:
            return "garbage that waits for more"
    return "garbage"


def _slow(port: int, model: str, dice: random.Random) -> str:
    """Read a few bytes at a time."""
    with socket.create_connection(("127.0.0.1", port), timeout=120) as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.sendall(_head(_body(model, dice, 60)))
        for _ in range(dice.randint(1, 60)):
            if not connection.recv(64):
                break
            time.sleep(0.05)
    return "read slowly"


def _look(process: psutil.Process, url: str, seconds: float) -> dict:
    with urllib.request.urlopen(url.removesuffix("/v1") + "/metrics", timeout=60) as response:
        said = response.read().decode()

    def of(name: str) -> float:
        found = re.search(rf"^xtune_{name} (\S+)$", said, re.M)
        return float(found[1]) if found else 0.0

    return {
        "seconds": seconds,
        "MB": process.memory_info().rss / 1e6,
        "threads": process.num_threads(),
        "files": process.num_fds(),
        "rows": of("rows_running") + of("rows_waiting"),
        "cached": of("cached_tokens"),
    }


def _fifth(looks: list[dict], number: int) -> float:
    last = looks[-2]["seconds"]
    own = [
        each["MB"] - _CACHED * each["cached"]
        for each in looks[:-1]
        if number <= 5 * each["seconds"] / last <= number + 1
    ]
    return statistics.median(own)


def _page(machine: list[str], looks: list[dict], done: Counter[str], seconds: float) -> list[str]:
    lines = [
        "## The soak",
        "",
        f"`python benchmarks/{Path(__file__).name} --seconds {seconds:.0f}`",
        "",
        "Two layers of SmolLM2 in fp32, eight clients at once: "
        + ", ".join(f"{count} {what}" for what, count in sorted(done.items()))
        + ".",
        "",
        *machine,
        "",
        "| seconds | MB | threads | files | rows | cached tokens |",
        "|---|---|---|---|---|---|",
    ]
    shown = looks[:: max(1, len(looks) // 12)]
    shown += [look for look in looks[-2:] if look not in shown]
    for look in shown:
        lines.append(
            f"| {look['seconds']:.0f} | {look['MB']:.0f} | {look['threads']} | {look['files']} | "
            f"{look['rows']:.0f} | {look['cached']:.0f} |"
        )
    return [
        *lines,
        "",
        "Without what is cached, by the median: "
        f"{_fifth(looks, 1):.0f} MB in the second fifth, {_fifth(looks, 4):.0f} MB in the last.",
    ]


def _grown(looks: list[dict]) -> int:
    wrong = []
    if _fifth(looks, 4) > _ALLOWED * _fifth(looks, 1):
        wrong.append("memory has grown")
    first, last = looks[0], looks[-1]
    if last["rows"]:
        wrong.append(f"{last['rows']:.0f} rows are left")
    if last["files"] > first["files"] + 2:
        wrong.append(f"{last['files'] - first['files']} files are left open")
    if last["threads"] > max(look["threads"] for look in looks[1:3]) + 2:
        wrong.append("threads are left")
    print("\n".join(wrong), file=sys.stderr)
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main())
