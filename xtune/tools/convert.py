"""`convert`: units of measurement, exactly, from a table of definitions.

A table rather than the `pint` package: these are the units that people ask for, each defined by an
exact number; it needs nothing installed, starts at once, and evaluates no expression.
"""

from __future__ import annotations

import math
from fractions import Fraction

from xtune.errors import did_you_mean
from xtune.tools.base import ToolError, tool
from xtune.tools.calculator import shown

__all__ = ["UNITS", "convert"]

# quantity -> unit -> (how many of the quantity's first unit it is, other names)
_QUANTITIES: dict[str, dict[str, tuple[str, str]]] = {
    "length": {
        "metre": ("1", "m meter"),
        "kilometre": ("1000", "km kilometer"),
        "centimetre": ("0.01", "cm centimeter"),
        "millimetre": ("0.001", "mm millimeter"),
        "micrometre": ("1e-6", "um µm micrometer micron"),
        "nanometre": ("1e-9", "nm nanometer"),
        "inch": ("0.0254", "in inches"),
        "foot": ("0.3048", "ft feet"),
        "yard": ("0.9144", "yd"),
        "mile": ("1609.344", "mi"),
        "nautical mile": ("1852", "nmi"),
        "light year": ("9460730472580800", "ly lightyear"),
        "astronomical unit": ("149597870700", "au"),
    },
    "mass": {
        "kilogram": ("1", "kg kilo"),
        "gram": ("0.001", "g gramme"),
        "milligram": ("1e-6", "mg"),
        "tonne": ("1000", "t metric_ton"),
        "pound": ("0.45359237", "lb lbs"),
        "ounce": ("0.028349523125", "oz"),
        "stone": ("6.35029318", "st"),
        "ton": ("907.18474", "short_ton"),
        "carat": ("0.0002", "ct"),
    },
    "volume": {
        "litre": ("1", "l liter"),
        "millilitre": ("0.001", "ml milliliter"),
        "centilitre": ("0.01", "cl centiliter"),
        "cubic metre": ("1000", "m3 m³ cubic_meter"),
        "cubic centimetre": ("0.001", "cm3 cm³ cubic_centimeter cc"),
        "gallon": ("3.785411784", "gal us_gallon"),
        "imperial gallon": ("4.54609", "uk_gallon"),
        "quart": ("0.946352946", "qt"),
        "pint": ("0.473176473", "pt"),
        "cup": ("0.2365882365", ""),
        "fluid ounce": ("0.0295735295625", "fl_oz floz"),
        "tablespoon": ("0.01478676478125", "tbsp"),
        "teaspoon": ("0.00492892159375", "tsp"),
        "barrel": ("158.987294928", "bbl"),
    },
    "area": {
        "square metre": ("1", "m2 m² square_meter sqm"),
        "square kilometre": ("1e6", "km2 km² square_kilometer"),
        "square centimetre": ("0.0001", "cm2 cm² square_centimeter"),
        "hectare": ("10000", "ha"),
        "acre": ("4046.8564224", "ac"),
        "square foot": ("0.09290304", "ft2 ft² square_feet sqft"),
        "square inch": ("0.00064516", "in2 in² square_inches"),
        "square mile": ("2589988.110336", "mi2 mi²"),
    },
    "time": {
        "second": ("1", "s sec"),
        "millisecond": ("0.001", "ms"),
        "minute": ("60", "min"),
        "hour": ("3600", "h hr"),
        "day": ("86400", "d"),
        "week": ("604800", "wk"),
        "year": ("31557600", "yr"),
    },
    "speed": {
        "metre per second": ("1", "m/s meter_per_second mps meters_per_second metres_per_second"),
        "kilometre per hour": ("1/3.6", "km/h kmh kph kilometers_per_hour kilometres_per_hour"),
        "mile per hour": ("0.44704", "mph mi/h miles_per_hour"),
        "knot": ("1852/3600", "kn kt"),
        "foot per second": ("0.3048", "ft/s feet_per_second"),
    },
    "energy": {
        "joule": ("1", "j"),
        "kilojoule": ("1000", "kj"),
        "calorie": ("4.184", "cal"),
        "kilocalorie": ("4184", "kcal"),
        "kilowatt hour": ("3600000", "kwh"),
        "electronvolt": ("1.602176634e-19", "ev"),
        "british thermal unit": ("1055.05585262", "btu"),
    },
    "power": {
        "watt": ("1", "w"),
        "kilowatt": ("1000", "kw"),
        "megawatt": ("1e6", "mw"),
        "horsepower": ("745.69987158227022", "hp"),
        "metric horsepower": ("735.49875", "ps"),
    },
    "pressure": {
        "pascal": ("1", "pa"),
        "kilopascal": ("1000", "kpa"),
        "bar": ("100000", ""),
        "atmosphere": ("101325", "atm"),
        "pound per square inch": ("6894.757293168361", "psi"),
        "millimetre of mercury": ("133.322387415", "mmhg torr"),
    },
    "angle": {
        "degree": ("1", "deg °"),
        "radian": ("57.29577951308232", "rad"),
        "turn": ("360", "revolution"),
    },
    "data": {
        "byte": ("1", "b"),
        "bit": ("1/8", ""),
        "kilobyte": ("1000", "kb"),
        "megabyte": ("1e6", "mb"),
        "gigabyte": ("1e9", "gb"),
        "terabyte": ("1e12", "tb"),
        "kibibyte": ("1024", "kib"),
        "mebibyte": ("1048576", "mib"),
        "gibibyte": ("1073741824", "gib"),
        "tebibyte": ("1099511627776", "tib"),
    },
    # kelvin = value * factor + offset
    "temperature": {
        "kelvin": ("1", "k"),
        "celsius": ("1", "c °c centigrade degree_celsius degrees_celsius"),
        "fahrenheit": ("5/9", "f °f degree_fahrenheit degrees_fahrenheit"),
    },
}
_OFFSETS = {"celsius": Fraction("273.15"), "fahrenheit": Fraction("459.67") * Fraction(5, 9)}


