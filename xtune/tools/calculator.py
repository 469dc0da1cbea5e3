"""`calculator`: arithmetic by a parser of its own, exact where that is possible; nothing is run.

The text is parsed by Python's `ast`, and of the tree only numbers, signs, operators, a few
constants and the functions of a table are taken. Decimals are fractions, so 0.1 + 0.2 is 0.3.
"""

from __future__ import annotations

import ast
import math
import operator
import re
import statistics
from collections.abc import Callable
from fractions import Fraction
from typing import Any

from xtune.errors import did_you_mean
from xtune.tools.base import ToolError, tool

__all__ = ["calculator", "shown"]

Number = int | float | Fraction

_LONGEST = 1000  # characters
_DEEPEST = 60  # brackets in brackets
_BITS = 10_000  # of any integer on the way: 3,010 digits
_CONSTANTS = {"pi": math.pi, "π": math.pi, "e": math.e, "tau": math.tau}
_WRITTEN = {"×": "*", "·": "*", "÷": "/", "−": "-", "–": "-", "²": "**2", "³": "**3", "^": "**"}


@tool(seconds=5)
def calculator(expression: str) -> str:
    """Compute an arithmetic expression exactly.

    Args:
        expression: numbers, + - * / // % ** and brackets, pi, e, and functions such as sqrt, log,
            sin (of radians), round, min, factorial: "2 * (3 + 4) ** 2", "sqrt(2) / 3".
    """
    if len(expression) > _LONGEST:
        raise ToolError(f"the expression has {len(expression)} characters; {_LONGEST} are allowed")
    text = "".join(_WRITTEN.get(letter, letter) for letter in expression).strip(" =\n\t")
    text = re.sub(r"(?<=\d)\s*%\s*of\b", "/100*", text)
    if not re.search(r"[A-Za-z]\s*\(", text):  # else 'max(1,234)' would change its meaning
        text = re.sub(r"(?<=\d),(?=\d{3}(?!\d))", "", text)
    try:
        tree = ast.parse(text, mode="eval").body
    except (SyntaxError, ValueError, MemoryError, RecursionError) as error:
        reason = getattr(error, "msg", "") or str(error) or "it is nested too deep"
        raise ToolError(f"{expression!r} is no arithmetic expression: {reason}") from None
    try:
        if isinstance(tree, ast.Compare):
            return _compared(tree)
        return shown(_value(tree, 0))
    except ZeroDivisionError:
        raise ToolError("a division by zero") from None
    except OverflowError:
        raise ToolError("a number on the way is too large") from None
    except ValueError as error:
        raise ToolError(f"not defined: {error}") from None


def shown(value: Number) -> str:
    """Return a number as people write it: exact if it has at most 15 digits after the point.

    >>> shown(Fraction(3, 10)), shown(Fraction(1, 3)), shown(2.0), shown(10**20)
    ('0.3', '0.333333333333333', '2', '100000000000000000000')
    """
    if isinstance(value, Fraction):
        if value.denominator == 1:
            return str(value.numerator)
        exact = value * 10**15
        if exact.denominator == 1 and abs(value) < 10**60:
            digits = f"{abs(exact.numerator):016d}"
            text = f"{digits[:-15]}.{digits[-15:]}".rstrip("0")
            return f"-{text}" if value < 0 else text
        value = float(value)
    if isinstance(value, int):
        return str(value)
    return f"{value:.15g}"


def _compared(tree: ast.Compare) -> str:
    signs = {ast.Lt: operator.lt, ast.LtE: operator.le, ast.Gt: operator.gt, ast.GtE: operator.ge}
    signs |= {ast.Eq: operator.eq, ast.NotEq: operator.ne}
    values = [_value(each, 0) for each in (tree.left, *tree.comparators)]
    for sign, left, right in zip(tree.ops, values, values[1:], strict=False):
        if type(sign) not in signs:
            raise ToolError("of comparisons only < <= > >= == != are allowed")
        if not signs[type(sign)](left, right):
            return "false"
    return "true"


def _value(node: ast.expr, depth: int) -> Number:
    if depth > _DEEPEST:
        raise ToolError(f"it is nested more than {_DEEPEST} deep")
    if isinstance(node, ast.Constant) and type(node.value) in (int, float):
        return _checked(_literal(node.value))
    if isinstance(node, ast.Name) and node.id in _CONSTANTS:
        return _CONSTANTS[node.id]
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub | ast.UAdd):
        value = _value(node.operand, depth + 1)
        return -value if isinstance(node.op, ast.USub) else value
    if isinstance(node, ast.BinOp) and type(node.op) in _OPERATORS:
        left, right = _value(node.left, depth + 1), _value(node.right, depth + 1)
        return _checked(_OPERATORS[type(node.op)](left, right))
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and not node.keywords:
        if node.func.id not in _FUNCTIONS:
            raise ToolError(
                f"there is no function {node.func.id!r}{did_you_mean(node.func.id, _FUNCTIONS)}; "
                f"there are: {', '.join(sorted(_FUNCTIONS))}"
            )
        function, fewest, most = _FUNCTIONS[node.func.id]
        arguments = [_value(each, depth + 1) for each in _flat(node.args)]
        if not fewest <= len(arguments) <= most:
            raise ToolError(f"{node.func.id} does not take {len(arguments)} numbers")
        return _checked(function(*arguments))
    raise ToolError(
        f"{ast.unparse(node)[:60]!r} is not allowed: write numbers, + - * / // % **, brackets, "
        f"pi, e, and these functions: {', '.join(sorted(_FUNCTIONS))}"
    )


