"""Long abuse leaves nothing behind."""

from __future__ import annotations

import gc
import http.client
import json
import random

import psutil
import pytest

from tests.serve.conftest import eventually, raw_request
from tests.serve.test_chat_completions import WHO, chat, of_whole


@pytest.mark.slow
def test_ten_thousand_broken_requests_and_hundreds_who_leave_take_no_memory(api):
    dice = random.Random(0)
    bodies = [
        b"{",
        b"[]",
        b"\xff" * 50,
        json.dumps({"model": "x"}).encode(),
        json.dumps({"model": "base", "messages": "Hi"}).encode(),
        json.dumps({"model": "base", "messages": WHO, "temperature": "hot"}).encode(),
        json.dumps({"model": "base", "messages": WHO, "strange": 1}).encode(),
    ]
    asked = json.dumps({"model": "red", "messages": WHO, "temperature": 2, "stream": True})
    head = "POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\n"
    head += f"Content-Type: application/json\r\nContent-Length: {len(asked)}\r\n\r\n"

    def abuse(count: int) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", api.port, timeout=60)
        for number in range(count):
            connection.request("POST", "/v1/chat/completions", dice.choice(bodies))
            response = connection.getresponse()
            assert response.status in (400, 404)
            response.read()
            if number % 40 == 0:
                raw_request(api.port, head + asked).close()
        connection.close()

    process = psutil.Process()
    abuse(500)
    gc.collect()
    before = process.memory_info().rss
    abuse(10_000)
    assert eventually(lambda: api.engine.counts()["rows_running"] == 0, 60)
    gc.collect()
    assert process.memory_info().rss - before < 40_000_000
    assert process.num_fds() < 200
    assert of_whole(chat(api))[0] == "A parrot."
