"""The server: tokens a CPU second at 1, 8 and 32 streams; `generate` and transformers serve too.

    python benchmarks/serve_cpu.py

SmolLM2-135M in fp32 on one thread, greedy, every server in a process of its own whose CPU seconds
are counted (a busy machine does not change those much); the clients are not counted. Prompts differ
from their first word on. A section of Markdown goes to standard output; the exit code is 1 if a
goal is missed.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil
from harness.environments import NotInstallable, python_of
from harness.machine import machine_lines

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
GOALS = {8: 4.0, 32: 6.0}  # times one-by-one generate
SUBJECTS = ("Oslo", "Lima", "Rome", "Bern", "Kiev", "Doha", "Riga", "Baku")
SHARES = (0.5, 0.99, 0.999)
THINGS = ("bridges", "rivers", "songs", "markets")


@dataclass(frozen=True)
class Measured:
    """Tokens of all answers, CPU seconds of the server, seconds, seconds to each first token."""

    tokens: int
    cpu: float
    wall: float
    first: list[float]

    @property
    def speed(self) -> float:
        return self.tokens / self.cpu


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--streams", nargs="+", type=int, default=[1, 8, 32])
    parser.add_argument("--tokens", type=int, default=48)
    parser.add_argument("--crowds", nargs="*", type=int, default=[60, 104])
    parser.add_argument("--without", nargs="+", default=[], help="contenders to leave out")
    args = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = "1"
    machine = machine_lines(threads=1)
    sys.path.insert(0, str(ROOT))
    from xtune.models.gguf import converted_gguf

    model = str(converted_gguf("smollm2"))
    rows: dict[str, dict[int, Measured]] = {}
    if "generate" not in args.without:
        rows["generate, one by one"] = {1: _by_generate(model, args.tokens)}
    if "chat" not in args.without:
        rows["xtune chat"] = {1: _by_chat(model, args.tokens)}
    contenders: dict[str, Callable[[], list[str]]] = {
        "xtune": lambda: (
            [sys.executable, "-m", "xtune.cli.entry", "serve", model] + ["--dtype", "fp32"]
        ),
        "transformers serve": lambda: (
            [str(python_of("transformers_serve"))]
            + ["-m", "transformers.cli.transformers", "serve", model, "--device", "cpu"]
            + ["--dtype", "float32", "--continuous-batching", "--attn-implementation", "sdpa"]
        ),
    }
    notes = []
    for name, command in contenders.items():
        if name in args.without:
            continue
        try:
            with _server(command()) as (process, url):
                served = model if name != "xtune" else _only_model(url)
                _load(process, url, served, 1, 4)  # what the first request sets up
                rows[name] = {
                    count: _load(process, url, served, count, args.tokens) for count in args.streams
                }
        except (NotInstallable, RuntimeError, urllib.error.HTTPError) as error:
            notes.append(f"{name} was not measured: {str(error)[-300:]}")
    crowds: dict[int, list[list[float]]] = {}
    if args.crowds:
        with tempfile.TemporaryDirectory() as folder:
            crowds = _crowds(_two_layers(model, folder), args.crowds)
    print("\n".join([*_page(machine, rows, notes, args), *_crowd_page(crowds)]))
    return _missed(rows)


def _page(machine, rows, notes, args) -> list[str]:
    base = rows["generate, one by one"][1].speed if "generate, one by one" in rows else None
    lines = [
        "## The server",
        "",
        f"`python benchmarks/serve_cpu.py {' '.join(sys.argv[1:])}`".replace(" `", "`"),
        "",
        f"SmolLM2-135M, fp32, one thread, greedy, {args.tokens} tokens an answer; tokens a CPU "
        "second of the server's process, prompts included.",
        "",
        *machine,
        "",
        "| | streams | tokens | CPU s | tokens a CPU s | times generate | first token, median s |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, measured in rows.items():
        for count, one in measured.items():
            times = f"{one.speed / base:.1f}" if base else "-"
            first = sorted(one.first)[len(one.first) // 2] if one.first else None
            lines.append(
                f"| {name} | {count} | {one.tokens} | {one.cpu:.1f} | {one.speed:.1f} | {times} | "
                f"{'-' if first is None else f'{first:.2f}'} |"
            )
    return [*lines, "", *notes]


def _two_layers(model: str, folder: str) -> str:
    """Write SmolLM2 with two of its layers: the way to a model is timed, and its queue."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    llm = AutoModelForCausalLM.from_pretrained(model, num_hidden_layers=2)
    llm.save_pretrained(folder)
    AutoTokenizer.from_pretrained(model).save_pretrained(folder)
    return folder


