from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, Optional

import pytest

from xtune.config.hints import misfit_of_type
from xtune.config.signatures import Form

if TYPE_CHECKING:
    from nowhere import Unknown


def thing(first: Unknown, *, size: int, rate: float = 0.1, name: str | None = None) -> None: ...


class Thing:
    def __init__(self, rank: int, mode: Literal["a", "b"] = "a", **more: Any) -> None: ...


def test_arguments_that_fit():
    assert not list(Form(thing, ["first"]).misfits({"size": 3, "rate": 1, "name": None}))
    assert not list(Form(Thing).misfits({"rank": 1, "anything": object()}))


def test_everything_that_does_not_fit_is_found():
    misfits = list(Form(thing).misfits({"sise": 1, "rate": "fast", "name": 3}))
    assert [m[:3] for m in misfits] == [
        ("sise", "thing takes no 'sise'", "did you mean 'size'?"),
        ("rate", "must be a number", ""),
        ("name", "must be a string or None", ""),
        ("first", "thing needs 'first', which is not given", ""),
        ("size", "thing needs 'size', which is not given", ""),
    ]


def test_what_the_builder_passes_is_not_for_the_config():
    (misfit,) = Form(thing, ["first"]).misfits({"first": 1, "size": 1})
    assert misfit.message == "thing gets 'first' from xtune: leave it out"


def test_a_far_off_name_gets_the_list_of_all():
    (misfit,) = Form(thing, ["first"]).misfits({"zzz": 1, "size": 1})
    assert misfit.hint == "it takes: size, rate, name"


@pytest.mark.parametrize(
    ("hint", "value", "wrong"),
    [
        (int, 1, None),
        (int, True, "an integer"),
        (int, 1.0, "an integer"),
        (float, 1, None),
        (float, "1e-4x", "a number"),
        (bool, 0, "True or False"),
        (bool, "false", "True or False"),
        (str, None, "a string"),
        (Optional[int], None, None),  # noqa: UP045
        (int | None, "x", "an integer or None"),
        (list[str], "abc", "a list"),
        (tuple[float, float], [0.9, 0.95], None),
        (dict[str, int], [], "a dict"),
        (Literal["nf4", "fp4"], "nf5", "'nf4' or 'fp4'"),
        (str | list[str], 3, "a string or a list"),
        (str | Thing, 3, None),
        (Any, object(), None),
    ],
)
def test_types(hint, value, wrong):
    assert misfit_of_type(hint, value) == wrong
