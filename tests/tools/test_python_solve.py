"""The tools `python` and `solve` in a box."""

from __future__ import annotations

import pytest

from xtune.tools.toolbox import ToolBox

SIEVE = "primes = [n for n in range(2, 30) if all(n % d for d in range(2, n))]"


@pytest.fixture(scope="module")
def box():
    with ToolBox(["python", "solve"], {"python": {"seconds": 60}}) as box:
        if box.off:
            pytest.skip(str(box.off))
        yield box


def test_python_keeps_its_variables_and_hands_over_figures(box):
    assert box.call(
        "python", {"code": "primes = [n for n in range(2, 30) if all(n % d for d in range(2, n))]"}
    ).ok
    assert box.call("python", {"code": "sum(primes)"}).content == "129"
    result = box.call(
        "python", {"code": "import matplotlib.pyplot as plt\nplt.bar(primes, primes)\nNone"}
    )
    assert result.content == "[file: figure_1.png]"
    assert result.files[0].read_bytes().startswith(b"\x89PNG")
    assert result.files[0].parent == box.folder
    box.stop()
    assert "NameError" in box.call("python", {"code": "primes"}).content


@pytest.mark.parametrize(
    ("equations", "unknowns", "said"),
    [
        ("x^2 - 4 = 0", "", "x = -2, or x = 2"),
        ("2x + 3 = 11", "x", "x = 4"),
        ("x + y = 10; x - y = 2", "", "x = 6, y = 4"),
        ("x + y = 10, x - y = 2", "x, y", "x = 6, y = 4"),
        ("a*x = b", "x", "x = b/a"),
        ("x^2 = 2", "", "x = -sqrt(2) (about -1.4142136), or x = sqrt(2) (about 1.4142136)"),
        ("x = x + 1", "", "there is no solution"),
        ("x + x = 2*x", "", "every value is a solution"),
        ("x - 3 > 1", "", "(4 < x) & (x < oo)"),
    ],
)
def test_solve(box, equations, unknowns, said):
    result = box.call("solve", {"equations": equations, "unknowns": unknowns})
    assert (result.content, result.ok) == (said, True)


@pytest.mark.parametrize("equations", ["x = = 2", "x +* 2", "", "x = 1 = 2"])
def test_what_is_no_equation_is_said_in_one_line(box, equations):
    result = box.call("solve", {"equations": equations})
    assert not result.ok
    assert len(result.content.splitlines()) == 1


def test_what_sympy_would_evaluate_stays_in_the_sandbox(box, tmp_path):
    for text in (
        f"__import__('os').system('touch {tmp_path}/made')",
        f"open('{tmp_path}/made', 'w')",
        "x'); import os; os.system('id",
    ):
        box.call("solve", {"equations": text})
    assert list(tmp_path.iterdir()) == []
    assert box.call("solve", {"equations": "x = 1"}).content == "x = 1"
