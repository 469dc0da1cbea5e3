"""Equations, solved by sympy. This text runs inside the sandbox, for sympy's parser evaluates."""

from __future__ import annotations

import re

import sympy
from sympy.parsing.sympy_parser import (
    convert_xor,
    implicit_multiplication_application,
    parse_expr,
    standard_transformations,
)

__all__ = ["solve_text"]

_READING = (*standard_transformations, implicit_multiplication_application, convert_xor)
_MOST_SOLUTIONS = 20


def solve_text(equations: str, unknowns: str) -> str:
    """Return the solutions in words: 'x = 2, or x = -2'.

    Args:
        equations: separated by ';', ',' or new lines; without '=' it is '= 0'.
        unknowns: names separated by ',' or blanks; '': all there are.
    """
    parts = [each for each in re.split(r"[;\n]|,(?![^(]*\))", equations) if each.strip()]
    if not parts:
        raise ValueError("there is no equation")
    statements = [_statement(each) for each in parts]
    free = sorted(set().union(*(each.free_symbols for each in statements)), key=str)
    wanted = [sympy.Symbol(name) for name in re.findall(r"\w+", unknowns)] or free
    if not free:
        return "; ".join(
            f"{part.strip()}: {each}" for part, each in zip(parts, statements, strict=True)
        )
    if any(not isinstance(each, sympy.Eq) for each in statements):
        return str(sympy.reduce_inequalities(statements, wanted[:1]))
    found = sympy.solve(statements, wanted, dict=True)
    if not found:
        always = all(sympy.simplify(each.lhs - each.rhs) == 0 for each in statements)
        return "every value is a solution" if always else "there is no solution"
    lines = [
        ", ".join(f"{name} = {_said(solution[name])}" for name in wanted if name in solution)
        for solution in found[:_MOST_SOLUTIONS]
    ]
    more = len(found) - len(lines)
    return ", or ".join(lines) + (f", and {more} more" if more else "")


def _statement(text):
    pieces = re.split(r"(<=|>=|!=|==|=|<|>)", text.replace("\u2264", "<=").replace("\u2265", ">="))
    if len(pieces) == 1:
        pieces += ["=", "0"]
    if len(pieces) != 3:
        raise ValueError(f"{text.strip()!r} is not one equation")
    left, sign, right = pieces
    sides = [parse_expr(side, transformations=_READING) for side in (left, right)]
    if sign in ("=", "=="):
        return sympy.Eq(*sides, evaluate=False)
    return sympy.Rel(*sides, sign)


def _said(value):
    simple = sympy.simplify(value)
    if simple.is_number and not simple.is_Rational:
        return f"{simple} (about {sympy.N(simple, 8)})"
    return str(simple)