def _flat(nodes: list[ast.expr]) -> list[ast.expr]:
    """The numbers of `max([1, 2])` as those of `max(1, 2)`."""
    if len(nodes) == 1 and isinstance(nodes[0], ast.List | ast.Tuple):
        return nodes[0].elts
    return nodes


def _literal(value: Any) -> Number:
    return value if value in (math.inf, -math.inf) else Fraction(repr(value))


def _checked(value: Number) -> Number:
    if isinstance(value, complex):
        raise ToolError("there is no real result")
    if isinstance(value, float):
        if not math.isfinite(value):
            raise OverflowError
        return value
    exact = Fraction(value)
    if max(exact.numerator.bit_length(), exact.denominator.bit_length()) > _BITS:
        raise OverflowError
    return exact


def _power(base: Number, exponent: Number) -> Number:
    if isinstance(base, Fraction) and isinstance(exponent, Fraction) and exponent.denominator == 1:
        size = max(base.numerator.bit_length(), base.denominator.bit_length())
        if base in (0, 1, -1) and exponent >= 0:
            return base ** (int(exponent) % 2 or 2) if exponent else Fraction(1)
        if size * abs(exponent) > 2 * _BITS:
            raise OverflowError
        return base ** int(exponent)
    return _root(base, exponent) or float(base) ** float(exponent)


def _root(base: Number, exponent: Number) -> Number | None:
    """The exact square root, if it is one that is asked for and there is one."""
    if exponent != Fraction(1, 2) or not isinstance(base, Fraction) or base < 0:
        return None
    root = Fraction(math.isqrt(base.numerator), math.isqrt(base.denominator))
    return root if root * root == base else None


def _sqrt(value: Number) -> Number:
    exact = _root(value, Fraction(1, 2))
    return math.sqrt(value) if exact is None else exact


def _whole(function: Callable[..., int], most: int) -> Callable[..., Number]:
    """A function of whole numbers, none above `most`."""

    def checked(*values: Number) -> Number:
        if any(value != int(value) for value in values):
            raise ToolError(f"{function.__name__} takes whole numbers")
        if not all(-most <= value <= most for value in values):
            raise ToolError(f"{function.__name__} takes numbers up to {most}")
        return function(*map(int, values))

    return checked


def _round(value: Number, digits: Number = 0) -> Number:
    if digits != int(digits) or not -100 <= digits <= 100:
        raise ToolError("round takes a number of digits from -100 to 100")
    scale = Fraction(10) ** int(digits)
    # Half away from zero, as people round
    return (
        Fraction(math.floor(abs(Fraction(value)) * scale + Fraction(1, 2)))
        / scale
        * (-1 if value < 0 else 1)
    )


def _log(value: Number, base: Number | None = None) -> float:
    return math.log(value) if base is None else math.log(value, base)


_OPERATORS: dict[type[ast.operator], Callable[[Number, Number], Number]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
    ast.Pow: _power,
}
_LIST = (1, 200)
# function, the fewest and the most arguments
_FUNCTIONS: dict[str, tuple[Callable[..., Any], int, int]] = {
    "abs": (abs, 1, 1),
    "acos": (math.acos, 1, 1),
    "asin": (math.asin, 1, 1),
    "atan": (math.atan, 1, 1),
    "atan2": (math.atan2, 2, 2),
    "ceil": (math.ceil, 1, 1),
    "comb": (_whole(math.comb, 2000), 2, 2),
    "cos": (math.cos, 1, 1),
    "cosh": (math.cosh, 1, 1),
    "degrees": (math.degrees, 1, 1),
    "exp": (math.exp, 1, 1),
    "factorial": (_whole(math.factorial, 1000), 1, 1),
    "floor": (math.floor, 1, 1),
    "gcd": (_whole(math.gcd, 10**300), *_LIST),
    "hypot": (math.hypot, *_LIST),
    "lcm": (_whole(math.lcm, 10**300), *_LIST),
    "ln": (math.log, 1, 1),
    "log": (_log, 1, 2),
    "log10": (math.log10, 1, 1),
    "log2": (math.log2, 1, 1),
    "max": (max, *_LIST),
    "mean": (lambda *values: statistics.mean(values), *_LIST),
    "median": (lambda *values: statistics.median(values), *_LIST),
    "min": (min, *_LIST),
    "perm": (_whole(math.perm, 1000), 1, 2),
    "pow": (_power, 2, 2),
    "radians": (math.radians, 1, 1),
    "round": (_round, 1, 2),
    "sin": (math.sin, 1, 1),
    "sinh": (math.sinh, 1, 1),
    "sqrt": (_sqrt, 1, 1),
    "sum": (lambda *values: sum(values), *_LIST),
    "tan": (math.tan, 1, 1),
    "tanh": (math.tanh, 1, 1),
}
