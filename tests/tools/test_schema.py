"""A tool's schema from its signature and docstring, against transformers' own."""

from __future__ import annotations

import pytest
from transformers.utils import get_json_schema

from tests.tools import misbehaving
from xtune.errors import RegistryError
from xtune.tools.base import tool
from xtune.tools.date import date
from xtune.tools.schema import spec_of


@pytest.mark.parametrize("function", [misbehaving.echo, misbehaving.sleeps, date])
def test_it_is_what_transformers_makes_of_the_same_function(function):
    theirs = get_json_schema(function)
    theirs["function"].pop("return", None)
    assert spec_of(function, name=function.__name__, seconds=1).schema() == theirs


def test_it_is_written_out():
    assert spec_of(misbehaving.sleeps, name="sleeps", seconds=1).schema() == {
        "type": "function",
        "function": {
            "name": "sleeps",
            "description": "Sleep.",
            "parameters": {
                "type": "object",
                "properties": {
                    "seconds": {"type": "number", "description": "how long."},
                    "sign": {"type": "string", "description": "a file to write before."},
                },
                "required": ["seconds"],
            },
        },
    }


def without_a_docstring(a: int): ...


def without_a_type(a):
    """Do.

    Args:
        a: it.
    """


def without_a_line(a: int):
    """Do."""


def of_a_set(a: set[int]):
    """Do.

    Args:
        a: it.
    """


def with_a_star(*a: int):
    """Do.

    Args:
        a: it.
    """


@pytest.mark.parametrize(
    ("function", "said"),
    [
        (without_a_docstring, "has no docstring"),
        (without_a_type, "'a' has no type"),
        (without_a_line, "says nothing of 'a'"),
        (of_a_set, "no JSON form"),
        (with_a_star, r"takes \*a"),
    ],
)
def test_gaps_are_refused_where_the_tool_is_declared(function, said):
    with pytest.raises(RegistryError, match=said):
        tool(function)


def test_a_second_tool_of_a_name_and_a_name_no_server_takes_are_refused():
    def echo(text: str) -> str:
        """Say it.

        Args:
            text: it.
        """
        return text

    with pytest.raises(RegistryError, match="there is a tool 'date' already, which comes with"):
        tool(name="date")(echo)
    assert tool(echo) is echo  # another file's `echo` may be called so too
    with pytest.raises(RegistryError, match="cannot be named 'e cho'"):
        tool(name="e cho")(echo)
