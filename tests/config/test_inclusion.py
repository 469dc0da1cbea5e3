from __future__ import annotations

from pathlib import Path
from textwrap import dedent

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xtune.config import render
from xtune.config.inclusion import _Sheet
from xtune.config.source import Line, Origin
from xtune.config.statements import Statement
from xtune.errors import ConfigError

SETTINGS = """
    # PART 1  Settings
    # the model
    name = 'small'

    # the optimizer
    lr = 2e-5  # peak
    betas = (0.9, 0.999)
"""
SCHEDULE = """
    # PART 4  Schedule
    optimizer = dict(type='AdamW', lr=lr, betas=betas)
"""


def flat(text: str) -> str:
    return dedent(text).lstrip("\n")


def test_parts_are_pasted_and_knobs_replaced_where_they_stand(write):
    leaf = write(
        leaf='''
            """What it does."""
            from mmengine.config import read_base

            with read_base():
                from .settings import *
                from .schedule import *

            lr = 1e-3
            # a bigger one
            name = 'large'
        ''',
        settings=SETTINGS,
        schedule=SCHEDULE,
    )
    assert render(leaf).text == flat('''
        """What it does."""

        # PART 1  Settings
        # a bigger one
        name = 'large'

        # the optimizer
        lr = 1e-3  # peak
        betas = (0.9, 0.999)

        # PART 4  Schedule
        optimizer = dict(type='AdamW', lr=lr, betas=betas)
    ''')
    assert render(leaf).values.optimizer.lr == 1e-3


def test_a_part_named_twice_is_pasted_where_it_is_first_named(write):
    leaf = write(
        leaf="""
            with read_base():
                from .first import *
                from .second import *
        """,
        first="""
            with read_base():
                from .common import *
            a = 1
        """,
        second="""
            with read_base():
                from .common import *
            b = 2
        """,
        common="""
            a = 0
            c = 3
        """,
    )
    assert render(leaf).text == "a = 1\nc = 3\nb = 2\n"


def test_a_new_name_stands_before_what_needs_it(write):
    leaf = write(
        leaf="""
            with read_base():
                from .settings import *
                from .schedule import *

            scale = 4
            base = 1e-4 * scale
            lr = base
        """,
        settings=SETTINGS,
        schedule=SCHEDULE,
    )
    assert render(leaf).text == flat("""
        # PART 1  Settings
        # the model
        name = 'small'

        scale = 4
        base = 1e-4 * scale
        # the optimizer
        lr = base  # peak
        betas = (0.9, 0.999)

        # PART 4  Schedule
        optimizer = dict(type='AdamW', lr=lr, betas=betas)
    """)
    assert render(leaf).values.optimizer.lr == pytest.approx(4e-4)


def test_a_knob_may_be_derived_from_one_that_stood_behind_it(write):
    leaf = write(
        leaf="""
            with read_base():
                from .settings import *
            name = betas[0]
        """,
        settings=SETTINGS,
    )
    assert render(leaf).values.name == 0.9


def test_own_comment_behind_a_value_wins_and_headings_stay(write):
    leaf = write(
        leaf="""
            with read_base():
                from .settings import *
            # mine
            name = 'x'
            lr = 1  # low
        """,
        settings=SETTINGS,
    )
    assert render(leaf).text == flat("""
        # PART 1  Settings
        # mine
        name = 'x'

        # the optimizer
        lr = 1  # low
        betas = (0.9, 0.999)
    """)


def test_text_that_is_not_ascii_and_strings_over_lines_survive(write):
    leaf = write(
        leaf='''
            with read_base():
                from .settings import *
            name = """你好 # no comment
            name = 'not a statement'
            """  # 注释
        ''',
        settings=SETTINGS,
    )
    sheet = render(leaf)
    assert sheet.values.name == "你好 # no comment\nname = 'not a statement'\n"
    assert "# 注释" in sheet.text


def test_rendering_is_idempotent(write):
    leaf = write(
        leaf="""
            with read_base():
                from .settings import *
                from .schedule import *
            lr = 3
        """,
        settings=SETTINGS,
        schedule=SCHEDULE,
    )
    text = render(leaf).text
    assert render(write(flat_copy=text)).text == text


def test_a_flat_sheet_may_hold_any_python_and_is_left_alone(write):
    text = flat("""
        import math

        def my_map_fn(row):
            return {'text': row['line']}

        class Helper:
            pass

        lrs = []
        for i in range(3):
            lrs.append(10 ** -i)
        if True:
            lr = min(lrs)


        map_fn = dict(fn=my_map_fn)
    """)
    sheet = render(write(mine=text))
    assert sheet.text == text
    assert sheet.values.lr == 0.01
    assert sheet.values.map_fn.fn({"line": "x"}) == {"text": "x"}
    assert set(sheet.values) == {"lrs", "i", "lr", "map_fn"}


