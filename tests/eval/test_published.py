"""Published files: found in every layout, read in every form, and named where they are damaged."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys

import pytest

from xtune.errors import DataError, UsageError
from xtune.eval.published import Part, Published, chosen_subjects, damaged, field

MMLU = ("question", "A", "B", "C", "D", "answer")
TEST = Part("test/astronomy_test.csv", "test", columns=MMLU, items=2)


def write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def published(folder, task="mmlu", **more):
    return Published(task, str(folder), source="https://example.org/mmlu", **more)


@pytest.mark.parametrize("layout", ["", "mmlu", "MMLU", "mmlu/data", "data"])
def test_a_folder_of_files_or_a_folder_of_benchmarks(tmp_path, layout):
    write(tmp_path / layout / "test/astronomy_test.csv", "How far?,1,2,3,4,B\n")
    rows = list(published(tmp_path).rows(TEST))
    assert rows == [
        (
            "test/astronomy_test.csv:1",
            dict(zip(MMLU, ("How far?", "1", "2", "3", "4", "B"), strict=True)),
        )
    ]


def test_case_and_dashes_of_the_folder_do_not_matter(tmp_path):
    write(tmp_path / "C-Eval/val/law_val.csv", "id,question,answer\n0,Q?,A\n")
    files = published(tmp_path, "ceval")
    assert [row for _, row in files.rows(Part("val/law_val.csv", "val"))] == [
        {"id": "0", "question": "Q?", "answer": "A"}
    ]


def test_the_variable_names_a_folder_of_benchmarks(tmp_path, monkeypatch):
    write(tmp_path / "mmlu/test/astronomy_test.csv", "How far?,1,2,3,4,B\n")
    monkeypatch.setenv("XTUNE_EVAL_DATA", str(tmp_path))
    assert len(list(Published("mmlu", None, source="").rows(TEST))) == 1


def test_a_csv_with_a_header_is_read_by_its_names(tmp_path):
    write(
        tmp_path / "test/astronomy_test.csv",
        "question,choice0,choice1,choice2,choice3,answer\nHow far?,1,2,3,4,1\n",
    )
    (row,) = published(tmp_path).rows(TEST)
    assert row == (
        "test/astronomy_test.csv:2",
        {
            "question": "How far?",
            "choice0": "1",
            "choice1": "2",
            "choice2": "3",
            "choice3": "4",
            "answer": "1",
        },
    )


def test_rows_of_json_lines_compressed_too(tmp_path):
    rows = [{"task_id": "HumanEval/0"}, {"task_id": "HumanEval/1"}]
    with gzip.open(tmp_path / "HumanEval.jsonl.gz", "wt") as file:
        file.writelines(json.dumps(row) + "\n" for row in rows)
    part = Part(("HumanEval.jsonl", "HumanEval.jsonl.gz"), "test")
    assert list(published(tmp_path).rows(part)) == [
        ("HumanEval.jsonl.gz:1", rows[0]),
        ("HumanEval.jsonl.gz:2", rows[1]),
    ]


def test_rows_of_json_an_array_or_one_object_a_file_even_called_txt(tmp_path):
    write(tmp_path / "mc_task.json", '[{"q": 1}, {"q": 2}]')
    write(tmp_path / "test/high/1.txt", '{"article": "a", "answers": ["B"]}')
    files = published(tmp_path)
    assert [row for _, row in files.rows(Part("mc_task.json", ""))] == [{"q": 1}, {"q": 2}]
    assert list(files.rows(Part("test/high/*.txt", ""))) == [
        ("test/high/1.txt:1", {"article": "a", "answers": ["B"]})
    ]


@pytest.mark.parametrize(
    ("config", "path"),
    [
        ("all", "all/test-00000-of-00001.parquet"),
        (None, "data/test-00000-of-00001.parquet"),
    ],
)
def test_a_copy_of_the_hub_has_parquet_files(tmp_path, config, path):
    import pyarrow as pa
    import pyarrow.parquet as pq

    (tmp_path / path).parent.mkdir()
    pq.write_table(pa.table({"question": ["How far?"], "answer": [1]}), tmp_path / path)
    part = Part("test.jsonl", "test", config=config)
    ((where, row),) = published(tmp_path).rows(part)
    assert row == {"question": "How far?", "answer": 1}
    assert where == f"{path.removeprefix('data/')} row 1"


def test_a_whole_document_and_a_text(tmp_path):
    write(tmp_path / "bbh/navigate.json", '{"canary": "x", "examples": [{"input": "i"}]}')
    write(tmp_path / "cot-prompts/navigate.txt", "Q: …\nA: …")
    files = published(tmp_path)
    assert list(files.document("bbh/*.json")) == [
        ("bbh/navigate.json", {"canary": "x", "examples": [{"input": "i"}]})
    ]
    assert files.text("cot-prompts/navigate.txt") == "Q: …\nA: …"


def test_damaged_rows_are_named_by_file_and_line(tmp_path):
    write(tmp_path / "test/astronomy_test.csv", "How far?,1,2,3,4,B\nHow old?,1,2,B\n")
    with pytest.raises(DataError, match=r"astronomy_test.csv:2: 4 cells, but astronomy_test.csv "):
        list(published(tmp_path).rows(TEST))
    write(tmp_path / "test.jsonl", '{"question": "a"}\n{"question": \n')
    with pytest.raises(DataError, match=r"test.jsonl:2: broken JSON"):
        list(published(tmp_path).rows(Part("test.jsonl", "test")))
    write(tmp_path / "bbh/navigate.json", '{"examples":\n [}')
    with pytest.raises(DataError, match=r"navigate.json:2: broken JSON"):
        list(published(tmp_path).document("bbh/*.json"))


def test_a_field_that_is_missing_or_of_another_kind():
    with pytest.raises(DataError) as error:
        field({"goal": "x"}, "valid.jsonl:3", "sol1")
    assert str(error.value) == (
        "valid.jsonl:3: no field 'sol1'; the row has 'goal'. Mend the row, or take the file anew"
    )
    with pytest.raises(DataError, match=r"valid.jsonl:3: 'sol1' must be a text, not 3"):
        field({"sol1": 3}, "valid.jsonl:3", "sol1")
    with pytest.raises(DataError, match="'endings' must be a list, not 'x'"):
        field({"endings": "x"}, "x:1", "endings", kind=list)
    assert field({"Question": "Q?"}, "x:1", "question", "Question") == "Q?"
    assert damaged("x:1", "no gold").exit_code == 1


def test_what_is_missing_is_named_with_what_was_looked_for_and_its_source(tmp_path):
    with pytest.raises(UsageError) as error:
        published(tmp_path).require(TEST)
    assert str(error.value) == (
        "mmlu: no test/astronomy_test.csv or data/test-*.parquet in "
        f"{tmp_path}. The files are from https://example.org/mmlu; a partial copy must keep their "
        "names"
    )
    assert error.value.exit_code == 2


def test_no_folder_no_variable_a_file_a_path_that_leads_nowhere(tmp_path, monkeypatch):
    monkeypatch.delenv("XTUNE_EVAL_DATA", raising=False)
    with pytest.raises(UsageError, match=r"mmlu needs its files: .* \$XTUNE_EVAL_DATA .* from S"):
        Published("mmlu", None, source="S")
    file = write(tmp_path / "HumanEval.jsonl", "{}")
    with pytest.raises(UsageError, match="is a file; give the folder that holds it"):
        published(file)
    for name in ("mmlu.zip", "data.tar.gz"):
        with pytest.raises(UsageError, match="is a file; unpack it, and give the folder"):
            published(write(tmp_path / name, "PK"))
    with pytest.raises(UsageError, match="no folder .*nowhere.* files are from https"):
        published(tmp_path / "nowhere")


def test_an_id_of_a_hub_is_no_folder():
    files = Published("mmlu", "cais/mmlu", source="S")
    assert (files.hub_id, files.name(), files.missing([TEST])) == ("cais/mmlu", "cais/mmlu", [])
    assert Published("m", "modelscope:a/b", source="S").hub_id == "modelscope:a/b"
    with pytest.raises(UsageError, match="cais/mmlu is a hub's id, and this needs files: notes"):
        files.text("notes.txt")


def test_subjects_that_have_no_file_are_named_and_others_may_be_chosen(tmp_path):
    parts = {s: [Part(f"test/{s}.csv", "test"), Part(f"dev/{s}.csv", "dev")] for s in "abc"}
    for name in ("test/a.csv", "dev/a.csv", "test/b.csv"):
        write(tmp_path / name, "x,y\n1,2\n")
    files = published(tmp_path)
    assert chosen_subjects("mmlu", "abc", ["a"], files, parts) == ["a"]
    with pytest.raises(UsageError) as error:
        chosen_subjects("mmlu", "abc", None, files, parts)
    assert str(error.value) == (
        "mmlu: 2 of 3 subjects have no file: b, c (looked for test/b.csv and dev/b.csv in "
        f"{tmp_path}). Add them from https://example.org/mmlu, or choose: subjects=['a'], "
        "--task-options \"mmlu.subjects=['a']\""
    )
    with pytest.raises(UsageError, match="mmlu has no subject 'd'; it has a, b, c"):
        chosen_subjects("mmlu", "abc", ["d"], files, parts)
    with pytest.raises(UsageError, match=r"no test/c.csv .* in"):
        chosen_subjects("mmlu", "abc", ["c"], files, parts)


def test_a_partial_copy_and_another_split_are_told_by_the_number_of_rows(tmp_path):
    splits = {"test": Part("test", "test", items=14042), "dev": Part("dev", "dev", items=285)}
    files = published(tmp_path)
    assert files.count_notice(76, splits, "test") == ("76 of 14,042 rows of test: a partial copy")
    assert files.count_notice(285, splits, "test") == (
        "285 of 14,042 rows of test: as many as its dev split has"
    )
    assert files.count_notice(300, splits, "dev") == (
        "300 of 285 rows of dev: not the published one"
    )
    assert files.count_notice(14042, splits, "test") == ""


def test_finding_files_needs_neither_torch_nor_transformers():
    code = "import sys, xtune.eval.published; print('torch' in sys.modules)"
    assert subprocess.check_output([sys.executable, "-c", code], text=True) == "False\n"
