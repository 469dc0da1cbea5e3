"""`xtune chat` as its users meet it: one prompt, a pipe, and a terminal."""

from __future__ import annotations

import io
import json
import os
import pty
import re
import select
import shutil
import signal
import subprocess
import sys

import pytest

from tests.tiny import write_tiny_llama
from xtune.cli.entry import main

BASE = "base_model_name_or_path"
COMMAND = [sys.executable, "-c", "from xtune.cli.entry import main; raise SystemExit(main())"]


@pytest.fixture
def piped(monkeypatch, capsys):
    """Run `xtune chat` on lines from a pipe; return exit code, standard output and error."""

    def run(*words, stdin=""):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin.encode())))
        code = main(["chat", *map(str, words)])
        return code, *capsys.readouterr()

    return run


def test_one_prompt_gives_the_answer_alone_on_standard_output(parrot_folder):
    """In a process of its own: nothing that any library writes may get between."""
    done = subprocess.run(
        [*COMMAND, "chat", parrot_folder, "--prompt", "Say it in Greek, please!", "--seed", "0"],
        capture_output=True,
        timeout=120,
        check=False,
    )
    assert done.stdout.decode() == "Γεια σου 🦜 κόσμε\n"
    assert done.returncode == 0


def test_each_line_of_a_pipe_is_answered(piped, parrot_folder):
    code, out, _ = piped(parrot_folder, stdin="Who are you?\n\n/reset\nBye\nEXIT\nBye\n")
    assert (code, out) == (0, "A parrot.\nBye!\n")


def test_a_line_without_an_answer_makes_the_exit_code_1(piped, parrot_folder):
    code, out, err = piped(parrot_folder, stdin=f"{'x ' * 3000}\nBye\n")
    assert (code, out) == (1, "Bye!\n")
    assert "shorten it" in err


def test_without_anything_to_read_it_ends(monkeypatch, capsys, piped, parrot_folder):
    """`xtune chat MODEL </dev/null`, and with a closed stdin, `<&-`."""
    assert piped(parrot_folder) == (0, "", "")
    monkeypatch.setattr(sys, "stdin", None)
    assert main(["chat", str(parrot_folder)]) == 0
    assert capsys.readouterr() == ("", "")


def test_an_empty_system_prompt_is_none_at_all(monkeypatch, capsys, parrot_folder, tmp_path):
    """Also where the chat template has one of its own; the saved dialogue says so."""
    folder = tmp_path / "qwen"
    shutil.copytree(parrot_folder, folder)
    template = folder / "chat_template.jinja"
    own = (
        "{% if messages[0].role != 'system' %}<|im_start|>system\nYou are Q.<|im_end|>\n{% endif %}"
    )
    template.write_text(own + template.read_text())
    lines = f"/system\n/save {tmp_path}/a.json\n/system off\n/save {tmp_path}/b.json\n"
    for words, said in (
        ([], ["no system prompt; the chat template writes one: You are Q.", "no system prompt"]),
        (["--system", ""], ["no system prompt", "no system prompt"]),
    ):
        for file in tmp_path.glob("*.json"):
            file.unlink()
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(lines.encode())))
        assert main(["chat", str(folder), *words]) == 0
        notices = capsys.readouterr().err.splitlines()
        assert [line for line in notices if line.startswith("no system")] == said
    saved = json.loads((tmp_path / "b.json").read_text())
    assert saved == {"messages": [{"role": "system", "content": ""}]}


def test_bytes_that_are_no_text_do_not_end_the_dialogue(monkeypatch, capsys, parrot_folder):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"\xff\xfe\nBye\n"), "utf-8"))
    assert main(["chat", str(parrot_folder), "--max-new-tokens", "8"]) == 0
    assert len(capsys.readouterr().out.splitlines()) >= 2


def test_a_prompt_longer_than_the_context(piped, parrot_folder):
    code, out, err = piped(parrot_folder, "--prompt", "x " * 3000)
    assert (code, out) == (2, "")
    assert "context is 2048: shorten it" in err
    assert "Traceback" not in err


