"""The words of the code: arguments are described, sentences plain, named files there."""

from __future__ import annotations

import ast
import functools
import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path
from textwrap import dedent

import pytest

ROOT = Path(__file__).parents[1]
FILES = sorted(ROOT.glob("xtune/**/*.py"))
PAGES = sorted(
    [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("benchmarks/results/*.md")]
)
Function = ast.FunctionDef | ast.AsyncFunctionDef


@functools.cache
def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def public_functions(tree: ast.Module) -> Iterator[Function]:
    """Those of a module, and the methods of its public classes."""
    for node in tree.body:
        inside = node.body if isinstance(node, ast.ClassDef) and node.name[0] != "_" else [node]
        yield from (
            one for one in inside if isinstance(one, Function) and not one.name.startswith("_")
        )


def parameters(function: Function) -> list[str]:
    given = function.args
    names = [one.arg for one in (*given.posonlyargs, *given.args, *given.kwonlyargs)]
    return [name for name in names if name not in ("self", "cls")]


def undescribed(tree: ast.Module) -> list[str]:
    """The functions with two parameters or more that have a docstring without `Args:`."""
    return [
        function.name
        for function in public_functions(tree)
        if len(parameters(function)) > 1
        and "Args:" not in (ast.get_docstring(function) or "Args:")
        and not any(getattr(one, "id", "") == "overload" for one in function.decorator_list)
    ]


def test_each_public_function_says_what_its_arguments_are():
    missing = [f"{path}: {name}" for path in FILES for name in undescribed(parsed(path))]
    assert missing == []
    assert sum(len(list(public_functions(parsed(path)))) for path in FILES) > 800


def test_what_is_not_described_is_found():
    tree = ast.parse(
        dedent("""
        def good(a, b):
            '''Do.

            Args:
                a: one.
                b: two.
            '''
        def short(a):
            '''Do.'''
        def bad(a, b):
            '''Do.'''
        class Mine(Base):
            def override(self, a, b):
                pass
            def as_base(self, a, b):
                '''Do.

                Args: as `Base.as_base`.
                '''
            def worse(self, a, *, b):
                '''Do.'''
        """)
    )
    assert undescribed(tree) == ["bad", "worse"]


def test_an_override_points_at_a_method_that_is_described():
    described, named = set(), []
    for path in FILES:
        for node in ast.walk(parsed(path)):
            for one in (
                getattr(node, "body", []) if isinstance(node, ast.Module | ast.ClassDef) else []
            ):
                told = (ast.get_docstring(one) or "") if isinstance(one, Function) else ""
                prefix = f"{node.name}." if isinstance(node, ast.ClassDef) else ""
                described |= {f"{prefix}{one.name}"} if "Args:\n" in told else set()
                named += [(path, name) for name in re.findall(r"Args: as `([\w.]+)`", told)]
    assert [(path, name) for path, name in named if name not in described] == []
    assert len(named) > 20


BEGINS_WITH_OF = re.compile(r"(?:^|[.!?]\s+|\n\s*\n\s*)Of [a-z]")
BESIDE = re.compile(r"\b[Bb]eside\b")


def written_in(path: Path) -> list[str]:
    """A page whole; a module's strings and comments."""
    if path.suffix == ".md":
        return [path.read_text(encoding="utf-8")]
    return [*texts(path), *comments(path)]


@pytest.mark.parametrize("wrong", [BEGINS_WITH_OF, BESIDE], ids=["of", "beside"])
def test_no_text_or_comment_has_words_that_stop_a_reader(wrong):
    found = [
        f"{path}: {text[hit.start() : hit.start() + 60]!r}"
        for path in (*FILES, *PAGES)
        for text in written_in(path)
        if (hit := wrong.search(text.strip()))
    ]
    assert found == []
    assert len(PAGES) > 50
    assert wrong.search("It is beside it. Of all of them")


def test_the_files_that_docstrings_and_comments_name_are_there():
    """By their last part; those of users and of published checkpoints are not ours."""
    there = {path.name for path in ROOT.glob("**/*.py") if ".venv" not in path.parts}
    theirs = {"config.py", "file.py", "maps.py", "mine.py", "loss.py"}
    lost = [
        f"{path}: {name}"
        for path in FILES
        for text in (*docstrings(path), *comments(path))
        for name in re.findall(r"\b([a-z_0-9]+\.py)\b", text)
        if name not in there | theirs and not name.startswith(("my.", "my_"))
    ]
    assert lost == []


def texts(path: Path) -> Iterator[str]:
    """All strings: docstrings, messages, help. The rows that a demo is made of are no sentences."""
    if path.is_relative_to(ROOT / "xtune/demos"):
        return
    for node in ast.walk(parsed(path)):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value


def docstrings(path: Path) -> Iterator[str]:
    for node in ast.walk(parsed(path)):
        if isinstance(node, ast.Module | ast.ClassDef | Function):
            yield ast.get_docstring(node) or ""


def comments(path: Path) -> Iterator[str]:
    lines = io.StringIO(path.read_text(encoding="utf-8")).readline
    for token in tokenize.generate_tokens(lines):
        if token.type == tokenize.COMMENT:
            yield token.string.lstrip("#")
