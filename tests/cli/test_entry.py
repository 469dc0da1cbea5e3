"""What is typed wrongly, or as in another tool: near verbs, known flags, closed streams, Ctrl-C."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

from xtune.cli.entry import main
from xtune.cli.foreign_flags import hint
from xtune.cli.verbs import GROUPS, VERBS, help_text

LEAF = "smollm2_135m_lora_toolcall"


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def test_help_shows_every_verb_in_its_group(capsys):
    assert main(["--help"]) == 0
    out = capsys.readouterr().out
    assert out == help_text() + "\n"
    titles = [line for line in out.splitlines()[4:-2] if line and not line.startswith(" ")]
    assert titles == list(GROUPS)
    for verb in VERBS:
        assert f"\n  {verb} " in out
        importlib.import_module(f"xtune.cli.{verb.replace('-', '_')}")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("mmbench m", "XTuner's mmbench is about pictures"),
        ("eval_refcoco m", "XTuner's eval_refcoco is about pictures"),
        ("preprocess arxiv a b", "is not needed: `map_fn` reads the published rows"),
        ("test cfg --checkpoint x", "XTuner's test is `xtune eval CONFIG`"),
        ("eval-tools m d", "is a task now: `xtune eval MODEL --tasks tool_calls --data DATA`"),
        ("merge-lora", "here it is `xtune export`"),
        ("sft", "here it is `xtune train`"),
        ("infer", "here it is `xtune chat`"),
        ("list", "here it is `xtune list-cfg`"),
        ("trian x", "unknown verb 'trian'; near it: train"),
        ("chck", "near it: check"),
        ("list-tempaltes", "near it: list-templates"),
        ("dpo", "`xtune train custom_dpo_lora`"),
        ("ppo", "ppo is not trained yet"),
        (
            "internlm_7b_qlora_alpaca_e3 --seed 1",
            "xtune train internlm_7b_qlora_alpaca_e3 --seed 1",
        ),
        ("xyzzy", "unknown verb 'xyzzy'. All verbs: xtune --help"),
    ],
)
def test_a_verb_that_is_none_of_ours_is_answered_in_one_line(words, said, capsys):
    assert main(words.split()) == 2
    captured = capsys.readouterr()
    assert said in captured.err
    assert len(captured.err.splitlines()) == 1
    assert captured.out == ""


def test_xtuners_verbs_with_the_same_arguments_are_done(capsys):
    assert main(["list-dataset-format", "alpaca"]) == 0
    captured = capsys.readouterr()
    assert captured.out.startswith("alpaca  ")
    assert captured.err == "xtune: XTuner's list-dataset-format is `xtune list-formats`\n"
    Path("rows.jsonl").write_text('{"text": "a"}\n')
    assert main(["check_custom_dataset", "rows.jsonl"]) == 0


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("convert pth_to_hf cfg iter_500.pth out", "work_dirs/CONFIG/checkpoints/latest/adapter"),
        ("convert split a b", "xtune writes a model in shards that every program loads"),
        ("convert merge a b", "OUT is missing: xtune convert merge a b OUT"),
        ("convert merge smollm2 nope out", "no adapter folder 'nope'"),
        ("convert zero-to-hf nope m out", "no folder 'nope'"),
        ("convert mreg a b c", "did you mean 'merge'? there are: merge, zero_to_hf, dcp_to_hf"),
    ],
)
def test_xtuners_conversions(words, said, capsys):
    assert main(words.split()) == 2
    assert said in capsys.readouterr().err


@pytest.mark.parametrize(
    "words",
    [
        "chat work_dirs/nope",
        "chat ./nope",
        "chat ~/no/such/nope",
        "chat a/b/nope",
        "chat nope/",
        "chat nope.gguf",
        "chat --adapter ./nope",
        "chat smollm2 --adapter work_dirs/nope",
        "chat --lagent work_dirs/nope",
        "eval work_dirs/nope",
        "eval ./nope",
        "export work_dirs/nope out",
        "export smollm2 out --adapter ./nope",
        "convert merge work_dirs/nope work_dirs/mine out",
        "convert zero_to_hf ./nope m out",
        "train ./nope.py",
        "train custom_sft_lora --resume ./nope",
        "check ./nope.py",
        "check work_dirs/nope",
    ],
)
def test_a_path_that_leads_nowhere_is_misuse_and_what_is_near_is_named(words, capsys):
    """Nothing of it is asked of a hub, which would cost a request and name the wrong ways out."""
    Path("work_dirs/mine").mkdir(parents=True)
    Path("work_dirs/nopf").mkdir()
    Path("examples").mkdir()
    Path("examples/custom_sft.jsonl").touch()
    assert main(words.split()) == 2
    said = capsys.readouterr().err
    assert "hub" not in said
    given = next(word for word in words.split() if "nope" in word)
    assert repr(given) in said
    if given == "work_dirs/nope":
        assert "; did you mean 'work_dirs/nopf'" in said


INTERRUPTED = """
import os, signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored under nohup
class At:
    left = int(sys.argv.pop(1))
    def find_spec(self, name, path=None, target=None):
        At.left -= 1
        if At.left == 0:
            os.kill(os.getpid(), signal.SIGINT)
