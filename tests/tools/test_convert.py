"""Units: the demo's own calls run, and every definition agrees with others that are known."""

from __future__ import annotations

import json
from fractions import Fraction

import pytest

from xtune.demos.toolcall import ToolcallSource
from xtune.demos.toolcall_tables import UNIT_PAIRS
from xtune.eval.call_match import call_in
from xtune.tools.arguments import read_arguments
from xtune.tools.base import ToolError
from xtune.tools.convert import UNITS, convert
from xtune.tools.schema import spec_of


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((301, "mile", "kilometre"), "301 mile = 484.412544 kilometre"),
        ((98.6, "Fahrenheit", "°C"), "98.6 fahrenheit = 37 celsius"),
        ((-40, "celsius", "fahrenheit"), "-40 celsius = -40 fahrenheit"),
        ((0, "kelvin", "celsius"), "0 kelvin = -273.15 celsius"),
        ((5, "ft", "inches"), "5 foot = 60 inch"),
        ((1, "gallon", "quarts"), "1 gallon = 4 quart"),
        ((1, "gallon", "cups"), "1 gallon = 16 cup"),
        ((1, "gallon", "floz"), "1 gallon = 128 fluid ounce"),
        ((1, "cup", "tablespoons"), "1 cup = 16 tablespoon"),
        ((1, "tablespoon", "teaspoons"), "1 tablespoon = 3 teaspoon"),
        ((1, "barrel", "gallons"), "1 barrel = 42 gallon"),
        ((1, "mile", "feet"), "1 mile = 5280 foot"),
        ((1, "square mile", "acres"), "1 square mile = 640 acre"),
        ((1, "acre", "sqft"), "1 acre = 43560 square foot"),
        ((1, "stone", "lbs"), "1 stone = 14 pound"),
        ((1, "pound", "oz"), "1 pound = 16 ounce"),
        ((1, "ton", "lb"), "1 ton = 2000 pound"),
        ((36, "km/h", "m/s"), "36 kilometre per hour = 10 metre per second"),
        ((1, "knot", "km/h"), "1 knot = 1.852 kilometre per hour"),
        ((60, "mph", "ft/s"), "60 mile per hour = 88 foot per second"),
        ((1, "kWh", "kJ"), "1 kilowatt hour = 3600 kilojoule"),
        ((1, "horsepower", "foot"), "horsepower is a unit of power, but foot is one of length"),
        ((1, "byte", "bits"), "1 byte = 8 bit"),
        ((180, "degrees", "radians"), "180 degree = 3.141592654 radian"),
        ((1, "kilometer", "mile"), "1 kilometre = 0.6213711922 mile"),
    ],
)
def test_conversions(arguments, said):
    try:
        got = convert(*arguments)
    except ToolError as error:
        got = str(error)
    assert got == said


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((1, "mille", "km"), "unknown unit 'mille'; did you mean 'mile'?"),
        ((-300, "celsius", "kelvin"), "below absolute zero"),
        ((1e200, "m", "km"), "out of range"),
        ((float("nan"), "m", "km"), "out of range"),
        ((1, "os.system", "km"), "unknown unit"),
    ],
)
def test_refusals(arguments, said):
    with pytest.raises(ToolError, match=said):
        convert(*arguments)


def test_no_name_means_two_units():
    # A plural such as 'ms' of 'm' must not shadow a unit's own symbol
    assert [UNITS[name][1] for name in ("ms", "min", "mb", "pt", "in", "c", "ps")] == [
        "millisecond",
        "minute",
        "megabyte",
        "pint",
        "inch",
        "celsius",
        "metric horsepower",
    ]
    assert UNITS["horsepower"][2] == Fraction("745.69987158227022")


def test_each_conversion_that_the_demo_trains_can_be_made():
    spec = spec_of(convert, name="convert", seconds=5)
    rows = [row for _, row in ToolcallSource(split="held_out").rows() if row["kind"] == "convert"]
    seen = set()
    for row in rows:
        call = call_in(row["messages"][-1]["content"])
        seen.add((call["arguments"]["from_unit"], call["arguments"]["to_unit"]))
        said = convert(**read_arguments(spec, json.dumps(call["arguments"])))
        assert said.startswith(f"{call['arguments']['value']} {call['arguments']['from_unit']} = ")
        assert said.endswith(f" {call['arguments']['to_unit']}")
    assert seen == {*UNIT_PAIRS, *((to, have) for have, to in UNIT_PAIRS)}
