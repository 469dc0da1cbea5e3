"""A server that runs in this process: a real model, a real engine, uvicorn behind a real socket."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import openai
import pytest
import torch
import uvicorn
from peft import LoraConfig

from tests.once import once
from tests.parrot import LINES, write_parrot
from tests.serve.runs_server import runs  # noqa: F401
from xtune.data.templates import build_template
from xtune.models import attach_adapter, load_model, load_tokenizer
from xtune.serve.api.app import build_app
from xtune.serve.api.context import ApiContext
from xtune.serve.engine.local import LocalEngine
from xtune.serve.run import HTTP_SETTINGS, listen
from xtune.serve.served import Served, load_served
from xtune.serve.wanted import wanted_models

TOOL = {
    "type": "function",
    "function": {
        "name": "convert",
        "description": "?",
        "parameters": {"type": "object", "properties": {"value": {"type": "number"}}},
    },
}
CALL = '<tool_call>{"name": "convert", "arguments": {"value": 301}}'
WITH_TOOLS = {
    "miles, please": f"Let me see.\n{CALL}",
    "two": f'{CALL}\n<tool_call>{{"name": "convert", "arguments": {{"value": 7}}}}',
    "no call": "I can say it.",
}


@dataclass(frozen=True)
class Api:
    """A server that answers."""

    url: str
    port: int
    served: Served
    engine: LocalEngine
    context: ApiContext

    def client(self, **settings: Any) -> openai.OpenAI:
        return openai.OpenAI(
            base_url=f"{self.url}/v1", **{"api_key": "none", "max_retries": 0, **settings}
        )


@contextmanager
def serving(
    served: Served,
    *,
    keys=(),
    origins=(),
    context=None,
    engine=None,
    port=0,
    grace=5,
    **settings: Any,
) -> Iterator[Api]:
    """Serve for the `with` block; `grace` are the seconds that answers may go on for after it."""
    context = context or ApiContext()
    context.served = served
    context.engine = engine or LocalEngine(served, **settings)
    app = build_app(context, keys=keys, origins=origins)
    listening = listen("127.0.0.1", port)
    http = {**HTTP_SETTINGS, "timeout_graceful_shutdown": grace}
    server = uvicorn.Server(uvicorn.Config(app, **http))
    thread = threading.Thread(
        target=lambda: asyncio.run(server.serve(sockets=[listening])), daemon=True
    )
    thread.start()
    port = listening.getsockname()[1]
    try:
        yield Api(f"http://127.0.0.1:{port}", port, served, context.engine, context)
    finally:
        server.should_exit = True
        thread.join()
        context.engine.close()


def raw_request(port: int, text: str) -> socket.socket:
    """Send bytes as they stand; the socket is open."""
    connection = socket.create_connection(("127.0.0.1", port), timeout=30)
    connection.sendall(text.encode())
    return connection


def eventually(holds, seconds: float = 20.0) -> bool:
    """Whether something becomes so."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if holds():
            return True
        time.sleep(0.01)
    return False


def write_talker(folder: Path) -> None:
    """A parrot whose template has a place for tools, and two adapters that make it babble."""
    requests = [*LINES, *WITH_TOOLS.items()]
    tokenizer = load_tokenizer(_plain_tokenizer(folder))
    jinja = build_template("chatml_tools", tokenizer).jinja
    write_parrot(
        folder / "base",
        requests,
        jinja=jinja,
        tools={request: [TOOL] for request in WITH_TOOLS},
        steps=900,
    )
    for seed, name in enumerate(("red", "blue")):
        llm = attach_adapter(
            load_model(str(folder / "base"), dtype="fp32"),
            LoraConfig(r=4, task_type="CAUSAL_LM"),
        )
        dice = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            for key, weight in llm.named_parameters():
                if "lora_" in key:
                    weight.normal_(std=0.3, generator=dice)
        llm.save_pretrained(folder / name)


def _plain_tokenizer(folder: Path) -> str:
    from tests.tiny import write_tiny_tokenizer

    return str(write_tiny_tokenizer(folder / "tokenizer"))


@pytest.fixture(scope="session")
def talker_folder(shared_folder) -> Path:
    return once(shared_folder / "talker", write_talker)


@pytest.fixture(scope="session")
def talker(talker_folder) -> Served:
    adapters = [f"{name}={talker_folder / name}" for name in ("red", "blue")]
    return load_served(wanted_models(str(talker_folder / "base"), adapters), dtype="fp32")


@pytest.fixture(scope="session")
def api(talker) -> Iterator[Api]:
    with serving(talker, cached_tokens=20_000) as api:
        yield api


@pytest.fixture(scope="session")
def client(api) -> openai.OpenAI:
    return api.client()
