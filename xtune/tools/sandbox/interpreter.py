"""Inside the sandbox: run code, keep its variables, report figures and files.

Nothing here protects anything; whatever runs here may change it. The kernel confines the process.
"""

from __future__ import annotations

import ast
import base64
import contextlib
import json
import os
import sys
import traceback
import types
from typing import Any

__all__ = ["serve"]

_FILE_NAME = "<code>"
_MOST_BYTES = 4_000_000  # of all the files of a call


def serve(results: int) -> None:
    """Run each code that comes in on standard input, a line of JSON, and report on `results`."""
    requests = os.fdopen(os.dup(0), encoding="utf-8")
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    sys.stdin = open(0, encoding="utf-8", closefd=False)  # noqa: SIM115
    main = types.ModuleType("__main__")
    sys.modules["__main__"] = main
    sys.setrecursionlimit(2000)
    _report(results, {"ready": True})
    for line in requests:
        before = _files()
        request = json.loads(line)
        ok = _run(request["code"], main.__dict__)
        _save_figures()
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(Exception):
                stream.flush()
        _report(results, {"ok": ok, "ticket": request["ticket"], **_made(before)})


def _report(results: int, said: dict[str, Any]) -> None:
    line = json.dumps(said).encode() + b"\n"
    while line:
        line = line[os.write(results, line) :]


def _run(code: str, variables: dict[str, Any]) -> bool:
    """Run code as the interactive interpreter does: the value of a last expression is shown."""
    try:
        tree = ast.parse(code, _FILE_NAME)
        last = tree.body.pop() if tree.body and isinstance(tree.body[-1], ast.Expr) else None
        exec(compile(tree, _FILE_NAME, "exec"), variables)
        if isinstance(last, ast.Expr):
            value = eval(compile(ast.Expression(last.value), _FILE_NAME, "eval"), variables)
            if value is not None:
                sys.stdout.write(repr(value) + "\n")
        return True
    except SystemExit as stop:
        return stop.code in (None, 0)
    except BaseException as error:
        frames = error.__traceback__
        while frames is not None and frames.tb_frame.f_code.co_filename != _FILE_NAME:
            frames = frames.tb_next
        with contextlib.suppress(BaseException):
            lines = traceback.format_exception(type(error), error, frames, limit=-5, chain=False)
            sys.stderr.write("".join(lines))
        return False


def _save_figures() -> None:
    pyplot = sys.modules.get("matplotlib.pyplot")
    if pyplot is None:
        return
    with contextlib.suppress(Exception):
        for number in pyplot.get_fignums():
            pyplot.figure(number).savefig(f"figure_{number}.png")
        pyplot.close("all")


def _files() -> dict[str, tuple[int, int]]:
    found = {}
    with contextlib.suppress(OSError), os.scandir(os.environ["HOME"]) as entries:
        for entry in entries:
            if entry.is_file(follow_symlinks=False) and not entry.name.startswith("."):
                about = entry.stat(follow_symlinks=False)
                found[entry.name] = (about.st_mtime_ns, about.st_size)
    return found


def _made(before: dict[str, tuple[int, int]]) -> dict[str, Any]:
    """The files that are new or changed, and the names of those too large to hand over."""
    files, left, room = {}, [], _MOST_BYTES
    for name, about in sorted(_files().items()):
        if before.get(name) == about:
            continue
        if about[1] > room:
            left.append(name)
            continue
        with (
            contextlib.suppress(OSError),
            open(os.path.join(os.environ["HOME"], name), "rb") as file,
        ):
            files[name] = base64.b64encode(file.read(room)).decode()
            room -= about[1]
    return {"files": files, "too_large": left}
