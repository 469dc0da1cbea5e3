"""`xtune eval` on a run made of the parrot: before it knows nothing, after it knows its lines."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from transformers import AutoModelForCausalLM, AutoTokenizer

from tests.parrot import LINES
from tests.tiny import write_tiny_llama
from xtune.checkpoint.folder import save_checkpoint
from xtune.cli.entry import main
from xtune.config import render


@pytest.fixture
def run(tmp_path, parrot_folder):
    """Write a run that trained the whole model; return its config and its work_dir."""
    base = write_tiny_llama(tmp_path / "base", width=64)
    rows = [
        {
            "messages": [
                {"role": "user", "content": request},
                {"role": "assistant", "content": answer},
            ],
            "kind": "call" if answer.startswith("{") else "plain",
        }
        for request, answer in LINES
    ]
    data = tmp_path / "rows.json"
    data.write_text(json.dumps(rows), encoding="utf-8")
    sheet = render(
        "smollm2_135m_full_toolcall",
        [f"pretrained_model_name_or_path='{base}'", f"data_path='{data}'"],
    )
    config = tmp_path / "parrot_run.py"
    config.write_text(sheet.text)
    work_dir = tmp_path / "work_dirs" / "parrot_run"

    def write(folder: Path) -> None:
        AutoModelForCausalLM.from_pretrained(parrot_folder).save_pretrained(folder / "model")
        AutoTokenizer.from_pretrained(parrot_folder).save_pretrained(folder / "model")

    save_checkpoint(work_dir / "checkpoints", 4, write=write, bytes_needed=0, max_keep=1)
    (work_dir / "config.py").write_text(sheet.text)
    (work_dir / "metrics.jsonl").write_text('{"step": 1, "loss": 2.0}\n{"step": 2, "loss": 1.0}\n')
    return config, work_dir


def test_before_and_after(run, capsys):
    _, work_dir = run
    assert main(["eval", str(work_dir)]) == 0
    out, err = capsys.readouterr()
    results = json.loads((work_dir / "report" / "results.json").read_text())
    assert results["before"]["exact_calls"] == {"right": 0, "total": 1, "rate": 0.0}
    assert results["after"]["exact_calls"] == {"right": 1, "total": 1, "rate": 1.0}
    assert results["after"]["no_needless_calls"]["rate"] == 1.0
    assert [row["got"] for row in results["after"]["rows"]] == [answer for _, answer in LINES]
    assert "1 of 1 (100 %)" in out
    for name in ("report.html", "report.png", "results.json"):
        assert str(work_dir / "report" / name) in out.replace("\n", "")
    assert "before training: 4 of 4" in err
    assert "after training: 4 of 4" in err


def test_a_config_and_where_its_run_is(run, capsys):
    config, work_dir = run
    assert main(["eval", str(config), "--work-dir", str(work_dir), "--rows", "2"]) == 0
    results = json.loads((work_dir / "report" / "results.json").read_text())
    assert len(results["after"]["rows"]) == 2


def test_no_checkpoint_says_to_train_first(run, tmp_path, capsys):
    config, _ = run
    assert main(["eval", str(config), "--work-dir", str(tmp_path / "untrained")]) == 1
    assert "train first" in capsys.readouterr().err
    assert not (tmp_path / "untrained").exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["no_such_config"], "no_such_config"),
        (["{folder}"], "no config.py"),
        (["smollm2_135m_lora_toolcall", "--rows", "0"], "--rows 0: ask 1 or more"),
        (["smollm2_135m_lora_toolcall", "--adapter", "{folder}"], "holds no adapter_config.json"),
    ],
)
def test_misuse(words, said, tmp_path, capsys):
    assert main(["eval", *(word.format(folder=tmp_path) for word in words)]) == 2
    assert said in capsys.readouterr().err


def test_a_config_without_anything_to_measure(tmp_path, capsys):
    text = render("smollm2_135m_lora_toolcall").text
    config = tmp_path / "no_test.py"
    config.write_text(text + "\ntest_cfg = None\n")
    assert main(["eval", str(config)]) == 2
    assert "no test_cfg" in capsys.readouterr().err


def test_eval_tools_measures_what_the_run_has_trained(run, tmp_path, capsys):
    config, work_dir = run
    data = str(tmp_path / "rows.json")
    assert main(["eval-tools", str(work_dir), data]) == 0
    by_folder = capsys.readouterr().out
    assert "1 of 1 (100 %)" in by_folder
    assert "4 rows measured, 0 unusable" in by_folder
    assert main(["eval-tools", str(config), data, "--work-dir", str(work_dir)]) == 0
    assert "1 of 1 (100 %)" in capsys.readouterr().out