def test_a_seed_repeats_an_answer(piped, tmp_path):
    folder = write_tiny_llama(tmp_path / "babbler")
    sampled = ["--temperature", "2", "--top-p", "1", "--max-new-tokens", "16", "--prompt", "a"]
    first, again, other = (piped(folder, *sampled, "--seed", seed)[1] for seed in (1, 1, 2))
    assert first == again
    assert first != other


def test_a_system_prompt_is_given_to_the_model(piped, parrot_folder, tmp_path):
    code, _, err = piped(
        parrot_folder, "--system", "Be a fish.", stdin=f"Bye\n/save {tmp_path / 'c.json'}\n"
    )
    assert code == 0
    assert "saved 3 messages" in err
    assert "Be a fish." in (tmp_path / "c.json").read_text()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "MODEL"),
        (["m", "--bits", "5"], "invalid choice"),
        (["m", "--temperature", "-1"], "temperature is -1.0; allowed: 0"),
        (["m", "--top-p", "0"], "top_p is 0.0; allowed: above 0"),
        (["m", "--max-new-tokens", "0"], "max_new_tokens is 0; allowed: 1 or more"),
        (["m", "--prompt", " "], "--prompt is empty"),
        (["smollm2", "--adapter", "no/such/run"], "no adapter folder 'no/such/run'"),
        (["--adapter", "no/such/run"], "no adapter folder 'no/such/run'"),
        (["smollm2", "--lagent", "--adapter", "no/such/run"], "no adapter folder 'no/such/run'"),
    ],
)
def test_misuse_is_found_before_anything_is_loaded(piped, words, said):
    code, out, err = piped(*words)
    assert (code, out) == (2, "")
    assert said in err


