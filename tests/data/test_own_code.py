"""A function's fingerprint: an edit of anything of the user's that it reaches makes another."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

from xtune.data.fingerprint import fingerprint_function, fingerprint_source
from xtune.data.sources import open_source
from xtune.registry import MAP_FNS, resolve

ROW = "    return {'text': %s}\n"

# name -> files, and the edit as (file, before, after). The map_fn is `to_text` of mine.py.
FORMS = {
    "a module imported by its name while it runs": (
        {
            "late.py": "def clean(t):\n    return t.upper()\n",
            "mine.py": "import importlib\ndef to_text(row):\n"
            "    late = importlib.import_module('late')\n" + ROW % "late.clean(row['q'])",
        },
        ("late.py", "upper()", "lower()"),
    ),
    "a function": (
        {
            "mine.py": "def clean(t):\n    return t.upper()\ndef to_text(row):\n"
            + ROW % "clean(row['q'])"
        },
        ("mine.py", "upper()", "lower()"),
    ),
    "a method": (
        {
            "mine.py": "class Cleaner:\n    def clean(self, t):\n        return t.upper()\n"
            "def to_text(row):\n" + ROW % "Cleaner().clean(row['q'])"
        },
        ("mine.py", "upper()", "lower()"),
    ),
    "a class attribute": (
        {
            "mine.py": "class Cleaner:\n    mark = '!'\ndef to_text(row):\n"
            + ROW % "row['q'] + Cleaner.mark"
        },
        ("mine.py", "'!'", "'?'"),
    ),
    "a base class in another file": (
        {
            "bases.py": "class Base:\n    def clean(self, t):\n        return t.upper()\n",
            "mine.py": "from bases import Base\nclass Cleaner(Base):\n    pass\n"
            "def to_text(row):\n" + ROW % "Cleaner().clean(row['q'])",
        },
        ("bases.py", "upper()", "lower()"),
    ),
    "behind lru_cache": (
        {
            "mine.py": "import functools\n@functools.lru_cache\ndef clean(t):\n"
            "    return t.upper()\ndef to_text(row):\n" + ROW % "clean(row['q'])"
        },
        ("mine.py", "upper()", "lower()"),
    ),
    "a module's function": (
        {
            "helper.py": "def clean(t):\n    return t.upper()\n",
            "mine.py": "import helper\ndef to_text(row):\n" + ROW % "helper.clean(row['q'])",
        },
        ("helper.py", "upper()", "lower()"),
    ),
    "a function of another file": (
        {
            "helper.py": "def clean(t):\n    return t.upper()\n",
            "mine.py": "from helper import clean\ndef to_text(row):\n" + ROW % "clean(row['q'])",
        },
        ("helper.py", "upper()", "lower()"),
    ),
    "two files away": (
        {
            "deep.py": "def up(t):\n    return t.upper()\n",
            "helper.py": "from deep import up as clean\n",
            "mine.py": "from helper import clean\ndef to_text(row):\n" + ROW % "clean(row['q'])",
        },
        ("deep.py", "upper()", "lower()"),
    ),
    "an import inside the function, not run yet": (
        {
            "helper.py": "def clean(t):\n    return t.upper()\n",
            "mine.py": "def to_text(row):\n    from helper import clean\n"
            + ROW % "clean(row['q'])",
        },
        ("helper.py", "upper()", "lower()"),
    ),
    "from . import in a package": (
        {
            "pkg/__init__.py": "from .mapping import to_text\n",
            "pkg/mapping.py": "from . import words\ndef to_text(row):\n"
            + ROW % "row['q'] + words.END",
            "pkg/words.py": "from .inner.deep import END\n",
            "pkg/inner/__init__.py": "",
            "pkg/inner/deep.py": "END = '!'\n",
            "mine.py": "from pkg import to_text\n",
        },
        ("pkg/inner/deep.py", "'!'", "'?'"),
    ),
    "a package that hands on": (
        {
            "pkg/__init__.py": "from pkg.words import clean\n",
            "pkg/words.py": "def clean(t):\n    return t.upper()\n",
            "mine.py": "import pkg\ndef to_text(row):\n" + ROW % "pkg.clean(row['q'])",
        },
        ("pkg/words.py", "upper()", "lower()"),
    ),
    "an object that is called": (
        {
            "helper.py": "class Cleaner:\n    def __init__(self, mark):\n        self.mark = mark\n"
            "    def __call__(self, t):\n        return t + self.mark\n",
            "mine.py": "from helper import Cleaner\nfrom functools import partial\n"
            "class Map:\n    def __call__(self, clean, row):\n"
            "        return {'text': clean(row['q'])}\n"
            "to_text = partial(Map(), Cleaner('!'))\n",
        },
        ("helper.py", "t + self.mark", "self.mark + t"),
    ),
    "a decorator": (
        {
            "helper.py": "def marked(f):\n    def inner(row):\n"
            "        return {'text': f(row)['text'] + '!'}\n    return inner\n",
            "mine.py": "from helper import marked\n@marked\ndef to_text(row):\n" + ROW % "row['q']",
        },
        ("helper.py", "'!'", "'?'"),
    ),
    "inside another library's decorator": (
        {
            "mine.py": "import contextlib\n@contextlib.contextmanager\ndef cleaned(t):\n"
            "    yield t.upper()\ndef to_text(row):\n    with cleaned(row['q']) as text:\n"
            "        return {'text': text}\n"
        },
        ("mine.py", "upper()", "lower()"),
    ),
    "a data class": (
        {
            "mine.py": "from dataclasses import dataclass\n@dataclass\nclass Rules:\n"
            "    mark: str = '!'\nrules = Rules()\ndef to_text(row):\n"
            + ROW
            % "row['q'] + rules.mark"
        },
        ("mine.py", "'!'", "'?'"),
    ),
    "a table": (
        {
            "words.py": "SWAPS = {'a': 'b'}\n",
            "mine.py": "import words\ndef to_text(row):\n" + ROW % "words.SWAPS[row['q']]",
        },
        ("words.py", "'b'", "'c'"),
    ),
    "a path into folders with files of one's own": (
        {
            "one/__init__.py": "",
            "one/two/__init__.py": "",
            "one/two/three/__init__.py": "END = '!'\n",
            "mine.py": "from pathlib import Path\nfrom one.two.three import END\n"
            "PLACE = Path(__file__).parent / 'one/two/three/words'\ndef to_text(row):\n"
            + ROW
            % "row['q'] + END + str(PLACE)",
        },
        ("mine.py", "words", "names"),
    ),
}


@pytest.fixture
def loaded(tmp_path, monkeypatch):
    """Write files into the folder, and import the map_fn out of them anew."""
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    before = set(sys.modules)

    def forget():
        for name in set(sys.modules) - before:
            if str(getattr(sys.modules[name], "__file__", "")).startswith(str(tmp_path)):
                del sys.modules[name]

    def load(files, name="mine.py:to_text"):
        for file, text in files.items():
            (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / file).write_text(text)
        forget()
        importlib.invalidate_caches()
        return resolve(MAP_FNS, f"{tmp_path}/{name}")

    yield load
    forget()


@pytest.mark.parametrize("form", FORMS)
def test_an_edit_of_what_a_map_fn_reaches_makes_another_fingerprint(loaded, form):
    files, (name, before, after) = FORMS[form]
    first = fingerprint_function(loaded(files))
    assert fingerprint_function(loaded(files)) == first
    edited = {**files, name: files[name].replace(before, after)}
    assert edited != files
    assert fingerprint_function(loaded(edited)) != first


@pytest.mark.parametrize("form", FORMS)
def test_a_comment_and_a_blank_line_make_no_other(loaded, form):
    files, (name, _, _) = FORMS[form]
    first = fingerprint_function(loaded(files))
    assert fingerprint_function(loaded({**files, name: "# why\n\n" + files[name]})) == first


def test_a_file_that_the_code_reads_by_its_name_counts(loaded):
    files = {
        "words.txt": "please",
        "mine.py": "from pathlib import Path\ndef to_text(row):\n"
        "    said = Path(__file__).with_name('words.txt').read_text()\n" + ROW % "said + row['q']",
    }
    first = fingerprint_function(loaded(files))
    assert fingerprint_function(loaded(files)) == first
    assert fingerprint_function(loaded({**files, "words.txt": "kindly"})) != first


CONFIG = """
from functools import lru_cache, partial
from words import polite
import words
class Cleaner:
    mark = '!'
    def clean(self, text):
        return text.upper()
