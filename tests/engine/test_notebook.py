"""The bar of a notebook: one output, drawn anew, and not once a step."""

import pytest

from xtune.engine import notebook
from xtune.engine.notebook import NotebookBar, notebook_screen


@pytest.fixture
def clock(monkeypatch):
    """Seconds that pass only when a test says so."""
    now = [100.0]
    monkeypatch.setattr(notebook.time, "monotonic", lambda: now[0])
    return now


@pytest.fixture
def drawn():
    return []


@pytest.fixture
def bar(drawn, clock):
    def screen(text):
        drawn.append(("new", text))
        return lambda text: drawn.append(("again", text))

    return NotebookBar(screen, total=5, done=2)


def test_it_begins_where_the_run_does(bar, drawn):
    assert drawn == [
        (
            "new",
            "<div style='font-family:monospace'>step 2/5 <progress value='2' max='5'></progress> "
            "</div>",
        )
    ]


def test_quick_steps_are_drawn_together_and_the_last_one_always(bar, drawn, clock):
    bar.update(3, "loss 3 & <b>")
    assert len(drawn) == 1
    clock[0] += 0.3
    bar.update(4, "loss 2 & <b>")
    (kind, text), *more = drawn[1:]
    assert (kind, more) == ("again", [])
    assert "step 4/5" in text
    assert "loss 2 &amp; &lt;b&gt;" in text
    bar.update(5, "loss 1")
    bar.stop()
    bar.stop()
    assert len(drawn) == 3
    assert "step 5/5" in drawn[2][1]
    assert "loss 1" in drawn[2][1]


def test_there_is_no_screen_outside_a_notebook():
    assert notebook_screen() is None
