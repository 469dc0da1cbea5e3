"""The verbs about configs, as a user types them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from xtune.cli.entry import main
from xtune.config import find_config, list_configs, render
from xtune.config.notes import estimated_gib, laptop_gib, notes
from xtune.models.cards import smallest_card

LEAF = "smollm2_135m_lora_toolcall"


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def test_list_cfg_prints_the_names_and_nothing_else(capsys):
    assert main(["list-cfg"]) == 0
    captured = capsys.readouterr()
    assert [line.split()[0] for line in captured.out.splitlines()] == list(list_configs())
    assert captured.err == ""
    assert main(["list_cfg", "-p", "QLORA_toolC"]) == 0
    assert capsys.readouterr().out == "smollm2_135m_qlora_toolcall      3 GB   CPU\n"


def test_list_cfg_takes_patterns_however_words_are_joined(capsys):
    assert main(["list-cfg", "Llama-2-7B", "medical"]) == 0
    (line,) = capsys.readouterr().out.splitlines()
    name, gib, unit, *card = line.split()
    assert name == "llama2_7b_qlora_medical"
    said = notes(find_config(name))["Hardware"]
    assert estimated_gib(said) == float(gib)
    assert (unit, card) == ("GiB", [str(smallest_card(float(gib))), "GB", "GPU"])
    assert main(["list-cfg", "internlm_7b_qlora_alpaca_e3"]) == 0  # XTuner's name
    assert "internlm_7b_qlora_alpaca " in capsys.readouterr().out
    assert main(["list-cfg", "qwen*8gb*"]) == 0
    listed = [line.split()[0] for line in capsys.readouterr().out.splitlines()]
    assert listed == ["qwen2_5_7b_qlora_alpaca_8gb", "qwen3_8b_qlora_alpaca_8gb"]
    assert main(["list-cfg", "Qwen3-?B*8gb"]) == 0
    assert capsys.readouterr().out.split()[0] == "qwen3_8b_qlora_alpaca_8gb"


def test_list_cfg_says_what_fits_a_gpu_by_the_rule_of_estimate(capsys):
    assert main(["list-cfg", "--gpu-memory", "12GB"]) == 0
    shown = [line.split()[0] for line in capsys.readouterr().out.splitlines()]
    estimates = {}
    for name, path in list_configs().items():
        said = notes(path)["Hardware"]
        estimates[name] = estimated_gib(said) or 0.0
        fits_it = (estimated_gib(said) or laptop_gib(said)) <= 0.9 * 12
        assert (name in shown) is fits_it, name
    assert sorted(shown, key=lambda name: -estimates[name]) == shown
    assert main(["list-cfg", "--gpu-memory", "1"]) == 1
    assert "none of " in capsys.readouterr().err
    assert main(["list-cfg", "--gpu-memory", "eight"]) == 2
    assert "as in 8GB" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "near"),
    [
        (["list-cfg", "intrnlm2"], "near: internlm2"),
        (["list-cfg", "-p", "intrnlm2"], "near: internlm2"),
        (["list-cfg", "zzz"], "no config matches 'zzz'. All: xtune list-cfg"),
        (["list-cfg", "internlm", "zzz"], "no config matches 'zzz'"),
        (["list-models", "-p", "zzz"], "no model family matches 'zzz'. All: xtune list-models"),
        (["list-models", "intrnlm2"], "near: InternLM2"),
        (["list-formats", "-p", "alpcaa"], "near: alpaca"),
        (["list-tools", "serch"], "did you mean 'search'?"),
        (["list-templates", "qwen_chta"], "did you mean 'qwen_chat'?"),
    ],
)
def test_a_list_that_is_empty_says_so_and_names_what_is_near(words, near, capsys):
    assert main(words) in (1, 2)
    captured = capsys.readouterr()
    assert near in captured.err
    assert captured.out == ""


@pytest.mark.parametrize("words", ["--help", "list-cfg", "check --help", "train --help"])
def test_help_and_list_are_immediate_and_import_no_torch(words):
    code = (
        "import sys; from xtune.cli.entry import main; main(sys.argv[1:]); "
        "heavy = {'torch', 'transformers', 'peft', 'mmengine'} & set(sys.modules); "
        "assert not heavy, heavy; print(len(sys.modules), file=sys.stderr)"
    )
    command = [sys.executable, "-c", code, *words.split()]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    assert int(done.stderr) < 200  # of Python's own; each takes a millisecond to import


def test_copy_cfg_writes_the_sheet_byte_for_byte(capsys):
    assert main(["copy-cfg", LEAF, "."]) == 0
    copy = Path(f"{LEAF}_copy.py")
    assert copy.read_text() == render(copy).text
    run = f"Run:       xtune train {LEAF}"
    assert run in render(LEAF).text
    assert copy.read_text() == render(LEAF).text.replace(run, f"Run:       xtune train {copy}")
    assert str(copy) in capsys.readouterr().out
    assert main(["copy-cfg", LEAF, "deep/er/mine.py"]) == 0
    assert Path("deep/er/mine.py").read_text() == copy.read_text().replace(
        str(copy), "deep/er/mine.py"
    )


def test_copy_cfg_writes_here_and_the_copy_says_how_to_run_itself(capsys):
    assert main(["copy-cfg", "yi_6b_qlora_alpaca"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("yi_6b_qlora_alpaca_copy.py\n")
    said = Path("yi_6b_qlora_alpaca_copy.py").read_text()
    assert "\nRun:       xtune train yi_6b_qlora_alpaca_copy.py\n" in said
    assert main(["copy-cfg", "custom_sft_lora", "my own.py"]) == 0
    assert "xtune train 'my own.py'" in capsys.readouterr().out
    lines = Path("my own.py").read_text().splitlines()
    assert lines[2:5] == [
        "Run:       xtune check 'my own.py'",
        "           xtune log-dataset 'my own.py'",
        "           xtune train 'my own.py'",
    ]


def test_copy_cfg_never_overwrites(capsys):
    Path("mine.py").write_text("precious")
    assert main(["copy-cfg", LEAF, "mine.py"]) == 2
    assert Path("mine.py").read_text() == "precious"
    assert "exists already" in capsys.readouterr().err


def test_copy_cfg_into_a_file_that_is_no_folder(capsys):
    Path("file").write_text("")
    assert main(["copy-cfg", LEAF, "file"]) == 2
    assert "cannot be written" in capsys.readouterr().err


@pytest.mark.parametrize("verb", ["check", "explain", "copy-cfg", "diff-cfg"])
def test_an_unknown_config_is_misuse_and_near_names_are_offered(verb, capsys):
    more = {"copy-cfg": ["."], "diff-cfg": [LEAF]}.get(verb, [])
    assert main([verb, "smollm2_135m_lora_toolcal", *more]) == 2
    assert LEAF in capsys.readouterr().err


def test_explain_names_the_lines_and_what_was_overridden(capsys):
    assert main(["explain", LEAF, "lr"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("lr = 0.001 ")
    assert f"{LEAF}.py:" in lines[0]
    assert [line.split("  ")[2] for line in lines[1:]] == ["lr was 0.0002", "lr was 2e-05"]
    assert "settings/lora.py:" in lines[1]


def test_explain_follows_a_derived_value(capsys):
    assert main(["explain", LEAF, "optimizer"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(" = ")[0] for line in lines] == [
        "optimizer.type",
        "optimizer.lr",
        "optimizer.betas",
        "optimizer.weight_decay",
    ]
    place, _, source = lines[1].partition(" <- ")
    assert "cosine.py:2" in place
    assert f"{LEAF}.py:" in source


def test_explain_of_all_names_every_value(capsys):
    assert main(["explain", LEAF]) == 0
    out = capsys.readouterr().out
    for name in render(LEAF).values:
        assert f"\n{name} = " in f"\n{out}" or f"\n{name}." in f"\n{out}"


def test_explain_of_a_key_that_does_not_exist(capsys):
    assert main(["explain", LEAF, "optimizer.lrr"]) == 2
    assert "did you mean 'optimizer.lr'?" in capsys.readouterr().err


def test_diff_cfg_lists_what_differs_with_both_places(capsys):
    assert main(["diff-cfg", LEAF, LEAF]) == 0
    assert capsys.readouterr().out.startswith("0 of ")
    text = render(LEAF).text.replace("lr = 1e-3", "lr = 5e-4").replace("seed = 42\n", "")
    Path("mine.py").write_text(text.replace("seed=seed", "seed=42"))
    assert main(["diff-cfg", LEAF, "mine.py"]) == 0
    out = capsys.readouterr().out
    assert "\noptimizer.lr\n  - 0.001  " in out
    assert "\n  + 0.0005  mine.py:" in out
    assert "seed\n  - 42" in out
    assert "  + (not set)" in out
    assert "randomness.seed" not in out


def test_check_of_a_good_config(capsys):
    assert main(["check", LEAF]) == 0
    assert capsys.readouterr().out == f"{LEAF}: no problems\n"
    assert main(["check", LEAF, "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == []


def test_check_prints_all_problems_and_ends_with_2(capsys):
    words = ["check", LEAF, "--cfg-options", "lr=-1", "batch_size=0", "map_fn=opnai"]
    assert main(words) == 2
    assert len(capsys.readouterr().out.splitlines()) == 3
    assert main([*words, "--json"]) == 2
    problems = json.loads(capsys.readouterr().out)
    assert {problem["key"] for problem in problems} == {
        "optimizer.lr",
        "train_dataloader.batch_size",
        "train_dataset.map_fn",
    }
    assert set(problems[0]) == {"file", "line", "key", "value", "message", "hint"}


def test_check_of_a_misspelt_option(capsys):
    words = ["check", LEAF, "--cfg-options", "lrr=1", "lora.rr=2"]
    assert main(words) == 2
    err = capsys.readouterr().err
    assert "did you mean 'lr'?" in err
    assert "did you mean 'r'?" in err
    assert "Traceback" not in err
    assert main([*words, "--json"]) == 2
    assert len(json.loads(capsys.readouterr().out)) == 2


def test_check_of_a_broken_file(capsys):
    Path("mine.py").write_text("lr = (\n")
    assert main(["check", "mine.py"]) == 2
    assert "mine.py:1: not valid Python" in capsys.readouterr().err
