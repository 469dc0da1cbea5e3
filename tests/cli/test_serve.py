"""`xtune serve`, as a user types it."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import urllib.request

import pytest

from xtune.cli.entry import main


def refused(capsys, *words):
    """What a refusal says; its exit code is 2."""
    assert main(["serve", *words]) == 2
    return capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "name a MODEL, or an adapter that names its own"),
        (["./nowhere"], "nowhere"),
        (["smollm2", "--adapter", "a=./nowhere"], "nowhere"),
        (["smollm2", "--slots", "0"], "--slots is 0; allowed: 1 or more"),
        (["smollm2", "--port", "99999"], "give a number from 1 to 65535"),
        (["smollm2", "--api-key-file", "./nowhere"], "cannot be read"),
        (["smollm2", "--tool-options", "a.b=1"], "--tool-options goes with --tools NAME"),
        (["smollm2", "--tools", "calculater"], "did you mean 'calculator'"),
        (["smollm2", "--tools", "date", "--tool-options", "date.day=1"], "no option 'day'"),
    ],
)
def test_misuse_is_said_before_anything_is_loaded(capsys, words, said):
    assert said in refused(capsys, *words)


def test_without_a_key_nobody_but_this_machine_is_let_in(capsys, monkeypatch, tmp_path):
    monkeypatch.delenv("XTUNE_API_KEY", raising=False)
    said = refused(capsys, "smollm2", "--host", "0.0.0.0")
    assert "without a key would let anybody use the model: set XTUNE_API_KEY" in said
    (tmp_path / "keys").write_text("\n")
    assert "is empty" in refused(capsys, "smollm2", "--api-key-file", str(tmp_path / "keys"))


def test_a_port_that_is_taken_is_said(capsys, parrot_folder):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        assert "try --port 0" in refused(capsys, str(parrot_folder), "--port", port)


def test_without_the_extra_it_says_how_to_install_it(capsys, monkeypatch):
    monkeypatch.setattr("xtune.cli.serve._MODULES", ("no_such_package",))
    assert "no_such_package: pip install 'xtune[serve]'" in refused(capsys, "smollm2")


def test_two_models_of_one_name_are_refused(capsys, parrot_folder, tmp_path):
    folder = tmp_path / "adapter"
    folder.mkdir()
    (folder / "adapter_config.json").write_text(
        json.dumps({"base_model_name_or_path": str(parrot_folder)})
    )
    twice = ["--adapter", f"a={folder}", f"a={folder}"]
    assert "two models are called 'a'" in refused(capsys, str(parrot_folder), *twice)


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere there is always a display")
def test_the_page_is_opened_where_there_is_a_display(capsys, monkeypatch, tmp_path):
    from xtune.cli.serve import _open

    browser = tmp_path / "browser"
    browser.write_text(f'#!/bin/sh\necho "$1" > {tmp_path}/opened\n')
    browser.chmod(0o755)
    monkeypatch.setenv("BROWSER", f"{browser} %s")
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    _open("http://127.0.0.1:8000")
    assert "go to http://127.0.0.1:8000/" in capsys.readouterr().err
    assert not (tmp_path / "opened").exists()
    monkeypatch.setenv("DISPLAY", ":0")
    _open("http://127.0.0.1:8000")
    assert (tmp_path / "opened").read_text() == "http://127.0.0.1:8000\n"


@pytest.mark.slow
def test_a_real_process_listens_answers_and_ends(parrot_folder):
    with subprocess.Popen(
        [sys.executable, "-m", "xtune.cli.entry", "serve", str(parrot_folder), "--port", "0"],
        env={**os.environ, "XTUNE_API_KEY": ""},
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        line = ""
        while "http://" not in line:
            line = process.stderr.readline()
            assert line, process.wait()
        url = re.search(r"http://\S+?/v1", line)[0]
        page = re.search(r"the page at (\S+);", line)[1]
        assert b"main.js" in urllib.request.urlopen(page, timeout=60).read()
        body = {
            "model": parrot_folder.name,
            "messages": [{"role": "user", "content": "Who are you?"}],
            "temperature": 0,
        }
        request = urllib.request.Request(
            f"{url}/chat/completions",
            json.dumps(body).encode(),
            {"Content-Type": "application/json"},
        )
        answer = json.loads(urllib.request.urlopen(request, timeout=60).read())
        assert answer["choices"][0]["message"]["content"] == "A parrot."
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=60) in (0, 130)
