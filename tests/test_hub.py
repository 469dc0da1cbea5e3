"""A hub that cannot be reached, refuses or hangs is asked once, and the next step is named."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pyarrow as pa
import pytest

# In a process of its own: huggingface_hub reads HF_ENDPOINT when it is imported.
ASK = """
import sys
from xtune import hub
hub.TIMEOUT = 0.5
from xtune.data.sources.hub import HubSource
from xtune.errors import XtuneError
from xtune.models import load_config, load_tokenizer
for what in (
    lambda: load_tokenizer(sys.argv[1]),
    lambda: load_config(sys.argv[1]),
    lambda: list(HubSource("owner/data", split="train").rows()),
):
    try:
        what()
    except XtuneError as error:
        print(error)
"""

# What was fetched before
KEPT = """
from xtune import hub
hub.TIMEOUT = 0.5
from xtune.data.sources.hub import HubSource
for streaming in (False, True):
    source = HubSource("owner/MyData", split="train", streaming=streaming)
    print([row for _, row in source.rows()], source.fingerprint() != "")
"""
# The library cannot be installed here: a stand-in fails
MODELSCOPE = """
import sys, types
from xtune import hub
hub.TIMEOUT = 0.5
def fails(*words, **named):
    raise ConnectionError("asked again" if not named.get("local_files_only") else "not kept")
for name in ("modelscope", "modelscope.msdatasets"):
    sys.modules[name] = types.ModuleType(name)
sys.modules["modelscope"].snapshot_download = fails
sys.modules["modelscope.msdatasets"].MsDataset = types.SimpleNamespace(load=fails)
from xtune.data.sources.modelscope import ModelScopeSource
from xtune.errors import XtuneError
from xtune.models import load_config, load_tokenizer
for what in (
    lambda: load_config("modelscope:owner/model"),
    lambda: load_tokenizer("modelscope:owner/model"),
    lambda: list(ModelScopeSource("owner/data", split="train").rows()),
):
    try:
        what()
    except XtuneError as error:
        print(error)
"""


class Hub(ThreadingHTTPServer):
    """Counts the requests; `status` None: never answers."""

    def __init__(self, status, code=""):
        super().__init__(("127.0.0.1", 0), Answer)
        self.status, self.code, self.asked, self.over = status, code, [], threading.Event()


class Answer(BaseHTTPRequestHandler):
    def do_HEAD(self):
        self.server.asked.append(self.path)
        if self.server.status is None:
            self.server.over.wait(10)
            return
        self.send_response(self.server.status)
        if self.server.code:
            self.send_header("X-Error-Code", self.server.code)
        self.end_headers()

    do_GET = do_HEAD

    def log_message(self, *args):
        pass


@pytest.fixture
def silent():
    """A hub that never answers."""
    hub = Hub(None)
    threading.Thread(target=hub.serve_forever, daemon=True).start()
    yield hub
    hub.over.set()
    hub.shutdown()
    hub.server_close()


def ask(endpoint, home, name="owner/model", script=ASK):
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("HF_", "TRANSFORMERS"))}
    done = subprocess.run(
        [sys.executable, "-c", script, name],
        env=environment
        | {"HF_ENDPOINT": endpoint, "MODELSCOPE_ENDPOINT": endpoint, "HF_HOME": str(home)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert "Retrying" not in done.stderr
    return done.stdout.splitlines()


@pytest.mark.parametrize(
    ("status", "code", "said"),
    [
        (404, "RepoNotFound", "no {what} of this name that you may see"),
        (404, "", "no {what} of this name: check the spelling"),
        (401, "", "no {what} of this name that you may see"),
        (403, "GatedRepo", "the {what} is gated"),
        (503, "", "answers 503"),
        (None, "", "the hub cannot be reached (no answer within 0 s)"),
    ],
)
def test_one_request_each_and_the_next_step(tmp_path, status, code, said):
    hub = Hub(status, code)
    threading.Thread(target=hub.serve_forever, daemon=True).start()
    try:
        tokenizer, config, data = ask(f"http://127.0.0.1:{hub.server_port}", tmp_path)
    finally:
        hub.over.set()
        hub.shutdown()
        hub.server_close()
    assert said.format(what="model") in tokenizer == config
    assert said.format(what="data set") in data
    assert hub.asked == [
        "/owner/model/resolve/main/config.json",
        "/datasets/owner/data/resolve/main/README.md",
    ]
    wanted = ("hf auth login", "HF_TOKEN") if code or status == 401 else ("HF_ENDPOINT",)
    assert all(word in tokenizer for word in wanted)


def test_no_network_and_what_is_cached(tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        endpoint = f"http://127.0.0.1:{free.getsockname()[1]}"  # bound and closed: refuses
    snapshot = tmp_path / "hub" / "models--owner--kept" / "snapshots" / ("0" * 40)
    snapshot.mkdir(parents=True)
    (snapshot / "config.json").write_text(json.dumps({"model_type": "llama"}))
    refs = snapshot.parents[1] / "refs"
    refs.mkdir()
    (refs / "main").write_text("0" * 40)
    lines = ask(endpoint, tmp_path)
    words = ("HF_ENDPOINT", "modelscope:owner/name", "HF_HUB_OFFLINE=1", "tiny-model")
    assert [all(word in line for word in words) for line in lines] == [True, True, True]
    kept = ask(endpoint, tmp_path, "owner/kept")
    assert len(kept) == 2  # the config is read; a tokenizer is not there, nor the data set
    assert "cannot be reached" not in kept[0]


def test_a_data_set_that_is_cached_is_read_after_one_request(tmp_path, silent):
    info = {"config_name": "default", "splits": {"train": {"name": "train", "num_examples": 2}}}
    kept = tmp_path / "datasets" / "owner___my_data" / "default" / "0.0.0" / ("a" * 40)
    kept.mkdir(parents=True)
    (kept / "dataset_info.json").write_text(json.dumps(info))
    table = pa.Table.from_pylist([{"q": 1}, {"q": 2}])
    with pa.ipc.new_stream(str(kept / "my_data-train.arrow"), table.schema) as writer:
        writer.write_table(table)
    lines = ask(f"http://127.0.0.1:{silent.server_port}", tmp_path, script=KEPT)
    assert lines == ["[{'q': 1}, {'q': 2}] True"] * 2
    assert silent.asked == ["/datasets/owner/MyData/resolve/main/README.md"]


def test_modelscope_is_asked_once_and_the_ways_out_are_told(tmp_path, silent):
    endpoint = f"http://127.0.0.1:{silent.server_port}"
    lines = ask(endpoint, tmp_path, script=MODELSCOPE)
    assert len(lines) == 3
    for line in lines:
        assert f"ModelScope: {endpoint} cannot be reached (no answer within 0 s)" in line
        assert "give a folder or a file that is here; or owner/name" in line
    assert len(silent.asked) == 1