def test_everything_but_assignments_is_refused_with_its_line_all_at_once(write):
    leaf = write(
        leaf="""
            import os
            with read_base():
                from .settings import *
                from settings import lr
                from .setings import *
            if os.name:
                lr = 1
            lr += 1
            a, b = 1, 2
            c = 1; d = 2
            for i in []:
                pass
        """,
        settings=SETTINGS,
    )
    with pytest.raises(ConfigError) as caught:
        render(leaf)
    places = [line.split(":")[:2] for line in str(caught.value).splitlines()]
    assert places == [["leaf.py", str(n)] for n in (1, 4, 5, 6, 8, 9, 10, 11)]
    assert "did you mean 'settings'?" in str(caught.value)


def test_a_part_that_an_older_version_had_is_told_by_those_that_there_are(write):
    leaf = write(
        leaf="""
            with read_base():
                from .parts.qlora import *
        """
    )
    Path("parts").mkdir()
    Path("parts/causal_lm.py").write_text("model = dict()\n")
    with pytest.raises(ConfigError, match=r"no file parts/qlora.py; there: causal_lm$"):
        render(leaf)


def test_the_same_holds_for_a_part(write):
    leaf = write(
        leaf="""
            with read_base():
                from .part import *
        """,
        part="""
            lr = 1
            def f(): pass
        """,
    )
    with pytest.raises(ConfigError, match=r"part.py:2: 'def f\(\): pass' does not belong"):
        render(leaf)


def test_circles_are_refused(write):
    leaf = write(
        one="""
            with read_base():
                from .two import *
        """,
        two="""
            with read_base():
                from .one import *
        """,
    )
    with pytest.raises(ConfigError, match=r"circle: one.py -> two.py -> one.py"):
        render(leaf)


def test_knobs_set_from_each_other_are_refused(write):
    leaf = write(
        leaf="""
            with read_base():
                from .settings import *
            name = lr
            lr = name
        """,
        settings=SETTINGS,
    )
    with pytest.raises(ConfigError, match="set from each other"):
        render(leaf)


def test_a_knob_set_from_itself_is_refused(write):
    leaf = write(
        leaf="""
            with read_base():
                from .settings import *
            lr = lr * 2
        """,
        settings=SETTINGS,
    )
    with pytest.raises(ConfigError, match=r"leaf.py:3: 'lr' is set from itself.*settings.py:6"):
        render(leaf)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("lr = (1\n", r"mine.py:1: not valid Python"),
        ("lr = 1\nx = lrr\n", r"mine.py:2: x = lrr: NameError.*did you mean 'lr'\?"),
        ("a = 1\n\nb = a / 0\n", r"mine.py:3: b = a / 0: ZeroDivisionError"),
    ],
)
def test_a_sheet_that_does_not_run_says_where(write, text, message):
    with pytest.raises(ConfigError, match=message):
        render(write(mine=text))


def test_a_failing_knob_of_a_leaf_is_located_in_the_leaf(write):
    leaf = write(
        leaf="""
            with read_base():
                from .settings import *

            lr = nothing
        """,
        settings=SETTINGS,
    )
    with pytest.raises(ConfigError, match=r"leaf.py:4: lr = nothing"):
        render(leaf)


def test_the_older_inheritance_of_mmengine_is_refused_with_what_to_write(write):
    mine = write(mine="lr = 1\n_base_ = ['other.py']\n")
    with pytest.raises(ConfigError, match=r"mine.py:2: MMEngine's _base_ .* read_base"):
        render(mine)


def test_a_file_that_is_no_utf8_is_refused(write, tmp_path):
    write(other="x = 1")
    (tmp_path / "latin.py").write_bytes("name = 'é'".encode("latin-1"))
    with pytest.raises(ConfigError, match="latin.py cannot be read"):
        render("latin.py")


@given(st.lists(st.tuples(st.sampled_from("abcde"), st.frozensets(st.sampled_from("abcde")))))
def test_whatever_is_set_stands_behind_what_it_needs(assignments):
    sheet = _Sheet()
    known: set[str] = set()
    for number, (name, wanted) in enumerate(assignments):
        # a name may be derived only from what was set by then, as in Python
        needs = frozenset(wanted & known - {name})
        known.add(name)
        line = Line(f"{name} = {number}", Origin("x", number))
        try:
            sheet.set(Statement(name, [], [line], needs=needs))
        except ConfigError:  # a circle: what is set needs what was derived from it
            return
    order = [statement.name for statement in sheet.statements]
    assert sorted(order) == sorted(known)
    for at, statement in enumerate(sheet.statements):
        assert statement.needs <= set(order[:at])
