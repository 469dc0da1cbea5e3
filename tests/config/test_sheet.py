from __future__ import annotations

import hashlib
import inspect
import subprocess
import sys

import pytest
from mmengine.config import Config, ConfigDict

from xtune.config import flat_items, render
from xtune.errors import ConfigError

LEAF = "smollm2_135m_lora_toolcall"


@pytest.fixture
def leaf(write):
    return write(
        leaf="""
            with read_base():
                from .settings import *
                from .schedule import *

            lr = 3
        """,
        settings="""
            # PART 1
            lr = 1
            betas = (0.9, 0.999)
            lora = dict(
                r=1,
                alpha=2)
        """,
        schedule="""
            optimizer = dict(type='AdamW', lr=lr, betas=betas)
            model = dict(
                adapter=lora)
            hooks = [dict(type='A'), dict(type='B')]
        """,
    )


def where(sheet, key):
    return [str(origin) for origin in sheet.chain(key)]


def test_origins_lead_through_names_to_the_line_that_set_the_value(leaf):
    sheet = render(leaf)
    assert where(sheet, "lr") == ["leaf.py:5"]
    assert where(sheet, "optimizer.lr") == ["schedule.py:1", "leaf.py:5"]
    assert where(sheet, "optimizer.type") == ["schedule.py:1"]
    assert where(sheet, "model.adapter.alpha") == ["settings.py:6"]
    assert where(sheet, "hooks.1.type") == ["schedule.py:4"]
    assert str(sheet.origin("optimizer.lr")) == "leaf.py:5"
    assert tuple(sheet.origin("optimizer.lr")) == ("leaf.py", 5)


def test_a_key_that_does_not_exist_is_where_it_would_be(leaf):
    sheet = render(leaf)
    assert str(sheet.origin("model.adapter.rr")) == "settings.py:4"
    assert str(sheet.origin("nothing")) == "leaf.py:1"


def test_options_are_origins(leaf):
    sheet = render(leaf, ["lr=7", "model.adapter.r=8", "optimizer.betas=(0, 0)"])
    assert where(sheet, "optimizer.lr") == ["schedule.py:1", "--cfg-options lr=7"]
    assert where(sheet, "lora.r") == ["--cfg-options model.adapter.r=8"]
    assert where(sheet, "model.adapter.r") == ["--cfg-options model.adapter.r=8"]
    assert where(sheet, "lora.alpha") == ["settings.py:6"]
    assert where(sheet, "optimizer.betas") == ["--cfg-options optimizer.betas=(0, 0)"]
    assert where(sheet, "optimizer.betas.0") == ["--cfg-options optimizer.betas=(0, 0)"]


def test_what_no_longer_holds_is_remembered(leaf):
    sheet = render(leaf, ["lr=7"])
    assert [(str(old.origin), old.source) for old in sheet.replaced["lr"]] == [
        ("settings.py:2", "1"),
        ("leaf.py:5", "3"),
    ]


def test_origins_in_a_flat_sheet_know_later_statements(write):
    mine = write(
        mine="""
            lora = dict(r=1)
            model = dict(adapter=lora)
            lora['r'] = 3
            if lora:
                x = 1
        """
    )
    sheet = render(mine)
    assert str(sheet.origin("lora.r")) == "mine.py:3"
    assert str(sheet.origin("x")) == "mine.py:5"


def test_the_sheet_loads_in_plain_mmengine_with_the_same_values(tmp_path):
    sheet = render(LEAF)
    flat = tmp_path / "flat.py"
    flat.write_text(sheet.text)
    loaded = Config.fromfile(flat)
    assert loaded.to_dict() == sheet.values.to_dict()
    assert isinstance(sheet.values, ConfigDict)


def test_the_digest_is_that_of_the_text():
    sheet = render(LEAF)
    assert sheet.digest == hashlib.sha256(sheet.text.encode()).hexdigest()
    assert sheet.digest != render(LEAF, ["lr=1e-5"]).digest
    assert sheet.name == LEAF


def test_the_source_of_a_function_in_a_sheet_can_be_read_after_options_moved_it(write):
    mine = write(
        mine="""
            lora = dict(
                r=1,
                alpha=2)
            def my_map_fn(row):
                return row
            data = dict(map_fn=my_map_fn)
        """
    )
    for option in ("lora.r=2", "lora=None"):
        map_fn = render(mine, [option]).values.data.map_fn
        assert inspect.getsource(map_fn) == "def my_map_fn(row):\n    return row\n"


def test_flat_items_end_at_values_and_keep_empty_containers():
    values = {"a": {}, "b": [1, 2], "c": [{"x": {"y": None}}]}
    assert dict(flat_items(values)) == {"a": {}, "b": [1, 2], "c.0.x.y": None}


def test_rendering_imports_no_torch():
    code = (
        "import sys; from xtune.config import render; "
        "render('smollm2_135m_lora_toolcall', ['lr=1']); sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_a_sheet_imports_what_lies_next_to_it_from_whatever_folder(tmp_path):
    """As a script may; with the command's own folder first on Python's path, not the sheet's."""
    (tmp_path / "polite_words.py").write_text("END = ' please'\n")
    sheet = tmp_path / "sheet.py"
    sheet.write_text("from polite_words import END\nlr = 1\nend = END\n")
    code = "import sys; from xtune.config import render; print(render(sys.argv[1]).values.end)"
    command = [sys.executable, "-P", "-c", code, str(sheet)]
    assert subprocess.check_output(command, text=True) == " please\n"


def test_a_broken_sheet_is_said_once_whatever_the_options(write):
    sheet = write(broken="from no_such_words import END\nlr = 1\nname = 'a'\n")
    with pytest.raises(ConfigError) as raised:
        render(sheet, ["lr=2", "name=b"])
    assert str(raised.value) == (
        "broken.py:1: from no_such_words import END: ModuleNotFoundError: No module named "
        f"'no_such_words'; one of your own lies next to the config, in {sheet.parent}, or in a "
        "folder that PYTHONPATH names"
    )
