"""MOSS's plugin protocol: the commands that such a model writes, run by the same tools.

the model      <|Commands|>: Calculate("1+2"), Search("fjord")<eoc>
we answer      <|Results|>:
Calculate("1+2") =>
3
Search("fjord") =>
<|1|>: ...<eor>
"""

from __future__ import annotations

import re

from xtune.tools.toolbox import ToolBox

__all__ = ["PLUGINS", "moss_calls", "moss_command", "moss_results"]

# plugin -> (tool, the argument that its text is)
PLUGINS = {
    "calculate": ("calculator", "expression"),
    "solve": ("solve", "equations"),
    "search": ("search", "query"),
}
_OTHER_NAMES = {"calculator": "calculate", "solver": "solve"}
_COMMANDS = re.compile(r"<\|Commands\|>:(.*?)(?:<eoc>|$)", re.S)
_COMMAND = re.compile(r"""(\w+)\(\s*("(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')\s*\)""")
_MOST = 8  # commands of one turn


def moss_calls(text: str) -> list[tuple[str, str]]:
    """Return the commands in a model's turn: plugin and text; an empty list for 'None'.

    >>> moss_calls('<|Commands|>: Calculator("2*3"), search("a \\\\"b\\\\"")<eoc>')
    [('calculate', '2*3'), ('search', 'a "b"')]
    >>> moss_calls("<|Commands|>: None<eoc>")
    []
    """
    found = _COMMANDS.search(text)
    calls = []
    for name, quoted in _COMMAND.findall(found[1] if found else "")[:_MOST]:
        plugin = _OTHER_NAMES.get(name.lower(), name.lower())
        calls.append((plugin, re.sub(r"\\(.)", r"\1", quoted[1:-1])))
    return calls


def moss_command(plugin: str, given: str) -> str:
    """Return the line that stands before a command's result.

    Args:
        plugin: MOSS's name of it.
        given: the command's text.
    """
    return f'{plugin.capitalize()}("{given}") =>'


def moss_results(text: str, box: ToolBox, plugins: list[str]) -> str:
    """Run the commands in a model's turn and return the results' turn.

    Args:
        text: what the model wrote, up to `<eoc>`.
        box: has the tools of the plugins.
        plugins: those that are on, of `PLUGINS`.
    """
    pieces = []
    for plugin, given in moss_calls(text):
        command = moss_command(plugin, given)
        if plugin not in PLUGINS:
            pieces.append(f"{command}\nthere is no such plugin")
        elif plugin not in plugins:
            pieces.append(f"{command}\nthis plugin is off")
        else:
            tool, argument = PLUGINS[plugin]
            pieces.append(f"{command}\n{box.call(tool, {argument: given}).content}")
    return "<|Results|>:\n" + ("\n".join(pieces) if pieces else "None") + "<eor>"
