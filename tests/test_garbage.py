"""What Python looks through for garbage, and what it leaves alone."""

from __future__ import annotations

import gc
import json
import subprocess
import sys

from xtune.garbage import lasting_imports, uncollected


def test_nothing_is_collected_within_the_block():
    with uncollected():
        assert not gc.isenabled()
    assert gc.isenabled()


def test_what_is_imported_is_not_looked_through_again():
    program = (
        "import gc, json\n"
        "from xtune.garbage import lasting_imports\n"
        "with lasting_imports():\n"
        "    import xml.dom.minidom as imported\n"
        "first = gc.get_freeze_count()\n"
        "kept = [[] for _ in range(1000)]\n"
        "with lasting_imports():\n"
        "    import xml.dom.minidom\n"  # a second call: nothing new
        "seen = {id(one) for one in gc.get_objects()}\n"
        "print(json.dumps([first, gc.get_freeze_count(), id(imported.__dict__) in seen,\n"
        "    all(id(one) in seen for one in kept)]))\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    first, second, imported_is_seen, kept_is_seen = json.loads(done.stdout)
    assert first > 1000
    assert second == first
    assert not imported_is_seen
    assert kept_is_seen


def test_without_an_import_nothing_is_frozen():
    before = gc.get_freeze_count()
    with lasting_imports():
        pass
    assert gc.get_freeze_count() == before
