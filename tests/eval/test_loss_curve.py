from __future__ import annotations

from xtune.eval.loss_curve import LossCurve, read_loss_curve


def test_no_file_no_curve(tmp_path):
    assert read_loss_curve(tmp_path) == LossCurve({}, {})


def test_steps_trained_twice_nulls_and_a_cut_line(tmp_path):
    (tmp_path / "metrics.jsonl").write_text(
        '{"step": 1, "loss": 3.0}\n'
        '{"step": 2, "loss": 2.5}\n'
        '{"step": 2, "loss": 2.0, "val_loss": 2.2}\n'
        '{"step": 3, "loss": null}\n'
        '{"step": 4, "loss": NaN}\n'
        '"a string"\n'
        '{"loss": 9}\n'
        '{"step": 5, "lo'
    )
    assert read_loss_curve(tmp_path) == LossCurve({1: 3.0, 2: 2.0}, {2: 2.2})