def _crowds(model: str, counts: list[int]) -> dict[int, list[list[float]]]:
    """Of each client the seconds of its three requests: 250 characters in, 20 tokens out."""
    seconds: dict[int, list[list[float]]] = {}
    command = [sys.executable, "-m", "xtune.cli.entry", "serve", model, "--dtype", "fp32"]
    with _server([*command, "--slots", "64"]) as (_, url):
        served = _only_model(url)
        _ask(url, served, 0, 4)

        def client(number: int) -> list[float]:
            taken = []
            for _ in range(3):
                began = time.monotonic()
                _ask(url, served, number, 20, _prompt(number).ljust(250, "."))
                taken.append(time.monotonic() - began)
            return taken

        for count in counts:
            with ThreadPoolExecutor(count) as pool:
                seconds[count] = list(pool.map(client, range(count)))
    return seconds


def _crowd_page(crowds: dict[int, list[list[float]]]) -> list[str]:
    if not crowds:
        return []
    lines = [
        "",
        "Two layers of it, 250 characters in, 20 tokens out, each client three times; seconds of a "
        "request, and how much longer the slowest client waited in all than the median one:",
        "",
        "| clients at once | TP50 | TP99 | TP999 | slowest to median client |",
        "|---|---|---|---|---|",
    ]
    for count, clients in crowds.items():
        seconds = sorted(taken for client in clients for taken in client)
        waited = sorted(map(sum, clients))
        fairness = f"{waited[-1] / waited[len(waited) // 2]:.2f}"
        at = [seconds[min(int(share * len(seconds)), len(seconds) - 1)] for share in SHARES]
        lines.append(
            f"| {count} | " + " | ".join(f"{each:.2f}" for each in at) + f" | {fairness} |"
        )
    return lines


def _missed(rows: dict[str, dict[int, Measured]]) -> int:
    if "generate, one by one" not in rows or "xtune" not in rows:
        return 0
    base = rows["generate, one by one"][1].speed
    missed = [
        f"{count} streams: {one.speed / base:.1f} times generate, and {GOALS[count]} are the goal"
        for count, one in rows["xtune"].items()
        if count in GOALS and one.speed < GOALS[count] * base
    ]
    print("\n".join(missed), file=sys.stderr)
    return int(bool(missed))


