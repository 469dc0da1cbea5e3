"""`xtune check-dataset`, as a user types it."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from xtune.cli.entry import main

GOOD = {"instruction": "Add.", "input": "", "output": "4"}
PAIR = {"prompt": "Two and two?", "chosen": "Four.", "rejected": "Five."}


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def write(*rows, name="data.jsonl"):
    with open(name, "w", encoding="utf-8") as file:
        file.writelines(row if isinstance(row, str) else json.dumps(row) + "\n" for row in rows)


def test_good_data_end_with_0(capsys):
    write(GOOD, {**GOOD, "output": "5"})
    assert main(["check-dataset", "data.jsonl"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "data.jsonl: 2 rows read, 2 usable",
        "  fields    instruction (2), input (2), output (2)",
        "  format    alpaca: the first 2 rows have instruction, input, output; "
        "belle, coig, guanaco, medical read them alike",
        "  can be trained on; xtune log-dataset shows the tokens",
    ]


def test_problems_are_told_with_their_lines_and_fixes_and_end_with_1(capsys):
    write(GOOD, GOOD, {**GOOD, "output": ""}, '{"instruction": \n', {**GOOD, "output": 5})
    assert main(["check-dataset", "data.jsonl"]) == 1
    shown = capsys.readouterr().out
    assert "  note      1 row: the same as an earlier one" in shown
    assert "  STOPS     1 row: broken JSON" in shown
    assert "  STOPS     1 row: field 'output' of the row must be text, not int 5\n" in shown
    assert "            at data.jsonl:5\n            fix: write it as text, in quotes\n" in shown
    assert "  skipped   1 row: empty answer\n            at data.jsonl:3\n" in shown
    assert shown.endswith("  CANNOT be trained on as it is\n")


def test_a_format_that_is_named_is_used(capsys):
    write({"text": "### Human: Hi### Assistant: Hello!"})
    assert main(["check-dataset", "data.jsonl", "--map-fn", "pretrain"]) == 0
    assert "  format    pretrain\n" in capsys.readouterr().out


def test_an_unknown_format_shows_the_nearest(capsys):
    write({"instruction": "a", "outputs": "b"})
    assert main(["check-dataset", "data.jsonl"]) == 1
    shown = capsys.readouterr().out
    assert "  format    unknown: map_fn='auto': no format fits the first row" in shown
    assert "alpaca reads instruction, output, input (optional): there is no 'output'" in shown


def test_an_empty_file_ends_with_1(capsys):
    write()
    assert main(["check-dataset", "data.jsonl"]) == 1
    assert "there are no rows: data.jsonl is empty (0 bytes)" in capsys.readouterr().out


def test_a_configs_data_are_checked_with_its_map_fn(capsys):
    assert main(["check-dataset", "smollm2_135m_lora_toolcall"]) == 0
    shown = capsys.readouterr().out
    assert "train_dataset: 450 rows read, 450 usable" in shown
    assert "val_dataset: 24 rows read, 24 usable" in shown


def test_a_config_for_sft_with_pairs_ends_with_1_and_a_file_of_them_with_0(capsys):
    write(PAIR)
    options = ["--cfg-options", "data_path=data.jsonl", "map_fn=preference"]
    assert main(["check-dataset", "custom_sft_lora", *options]) == 1
    assert main(["check-dataset", "data.jsonl"]) == 0
    said = "sound preference pairs, which supervised fine-tuning refuses"
    assert capsys.readouterr().out.count(said) == 2


def test_json_has_every_finding(capsys):
    write(GOOD, {**GOOD, "output": ""})
    assert main(["check-dataset", "data.jsonl", "--json"]) == 0
    (found,) = json.loads(capsys.readouterr().out).values()
    assert (found["rows"], found["usable"], found["is_trainable"]) == (2, 1, True)
    assert found["problems"][0]["places"] == ["data.jsonl:2"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["dta.jsonl"], "); did you mean 'data.jsonl'?"),
        (["nothing.py"], "nothing.py"),
        (["data.jsonl", "--map-fn", "alpca"], "did you mean 'alpaca'"),
        (["data.jsonl", "--cfg-options", "lr=1"], "--cfg-options are for a config"),
        (["data.jsonl", "--max-rows", "0"], "at least one row"),
    ],
)
def test_misuse_ends_with_2(words, message, capsys):
    write(GOOD)
    assert main(["check-dataset", *words]) == 2
    assert message in capsys.readouterr().err


def test_it_needs_no_torch():
    write(GOOD)
    code = (
        "import sys; from xtune.cli.entry import main; main(['check-dataset', 'data.jsonl']); "
        "sys.exit(len({'torch', 'transformers'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True).returncode == 0
