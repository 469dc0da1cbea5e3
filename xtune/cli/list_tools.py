"""Print the tools that a model can be given: what each does, its arguments, its options.

xtune list-tools
xtune list-tools search
"""

from __future__ import annotations

import argparse
import inspect
from typing import Any

__all__ = ["add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    parser.add_argument("name", nargs="?", help="only this one, with all that is said of it")


def run(args: argparse.Namespace) -> int:
    """Print a block a tool."""
    from xtune.registry import TOOLS, names, resolve

    if args.name is not None:
        declared = resolve(TOOLS, args.name)
        print("\n".join([*_block(args.name, declared), "", inspect.getdoc(declared) or ""]))
        return 0
    for name in names(TOOLS):
        print("\n".join(_block(name, resolve(TOOLS, name))), end="\n\n")
    print("xtune tool-server --tools NAME ... --tool-options NAME.OPTION=VALUE ...")
    print("Your own: path/to/file.py:name; see docs/en/tools.md")
    return 0


def _block(name: str, declared: Any) -> list[str]:
    from xtune.tools.schema import spec_of

    is_class = isinstance(declared, type)
    function = declared.__dict__.get("__call__") if is_class else declared
    lines = []
    if function is None:
        lines = [f"{name}  {(inspect.getdoc(declared) or '').splitlines()[0]}"]
    else:
        bound = function.__get__(object()) if is_class else function
        spec = spec_of(bound, name=name, seconds=declared.__tool__.seconds)
        required = spec.parameters.get("required", ())
        lines = [f"{name}  {spec.description}"]
        for argument, schema in spec.parameters["properties"].items():
            optional = "" if argument in required else ", optional"
            lines.append(f"  {argument} ({schema['type']}{optional}): {schema['description']}")
    options = inspect.signature(declared).parameters.values() if is_class else ()
    if options:
        written = [
            each.name if each.default is each.empty else f"{each.name}={each.default!r}"
            for each in options
        ]
        lines.append(f"  options  {', '.join(written)}")
    return lines