sys.meta_path.insert(0, At())
from xtune.cli.entry import main
sys.exit(main())
"""


@pytest.mark.parametrize("imports", [8, 30, 60])
@pytest.mark.parametrize("words", ["list-cfg", "check custom_sft_lora"])
def test_ctrl_c_in_the_first_moment_is_answered(imports, words):
    """The signal comes with the so-many-th module that is looked for."""
    program = [sys.executable, "-c", INTERRUPTED, str(imports), *words.split()]
    done = subprocess.run(program, capture_output=True, text=True, check=False)
    if done.returncode == 130:
        assert done.stderr == f"\nxtune {words.split()[0]}: interrupted\n"
    else:  # it was done before
        assert "Traceback" not in done.stderr
        assert imports == 60


def test_next_to_nothing_is_imported_before_ctrl_c_is_answered():
    """What an interrupt meets before that is a traceback of Python's own."""
    program = (
        "import sys; before = set(sys.modules); import xtune.cli.entry; "
        "print(*sorted(set(sys.modules) - before))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert set(done.stdout.split()) <= {
        *("__future__", "xtune", "xtune.cli", "xtune.cli.entry", "xtune.cli.verbs"),
    }


def test_pth_to_hf_names_what_the_run_has_saved(capsys):
    Path("work_dirs/mine/checkpoints/latest/adapter").mkdir(parents=True)
    assert main(["convert", "pth_to_hf", "mine.py", "iter_5.pth", "out"]) == 2
    assert "already: work_dirs/mine/checkpoints/latest/adapter." in capsys.readouterr().err


@pytest.mark.parametrize(
    ("verb", "flag", "value", "said"),
    [
        ("train", "--gpus", "8", "set it before: NPROC_PER_NODE=8 xtune train CONFIG"),
        ("train", "--amp", None, "write --cfg-options strategy.precision=bf16"),
        ("train", "--lr", "1e-5", "write --cfg-options lr=1e-5"),
        ("train", "--learning-rate", "1e-5", "write --cfg-options lr=1e-5"),
        ("train", "--per-device-train-batch-size", "2", "write --cfg-options batch_size=2"),
        ("train", "--lora-rank", "8", "write --cfg-options lora.r=8"),
        ("train", "--output-dir", "o", "write --work-dir o"),
        ("train", "--resume-from", "d", "write --resume d"),
        ("train", "--config", "c", "give it as the first word, without a flag: CONFIG"),
        ("chat", "--adapter-path", "d", "write --adapter d"),
        ("chat", "--load-in-4bit", None, "write --bits 4"),
        ("chat", "--llava", "d", "xtune reads text, no pictures"),
        ("log-dataset", "--max-length", "9", "write --cfg-options max_length=9"),
        ("train", "--xyzzy", None, ""),
    ],
)
def test_flags_of_other_tools_have_a_hint(verb, flag, value, said):
    options = [] if verb == "chat" else ["--cfg-options"]
    assert hint(verb, flag, value, options) == said


def test_every_wrong_flag_is_answered_at_once(capsys):
    words = ["train", LEAF, "--learning_rate", "3e-4", "--sed", "3", "--gpus=2", "lr=1"]
    assert main(words) == 2
    assert capsys.readouterr().err.splitlines() == [
        "xtune train: there is no --learning_rate: write --cfg-options lr=3e-4",
        "  there is no --sed; did you mean --seed?",
        "  there is no --gpus: set it before: NPROC_PER_NODE=2 xtune train CONFIG",
        "xtune train --help says more",
    ]
    assert main(["check", LEAF, "lr=1"]) == 2
    assert "write --cfg-options before lr=1" in capsys.readouterr().err
    assert main(["check", LEAF, "more"]) == 2
    assert "'more' is one word too many" in capsys.readouterr().err


