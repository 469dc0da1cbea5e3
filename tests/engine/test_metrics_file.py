"""metrics.jsonl, read while it is written, cut off, resumed, or broken."""

from __future__ import annotations

import json
import math

from xtune.engine.metrics_file import MetricsFile, last_row, read_rows


def write(path, text, mode="a"):
    with path.open(mode, encoding="utf-8") as file:
        file.write(text)


def listed(curve):
    return list(curve.steps), list(curve.values)


def test_no_file_is_no_curves_and_no_rows(tmp_path):
    path = tmp_path / "metrics.jsonl"
    assert MetricsFile(path).curves() == {}
    assert read_rows(path) == []
    assert last_row(path) == {}


def test_what_is_added_is_read_and_half_a_line_waits(tmp_path):
    path = tmp_path / "metrics.jsonl"
    metrics = MetricsFile(path)
    write(path, '{"step": 1, "loss": 3.5}\n{"step": 2, "lo')
    assert listed(metrics.curves()["loss"]) == ([1], [3.5])
    assert read_rows(path) == [{"step": 1, "loss": 3.5}]
    write(path, 'ss": 2.25, "val_loss": 2.0}\n')
    assert listed(metrics.curves()["loss"]) == ([1, 2], [3.5, 2.25])
    assert listed(metrics.curves()["val_loss"]) == ([2], [2.0])
    assert last_row(path) == {"step": 2, "loss": 2.25, "val_loss": 2.0}


def test_only_what_is_new_is_read_again(tmp_path):
    path = tmp_path / "metrics.jsonl"
    metrics = MetricsFile(path)
    write(path, '{"step": 1, "loss": 3.5}\n{"step": 2, "loss": 3.0}\n')
    metrics.curves()
    with path.open("r+b") as file:  # as no run does: what has been read does not count again
        file.seek(len('{"step": 1, "loss": 3.5}\n{"step": 2, "loss": '))
        file.write(b"9")
    write(path, '{"step": 3, "loss": 2.5}\n')
    assert listed(metrics.curves()["loss"]) == ([1, 2, 3], [3.5, 3.0, 2.5])


def test_another_runs_file_in_its_place_is_read_from_its_beginning(tmp_path):
    path = tmp_path / "metrics.jsonl"
    metrics = MetricsFile(path)
    write(path, '{"step": 1, "loss": 3.5}\n{"step": 2, "loss": 3.0}\n')
    metrics.curves()
    write(path, '{"step": 1, "loss": 8.5}\n{"step": 2, "loss": 8.0}\n{"step": 3, "loss": 7}\n', "w")
    assert listed(metrics.curves()["loss"]) == ([1, 2, 3], [8.5, 8.0, 7.0])
    write(path, '{"step": 1, "loss": 8.5}\n', "w")
    assert listed(metrics.curves()["loss"]) == ([1], [8.5])
    path.unlink()
    assert metrics.curves() == {}


def test_steps_that_were_trained_again_count_as_they_were_written_last(tmp_path):
    path = tmp_path / "metrics.jsonl"
    for step, loss in ((1, 4.0), (2, 3.0), (3, 2.0), (2, 2.5), (3, 1.5), (4, 1.0)):
        write(path, json.dumps({"step": step, "loss": loss}) + "\n")
    assert listed(MetricsFile(path).curves()["loss"]) == ([1, 2, 3, 4], [4.0, 2.5, 1.5, 1.0])


def test_what_is_not_finite_is_nan_and_what_is_no_number_is_no_curve(tmp_path):
    path = tmp_path / "metrics.jsonl"
    write(path, '{"step": 1, "loss": null, "lr": NaN, "note": "x", "done": true, "ids": [1]}\n')
    write(path, '{"step": 2, "loss": Infinity, "lr": 1%s}\n' % ("0" * 400))
    curves = MetricsFile(path).curves()
    assert sorted(curves) == ["loss", "lr"]
    assert all(math.isnan(value) for curve in curves.values() for value in curve.values)
    assert [list(curve.steps) for curve in curves.values()] == [[1, 2], [1, 2]]


def test_lines_that_are_no_rows_are_passed_over(tmp_path):
    path = tmp_path / "metrics.jsonl"
    broken = ['"text"', "[1]", '{"loss": 1}', '{"step": "2"}', '{"step": -1, "loss": 1}', "", "{"]
    broken += ['{"step": 1%s, "loss": 1}' % ("0" * 30), "[" * 100_000, "\xff\x00"]
    path.write_bytes("\n".join([*broken, '{"step": 7, "loss": 1.5}', ""]).encode("latin-1"))
    assert read_rows(path) == [{"step": 7, "loss": 1.5}]
    assert {n: listed(c) for n, c in MetricsFile(path).curves().items()} == {"loss": ([7], [1.5])}


def test_the_last_step_is_found_behind_what_was_evaluated_after_it(tmp_path):
    path = tmp_path / "metrics.jsonl"
    for step in range(5000):
        write(path, json.dumps({"step": step, "loss": step / 8, "lr": 1e-4}) + "\n")
    write(path, '{"step": 4999, "eval/mmlu": 0.25}\n{"step": 5000, "lo')
    assert last_row(path) == {"step": 4999, "loss": 4999 / 8, "lr": 1e-4}