def _exact(text: str) -> Fraction:
    above, _, below = text.partition("/")
    return Fraction(above) / Fraction(below or 1)


# every name -> (quantity, unit, factor)
UNITS = {
    name.replace("_", " "): (quantity, unit, _exact(factor))
    for quantity, units in _QUANTITIES.items()
    for unit, (factor, others) in units.items()
    for name in (unit, f"{unit}s", *others.split(), *(f"{other}s" for other in others.split()))
}


@tool(seconds=5)
def convert(value: float, from_unit: str, to_unit: str) -> str:
    """Convert a value from one unit of measurement to another.

    Args:
        value: how many.
        from_unit: the unit it is in, such as mile, kilogram, celsius.
        to_unit: the unit that is wanted.
    """
    have, want = _unit(from_unit), _unit(to_unit)
    if have[0] != want[0]:
        raise ToolError(f"{have[1]} is a unit of {have[0]}, but {want[1]} is one of {want[0]}")
    if not math.isfinite(value) or abs(value) > 1e100:
        raise ToolError(f"{value} is out of range: up to 1e100 is allowed")
    exact = Fraction(repr(value)) * have[2] + _OFFSETS.get(have[1], 0)
    if have[0] == "temperature" and exact < 0:
        raise ToolError(f"{shown(Fraction(repr(value)))} {have[1]} is below absolute zero")
    result = (exact - _OFFSETS.get(want[1], 0)) / want[2]
    return f"{shown(Fraction(repr(value)))} {have[1]} = {_digits(result)} {want[1]}"


def _unit(name: str) -> tuple[str, str, Fraction]:
    wanted = " ".join(name.strip().strip(".").replace("_", " ").split())
    found = UNITS.get(wanted) or UNITS.get(wanted.lower())
    if found is None:
        raise ToolError(
            f"unknown unit {name[:40]!r}{did_you_mean(wanted[:40], UNITS) or ';'} there are: "
            + ", ".join(unit for units in _QUANTITIES.values() for unit in units)
        )
    return found


def _digits(value: Fraction) -> str:
    """At most 10 significant digits: more would claim what was not measured."""
    return shown(Fraction(f"{float(value):.10g}"))