def test_flags_of_torchrun_are_left_out_wherever_they_stand(capsys):
    words = ["train", "--launcher", "pytorch", "--local_rank=0", "nope", "--work_dir", "w"]
    assert main(words) == 2
    err = capsys.readouterr().err.splitlines()
    assert [line[:32] for line in err[:2]] == [
        "xtune train: left out --launcher",
        "xtune train: left out --local_ra",
    ]
    assert err[2].startswith("xtune train: no config named 'nope'")


def test_a_missing_word_shows_how_the_verb_is_called(capsys):
    assert main(["export", "smollm2"]) == 2
    assert capsys.readouterr().err.splitlines() == [
        "xtune export: the following arguments are required: OUT",
        "usage: xtune export MODEL OUT [options]",
        "xtune export --help says more",
    ]


@pytest.mark.parametrize("verb", ["train", "check"])
def test_a_value_is_no_flag(verb, capsys):
    """What stands behind = or within quotes is not looked at."""
    assert main([verb, "nope", "--cfg-options", "SYSTEM=--sed"]) == 2
    assert "no config named 'nope'" in capsys.readouterr().err


def test_ctrl_c_while_the_verb_is_imported_is_no_traceback(monkeypatch, capsys):
    def interrupt(name):
        raise KeyboardInterrupt

    monkeypatch.setattr(importlib, "import_module", interrupt)
    assert main(["check", LEAF]) == 130
    assert capsys.readouterr().err == "\nxtune check: interrupted\n"


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_closed_streams_are_empty_ones(closed):
    code = "import sys; from xtune.cli.entry import main; sys.exit(main(sys.argv[1:]))"
    command = f'"{sys.executable}" -c "{code}" explain {LEAF} lr {closed}'
    root = str(Path(__file__).resolve().parents[2])
    environment = os.environ | {"PYTHONPATH": root}
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, env=environment)
    assert done.returncode == 0
    assert done.stderr == ""


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("rows.json", "[]", "is no config, which is a Python file; xtune copy-cfg"),
        ("cfg.yaml", "lr: 1", "is no config, which is a Python file; xtune copy-cfg"),
        ("empty.py", "", "empty.py is empty; xtune copy-cfg custom_sft_lora"),
        ("blank.py", "# nothing\n", "blank.py is empty"),
        ("folder", None, "'folder' is a folder; give a config's file, or a name"),
        ("run", "config.py", "'run' is the folder of a run; its config is run/config.py"),
        (" ", None, "the config's name is empty"),
    ],
)
@pytest.mark.parametrize("verb", ["check", "train", "explain"])
def test_what_is_no_config_is_called_what_it_is(verb, name, text, said, capsys):
    if name in ("folder", "run"):
        Path(name).mkdir()
        if text:
            (Path(name) / text).touch()
    elif text is not None:
        Path(name).write_text(text)
    assert main([verb, name]) == 2
    assert said in capsys.readouterr().err


def test_eval_names_both_that_are_not_there(capsys):
    assert main(["eval", "nope", "--tasks", "tool_calls", "--data", "nope"]) == 2
    err = capsys.readouterr().err
    assert "no data at 'nope' (looked for " in err
    assert "There is no config named 'nope'. All names: xtune list-cfg. Nor is that a folder" in err
    assert err.count("nope") >= 2


def test_a_port_that_does_not_exist(capsys):
    assert main(["tool-server", "--port", "99999"]) == 2
    assert "give a number from 1 to 65535, or 0 for any" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({"WORLD_SIZE": "two"}, "WORLD_SIZE='two' is no number"),
        ({"WORLD_SIZE": "0"}, "WORLD_SIZE=0: a run has 1 process or more"),
        ({"WORLD_SIZE": "2"}, "WORLD_SIZE=2, but no RANK"),
        ({"WORLD_SIZE": "2", "RANK": "2"}, "RANK=2, but WORLD_SIZE=2: ranks go from 0 to 1"),
        ({"WORLD_SIZE": "2", "RANK": "x"}, "RANK='x' is no number"),
        ({"WORLD_SIZE": "1", "LOCAL_RANK": "x"}, "LOCAL_RANK='x' is no number"),
        ({"NPROC_PER_NODE": "two"}, "NPROC_PER_NODE='two' is no number"),
        ({"NPROC_PER_NODE": "2", "PORT": "99999"}, "PORT=99999: give a number from 1 to 65535"),
    ],
)
def test_what_the_environment_says_of_the_processes(variables, said, monkeypatch, capsys):
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert main(["train", LEAF]) == 2
    assert said in capsys.readouterr().err