@lru_cache
def cached(text):
    return text.strip()
cleaner = Cleaner()
def bound(row, end='.'):
    return {'text': cached(cleaner.clean(polite(row['q']))) + words.END + end}
map_fn = partial(bound, end=';')
lr = 1e-4
"""
WORDS = "END = '?'\ndef polite(text):\n    return 'please ' + text\n"


@pytest.mark.parametrize(
    ("before", "after"),
    [
        *[("mark = '!'", "mark = '?'"), ("upper()", "lower()"), ("strip()", "lstrip()")],
        *[("end=';'", "end=','"), ("end='.'", "end=':'"), ("lr = 1e-4", "lr = 2e-4")],
        *[("'please '", "'kindly '"), ("END = '?'", "END = '!'")],
    ],
)
def test_a_function_in_a_config_and_what_it_reaches(tmp_path, loaded, before, after):
    def fingerprint(config, words):
        loaded({"words.py": words, "mine.py": "to_text = None"})
        namespace = {"__name__": "__xtune_config__", "__file__": str(tmp_path / "config.py")}
        exec(config, namespace)
        return fingerprint_function(namespace["map_fn"])

    first = fingerprint(CONFIG, WORDS)
    assert fingerprint(CONFIG, WORDS) == first
    edited = fingerprint(CONFIG.replace(before, after), WORDS.replace(before, after))
    assert (edited == first) == ("lr" in before)  # another knob costs no tokenisation


def test_the_state_of_objects_in_a_config_counts(loaded):
    def fingerprint(objects):
        namespace = {"__name__": "__xtune_config__"}
        exec(f"import collections, re\nit = {objects}\ndef map_fn(row):\n    return it", namespace)
        return fingerprint_function(namespace["map_fn"])

    for one, other in [
        ("{'a', 'b'}", "{'a', 'c'}"),
        ("re.compile('a')", "re.compile('b')"),
        ("collections.Counter('aab')", "collections.Counter('abb')"),
        ("collections.deque([1])", "collections.deque([2])"),
        ("'a'.join", "'b'.join"),
        ("frozenset({('a', frozenset('bc'))})", "frozenset({('a', frozenset('bd'))})"),
    ]:
        assert fingerprint(one) == fingerprint(one) != fingerprint(other)


ALL = """
import sys
from pathlib import Path
from xtune.data.fingerprint import fingerprint_function
from xtune.registry import MAP_FNS, resolve
for folder in sorted(Path(sys.argv[1]).iterdir()):
    sys.path.insert(0, str(folder))
    print(folder.name, fingerprint_function(resolve(MAP_FNS, f"{folder}/mine.py:to_text")))
    sys.path.pop(0)
    for name, module in list(sys.modules.items()):
        if str(getattr(module, "__file__", "")).startswith(str(folder)):
            del sys.modules[name]