def _prompt(number: int) -> str:
    subject, thing = SUBJECTS[number % 8], THINGS[number // 8 % 4]
    return f"{subject}: tell me, at length and with many details, about its {thing} and its people."


def _by_generate(model: str, tokens: int) -> Measured:
    """Four prompts, one after another, by transformers alone."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    torch.set_num_threads(1)
    tokenizer = AutoTokenizer.from_pretrained(model)
    llm = AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32).eval()

    def answer(number: int, count: int) -> None:
        messages = [{"role": "user", "content": _prompt(number)}]
        ids = tokenizer.apply_chat_template(
            messages, add_generation_prompt=True, return_tensors="pt", return_dict=True
        )
        llm.generate(
            **ids, max_new_tokens=count, min_new_tokens=count, do_sample=False, pad_token_id=0
        )

    answer(9, 4)
    cpu, wall = time.process_time(), time.monotonic()
    for number in range(4):
        answer(number, tokens)
    return Measured(4 * tokens, time.process_time() - cpu, time.monotonic() - wall, [])


def _by_chat(model: str, tokens: int) -> Measured:
    """The same four prompts by what `xtune chat` runs."""
    import torch

    from xtune.generation.model import ChatModel
    from xtune.generation.settings import GenerationSettings

    torch.set_num_threads(1)
    chat = ChatModel.load(model, dtype="fp32")

    def answer(number: int, count: int) -> int:
        settings = GenerationSettings(max_new_tokens=count)
        messages = [{"role": "user", "content": _prompt(number)}]
        return int(chat.stream(messages, lambda text: None, settings=settings).tokens)

    answer(9, 4)
    cpu, wall = time.process_time(), time.monotonic()
    written = sum(answer(number, tokens) for number in range(4))
    return Measured(written, time.process_time() - cpu, time.monotonic() - wall, [])


def _load(process: psutil.Process, url: str, model: str, streams: int, tokens: int) -> Measured:
    """As many clients at once, each of whom reads one streamed answer; at one stream, four do."""
    before, began = _cpu(process), time.monotonic()
    with ThreadPoolExecutor(streams) as pool:
        asked = range(max(streams, 4))
        answers = list(pool.map(lambda number: _ask(url, model, number, tokens), asked))
    return Measured(
        sum(count for count, _ in answers),
        _cpu(process) - before,
        time.monotonic() - began,
        [first for _, first in answers],
    )


def _ask(url: str, model: str, number: int, tokens: int, prompt: str = "") -> tuple[int, float]:
    """Return how many tokens came, and after how many seconds the first."""
    body = {
        "model": model,
        "messages": [{"role": "user", "content": prompt or _prompt(number)}],
        "temperature": 0,
        "max_tokens": tokens,
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    request = urllib.request.Request(
        f"{url}/chat/completions",
        json.dumps(body).encode(),
        {"Content-Type": "application/json"},
    )
    began, first, chunks, said = time.monotonic(), 0.0, 0, 0
    with urllib.request.urlopen(request, timeout=600) as response:
        for line in response:
            if not line.startswith(b"data: {"):
                continue
            chunk = json.loads(line[6:])
            if (chunk.get("usage") or {}).get("completion_tokens"):
                said = chunk["usage"]["completion_tokens"]
            if chunk.get("choices") and chunk["choices"][0]["delta"].get("content"):
                chunks += 1
                first = first or time.monotonic() - began
    return said or chunks, first


def _cpu(process: psutil.Process) -> float:
    times = process.cpu_times()
    return times.user + times.system


@contextmanager
def _server(command: list[str]) -> Iterator[tuple[psutil.Process, str]]:
    """Run a server at a free port for the `with` block, once it answers."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "PYTHONPATH": str(ROOT)}
    if "xtune.cli.entry" not in command:
        environment.pop("PYTHONPATH")
    process = subprocess.Popen(
        [*command, "--port", str(port)],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    said: list[str] = []
    threading.Thread(target=lambda: said.extend(process.stdout), daemon=True).start()
    try:
        until = time.monotonic() + 120
        while not _answers(f"http://127.0.0.1:{port}"):
            if process.poll() is not None or time.monotonic() > until:
                raise RuntimeError("the server does not answer: " + "".join(said)[-500:])
            time.sleep(0.5)
        yield psutil.Process(process.pid), f"http://127.0.0.1:{port}/v1"
    finally:
        process.terminate()
        process.wait(30)


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{url}/health", timeout=5) as response:
            return response.status == 200
    except OSError:
        return False


def _only_model(url: str) -> str:
    with urllib.request.urlopen(f"{url}/models", timeout=30) as response:
        return str(re.findall(r'"id":\s*"([^"]+)"', response.read().decode())[0])


if __name__ == "__main__":
    sys.exit(main())
