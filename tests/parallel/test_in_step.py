"""What one process cannot do, the others learn before their next pass; none waits for ever."""

from __future__ import annotations

import json

from tests.forked import run_ranks


def test_an_error_on_one_of_two_processes_is_heard_by_both(tmp_path):
    run_ranks("tests.parallel.two_in_step", [tmp_path], tmp_path / "logs", 2)
    first, second = (json.loads((tmp_path / f"{rank}.json").read_text()) for rank in (0, 1))
    whole = [1, 11, 21]
    told = "OtherFailed: another process has failed: its own message says why"
    # none, the second, both, none; alike on all, and not; in the middle of a pass
    assert first[:6] == [
        whole,
        told,
        "DataError: rank 0 cannot",
        whole,
        whole,
        "XtuneError: process 1 has failed: ZeroDivisionError: division by zero",
    ]
    assert second[:6] == [
        whole,
        "DataError: rank 1 cannot",
        "DataError: rank 1 cannot",
        whole,
        whole,
        "ZeroDivisionError: division by zero",
    ]
    assert first[6].startswith("RuntimeError: ")  # the other is gone
    assert second[6] == (
        "NotHeard: rank 1 failed in the middle of a pass that all processes make together "
        "(MemoryError: no room); they wait in it, so that the run cannot go on. Continue it with "
        "--resume"
    )