for name in ("openai", "sharegpt", "alpaca", "msagent", "xlam"):
    print(name, fingerprint_function(resolve(MAP_FNS, name)))
"""


def test_every_process_and_place_gives_the_same(tmp_path):
    """Other hash seeds, with compiled files and without, in a folder of another name."""
    printed = []
    for seed, place in [("1", "here"), ("2", "here"), ("3", "there")]:
        for number, (files, _) in enumerate(FORMS.values()):
            for file, text in files.items():
                path = tmp_path / place / f"form{number:02}" / file
                path.parent.mkdir(parents=True, exist_ok=True)
                if not path.exists():
                    path.write_text(text)
        done = subprocess.run(
            [sys.executable, "-c", ALL, str(tmp_path / place)],
            capture_output=True,
            text=True,
            check=True,
            env={**os.environ, "PYTHONHASHSEED": seed},
            cwd=Path(__file__).parents[2],
        )
        printed.append(done.stdout)
    assert printed[0].count("\n") == len(FORMS) + 5
    assert printed[0] == printed[1] == printed[2]


def test_what_lies_next_to_the_file_moves_with_it_and_a_new_name_is_no_new_code(tmp_path):
    text = (
        "from pathlib import Path\nHERE = Path(__file__).parent\nWORDS = str(HERE / 'words.txt')\n"
        "def to_text(row):\n" + ROW % "row['q'] + WORDS + str(HERE)"
    )
    made = set()
    for place in ("here/mine.py", "there/inside/mine.py", "there/renamed.py"):
        file = tmp_path / place
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        made.add(fingerprint_function(resolve(MAP_FNS, f"{file}:to_text")))
    assert len(made) == 1
    other = tmp_path / "other.py"
    other.write_text(text.replace("words.txt", "names.txt"))
    assert fingerprint_function(resolve(MAP_FNS, f"{other}:to_text")) not in made


def test_a_source_of_ones_own_is_its_code_and_the_contents_of_its_files(tmp_path):
    code = (
        "class Mine:\n    def __init__(self, path, skip=0):\n        pass\n"
        "    def rows(self):\n        return iter(())\n"
        "    def fingerprint(self):\n        return 'always the same'\n"
    )

    def made(place, content="a", text=code, **arguments):
        folder = tmp_path / place
        folder.mkdir(exist_ok=True)
        (folder / "rows.txt").write_text(content)
        (folder / "source.py").write_text(text)
        named = {"type": f"{folder}/source.py:Mine", "path": str(folder / "rows.txt"), **arguments}
        return fingerprint_source(open_source(named, split="train"), named)

    assert made("here") == made("there")
    others = [made("a", content="b"), made("b", skip=1), made("c", text=code.replace("same", "s"))]
    assert len({made("here"), *others}) == 4
