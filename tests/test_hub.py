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

# In a process of its own: huggingface_hub reads HF_ENDPOINT when it is imported. One for all that
# one endpoint is asked, since each imports for four seconds. What each question said is a line.
ASK = """
import json, sys, types
from xtune import hub
hub.TIMEOUT = 0.5
from xtune.data.sources.hub import HubSource
from xtune.errors import XtuneError
from xtune.models import load_config, load_tokenizer
def ask(*questions):
    said = []
    for question in questions:
        try:
            question()
        except XtuneError as error:
            said.append(str(error))
    print(json.dumps(said))
for name in sys.argv[1].split():
    ask(
        lambda: load_tokenizer(name),
        lambda: load_config(name),
        lambda: list(HubSource(name, split="train").rows()),
    )
"""

# What was fetched before
KEPT = """
kept = []
for streaming in (False, True):
    source = HubSource("owner/MyData", split="train", streaming=streaming)
    kept.append([[row for _, row in source.rows()], source.fingerprint() != ""])
print(json.dumps(kept))
"""
# The library cannot be installed here: a stand-in fails
MODELSCOPE = """
def fails(*words, **named):
    raise ConnectionError("asked again" if not named.get("local_files_only") else "not kept")
for name in ("modelscope", "modelscope.msdatasets"):
    sys.modules[name] = types.ModuleType(name)
sys.modules["modelscope"].snapshot_download = fails
sys.modules["modelscope.msdatasets"].MsDataset = types.SimpleNamespace(load=fails)
from xtune.data.sources.modelscope import ModelScopeSource
ask(
    lambda: load_config("modelscope:owner/model"),
    lambda: load_tokenizer("modelscope:owner/model"),
    lambda: list(ModelScopeSource("owner/data", split="train").rows()),
)
"""

# name -> how the hub answers for it: a status (None: never), and an error code of its own
ANSWERS = {
    "unseen": (404, "RepoNotFound"),
    "misspelt": (404, ""),
    "unknown": (401, ""),
    "gated": (403, "GatedRepo"),
    "broken": (503, ""),
    "silent": (None, ""),
}


class Hub(ThreadingHTTPServer):
    """Keeps the paths that were asked; for a name that it does not know it never answers."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Answer)
        self.asked, self.over = [], threading.Event()

    def asked_for(self, name):
        return [path for path in self.asked if name in path.split("/")]


class Answer(BaseHTTPRequestHandler):
    def do_HEAD(self):
        self.server.asked.append(self.path)
        names = (name for name in self.path.split("/") if name in ANSWERS)
        status, code = ANSWERS[next(names, "silent")]
        if status is None:
            self.server.over.wait(10)
            return
        self.send_response(status)
        if code:
            self.send_header("X-Error-Code", code)
        self.end_headers()

    do_GET = do_HEAD

    def log_message(self, *args):
        pass


def ask(endpoint, home, names, script=ASK):
    """Run the script in a process that takes this endpoint for both hubs; return its lines."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("HF_", "TRANSFORMERS"))}
    done = subprocess.run(
        [sys.executable, "-c", script, " ".join(f"owner/{name}" for name in names)],
        env=environment
        | {"HF_ENDPOINT": endpoint, "MODELSCOPE_ENDPOINT": endpoint, "HF_HOME": str(home)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert "Retrying" not in done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.fixture(scope="module")
def answered(tmp_path_factory):
    """A hub that was asked for all of ANSWERS, for kept data and as ModelScope; and what was said:
    by name, 'kept' and 'modelscope'.
    """
    home = tmp_path_factory.mktemp("home")
    info = {"config_name": "default", "splits": {"train": {"name": "train", "num_examples": 2}}}
    kept = home / "datasets" / "owner___my_data" / "default" / "0.0.0" / ("a" * 40)
    kept.mkdir(parents=True)
    (kept / "dataset_info.json").write_text(json.dumps(info))
    table = pa.Table.from_pylist([{"q": 1}, {"q": 2}])
    with pa.ipc.new_stream(str(kept / "my_data-train.arrow"), table.schema) as writer:
        writer.write_table(table)
    hub = Hub()
    hub.endpoint = f"http://127.0.0.1:{hub.server_port}"
    threading.Thread(target=hub.serve_forever, daemon=True).start()
    try:
        lines = ask(hub.endpoint, home, ANSWERS, ASK + KEPT + MODELSCOPE)
    finally:
        hub.over.set()
        hub.shutdown()
        hub.server_close()
    return hub, dict(zip((*ANSWERS, "kept", "modelscope"), lines, strict=True))


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("unseen", "no {what} of this name that you may see"),
        ("misspelt", "no {what} of this name: check the spelling"),
        ("unknown", "no {what} of this name that you may see"),
        ("gated", "the {what} is gated"),
        ("broken", "answers 503"),
        ("silent", "the hub cannot be reached (no answer within 0 s)"),
    ],
)
def test_one_request_each_and_the_next_step(answered, name, said):
    hub, lines = answered
    tokenizer, config, data = lines[name]
    assert said.format(what="model") in tokenizer == config
    assert said.format(what="data set") in data
    assert hub.asked_for(name) == [
        f"/owner/{name}/resolve/main/config.json",
        f"/datasets/owner/{name}/resolve/main/README.md",
    ]
    status, code = ANSWERS[name]
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
    lines, kept = ask(endpoint, tmp_path, ("model", "kept"))
    words = ("HF_ENDPOINT", "modelscope:owner/name", "HF_HUB_OFFLINE=1", "tiny-model")
    assert [all(word in line for word in words) for line in lines] == [True, True, True]
    assert len(kept) == 2  # the config is read; a tokenizer is not there, nor the data set
    assert "cannot be reached" not in kept[0]


def test_a_data_set_that_is_cached_is_read_after_one_request(answered):
    hub, lines = answered
    assert lines["kept"] == [[[{"q": 1}, {"q": 2}], True]] * 2
    assert hub.asked_for("MyData") == ["/datasets/owner/MyData/resolve/main/README.md"]


def test_modelscope_is_asked_once_and_the_ways_out_are_told(answered):
    hub, lines = answered
    assert len(lines["modelscope"]) == 3
    for line in lines["modelscope"]:
        assert f"ModelScope: {hub.endpoint} cannot be reached (no answer within 0 s)" in line
        assert "give a folder or a file that is here; or owner/name" in line
    names = (*ANSWERS, "MyData")
    others = [path for path in hub.asked if not any(name in path.split("/") for name in names)]
    assert len(others) == 1