def test_a_wrong_adapter_is_said_before_torch_is_imported():
    code = (
        "import sys; from xtune.cli.entry import main; "
        "assert main(['chat', '--adapter', 'no/such/run']) == 2; "
        "sys.exit(bool({'torch', 'transformers'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.fixture(scope="module")
def adapter_run(parrot_folder, tmp_path_factory):
    """A run's folder with an adapter that changes nothing, on the parrot."""
    from peft import LoraConfig

    from xtune.export.export import write_adapter
    from xtune.models import attach_adapter, load_model, load_tokenizer

    work_dir = tmp_path_factory.mktemp("runs") / "run"
    step = work_dir / "checkpoints" / "step_000004"
    step.mkdir(parents=True)
    llm = attach_adapter(load_model(str(parrot_folder)), LoraConfig(r=2))
    weights = {
        name.replace(".default", ""): weight.detach()
        for name, weight in llm.named_parameters()
        if "lora_" in name
    }
    tokenizer = load_tokenizer(str(parrot_folder))
    write_adapter(step / "adapter", llm, weights, tokenizer, {"base_model": str(parrot_folder)})
    (step.parent / "latest").symlink_to("step_000004")
    return work_dir


@pytest.mark.parametrize("words", [["--adapter", "{}"], ["{}"], ["{}/checkpoints/step_000004"]])
def test_an_adapter_alone_is_talked_to_on_its_model(piped, adapter_run, words):
    words = [word.format(adapter_run) for word in words]
    code, out, _ = piped(*words, "--prompt", "Bye")
    assert (code, out) == (0, "Bye!\n")
    assert piped("--prompt", "Bye", *words)[1] == "Bye!\n"


def test_a_run_is_exported_with_its_adapter(adapter_run, tmp_path, capsys):
    assert main(["export", str(adapter_run), str(tmp_path / "out"), "--dtype", "fp32"]) == 0
    assert "merged in" in capsys.readouterr().out


def test_a_model_that_an_adapter_names_and_that_cannot_be_loaded(piped, adapter_run, tmp_path):
    moved = tmp_path / "moved"
    shutil.copytree(adapter_run / "checkpoints" / "step_000004" / "adapter", moved)
    for name, key in (("xtune.json", "base_model"), ("adapter_config.json", BASE)):
        fields = json.loads((moved / name).read_text())
        (moved / name).write_text(json.dumps(fields | {key: "no-such-owner/no-such-model"}))
    code, _, err = piped("--adapter", moved, "--prompt", "Hi")
    assert code == 1
    assert "no-such-owner/no-such-model" in err
    assert f": MODEL --adapter {moved}" in err


def test_no_such_model(piped):
    code, _, err = piped("./no_such_folder", "--prompt", "Hi")
    assert code == 2
    assert "no folder './no_such_folder'" in err


def test_an_unknown_template_names_the_known(piped, parrot_folder):
    code, _, err = piped(parrot_folder, "--prompt-template", "chatm", "--prompt", "Hi")
    assert code == 2
    assert "did you mean 'chatml'?" in err


PROMPT = "\x1b[?2004h"  # what prompt_toolkit writes when it begins to read


class Terminal:
    """`xtune chat` on a pseudo-terminal, and what it has written there."""

    def __init__(self, *words, cache):
        # CPR: a question to the terminal that nobody answers here
        settings = {"TERM": "xterm", "XTUNE_CACHE": str(cache), "PROMPT_TOOLKIT_NO_CPR": "1"}
        self._master, slave = pty.openpty()
        self._process = subprocess.Popen(
            [*COMMAND, "chat", *map(str, words), "--temperature", "0"],
            stdin=slave,
            stdout=slave,
            stderr=slave,
            env={**os.environ, **settings},
            start_new_session=True,
        )
        os.close(slave)
        self.seen = ""
        self._waited_for = 0

    def type(self, text):
        os.write(self._master, text.encode())

    def interrupt(self):
        os.kill(self._process.pid, signal.SIGINT)

    def wait_for(self, text):
        """Read until `text` has come after what was waited for before."""
        while (at := self.seen.find(text, self._waited_for)) < 0:
            self._read(text)
        self._waited_for = at + len(text)

    def wait_for_a_word(self):
        """Read until anything has come that is to be read, after what was waited for before."""
        while not re.search(r"\w", re.sub(r"\x1b\[[\d;?]*.", "", self.seen[self._waited_for :])):
            self._read("a word")

    def _read(self, what):
        readable = select.select([self._master], [], [], 120)[0]
        assert readable, f"{what!r} never came; seen: {self.seen[self._waited_for :]!r}"
        self.seen += os.read(self._master, 65536).decode(errors="replace")

    def end(self):
        code = self._process.wait(timeout=60)
        os.close(self._master)
        return code


def test_a_dialogue_in_a_terminal(parrot_folder, tmp_path):
    terminal = Terminal(parrot_folder, cache=tmp_path)
    terminal.wait_for("/help lists the commands")
    for typed, seen in (
        ("Who are you?\r", "A parrot."),
        ("x " * 1500 + "\r", "shorten it"),
        ("\x03", "Ctrl-D or /exit leaves"),
        ("/reset\r", "forgot the dialogue"),
        ("Say it\x7f\x7fit in Greek, please!\r", "Γεια σου 🦜 κόσμε"),
    ):
        terminal.wait_for(PROMPT)
        terminal.type(typed)
        terminal.wait_for(seen)
    terminal.wait_for(PROMPT)
    terminal.type("\x04")
    assert terminal.end() == 0
    assert "Traceback" not in terminal.seen


def test_ctrl_c_stops_an_answer_and_not_the_program(tmp_path):
    folder = write_tiny_llama(tmp_path / "babbler", layers=8, width=256)
    terminal = Terminal(folder, "--repetition-penalty", "1.5", cache=tmp_path)
    terminal.wait_for(PROMPT)
    terminal.type("a\r")
    terminal.wait_for("\x1b[?2004l")  # it has stopped reading
    terminal.wait_for_a_word()
    terminal.interrupt()
    terminal.wait_for("stopped")
    terminal.wait_for(PROMPT)
    terminal.type("/exit\r")
    assert terminal.end() == 0
    assert "Traceback" not in terminal.seen


def test_a_system_text_is_had_by_name_and_an_unknown_one_is_misuse(piped, parrot_folder):
    code, _, err = piped(parrot_folder, "--system-template", "coder", stdin="/system\n")
    assert code == 0
    assert "system prompt: You are a professional programmer" in err
    code, _, err = piped(parrot_folder, "--system-template", "codr")
    assert code == 2
    assert "there is no system text 'codr'; did you mean 'coder'?" in err
    assert piped(parrot_folder, "--system-template", "sql", "--system", "Hi")[0] == 2
