"""The process in which tools run: python -m xtune.tools.worker ALIVE

A line of JSON comes in on standard input for each request, a line of JSON goes out on what was
standard output; the first request says which tools to build. A tool that prints does not disturb
that. ALIVE is the reading end of a pipe that the parent holds open: when the parent is gone the
kernel ends this process, whatever it is doing.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import re
import signal
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from xtune.errors import XtuneError
from xtune.tools.base import Output, Tool, ToolError
from xtune.tools.build import build_tools

__all__ = ["bounded", "main", "run"]

_MOST_FILES = 20


def main(alive: int) -> None:
    """Serve requests until standard input ends."""
    _end_with_the_parent(alive)
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    silence = os.open(os.devnull, os.O_RDWR)
    os.dup2(silence, 1)
    requests = os.fdopen(os.dup(0), encoding="utf-8")
    os.dup2(silence, 0)
    opening = json.loads(next(requests))
    for answer in _answers(opening, requests):
        answers.write(json.dumps(answer) + "\n")
        answers.flush()
        os.dup2(silence, 2)  # up to here it told why the process could not start


def _answers(opening: Mapping[str, Any], requests: Iterator[str]) -> Iterator[dict[str, Any]]:
    tools: dict[str, Tool] = {}
    off: dict[str, str] = {}
    for named, options in opening["tools"]:
        try:
            for tool in build_tools(named, options):
                if tool.spec.name in tools:
                    raise ToolError(f"two tools are called {tool.spec.name!r}")
                tools[tool.spec.name] = tool
        except ToolError as error:  # the means are missing here
            off[named] = str(error)
        except XtuneError as error:
            yield {"error": str(error), "kind": type(error).__name__}
            return
    specs = [
        [spec.name, spec.description, spec.parameters, spec.seconds]
        for spec in (tool.spec for tool in tools.values())
    ]
    yield {"specs": specs, "off": off}
    for line in requests:
        request = json.loads(line)
        tool = tools[request["name"]]
        yield run(tool, request["arguments"], Path(opening["folder"]), opening["longest"])


def run(tool: Tool, arguments: Mapping[str, Any], folder: Path, longest: int) -> dict[str, Any]:
    """Call a tool and say what came of it, an exception included.

    Args:
        tool: what to call.
        arguments: as its function takes them.
        folder: where its files go.
        longest: characters of the text.
    """
    try:
        given = tool.function(**arguments)
        output = given if isinstance(given, Output) else Output(_text(given))
        files = _written(output.files, folder)
        return {"ok": output.ok, "content": bounded(output.content, longest), "files": files}
    except ToolError as error:
        content = str(error)
    except RecursionError:
        content = "RecursionError: it is nested too deep"
    except MemoryError:
        content = "MemoryError: it needs more memory than a tool may have"
    except BaseException as error:  # a tool's sys.exit is no reason to end either
        content = f"{type(error).__name__}: {error}"
    return {"ok": False, "content": bounded(content, longest), "files": []}


def bounded(text: str, longest: int) -> str:
    """Return a text that is safe to show and to keep: its middle left out, no control characters.

    Args:
        text: of a result.
        longest: characters.

    >>> bounded("a\\x1b[31mb" + "c" * 9, 8)
    'a[31\\n[... 7 characters left out ...]\\ncccc'
    """
    # Control characters would move the cursor, lone surrogates cannot be written as UTF-8
    text = re.sub(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]", "", text)
    if len(text) <= longest:
        return text
    half = longest // 2
    return f"{text[:half]}\n[... {len(text) - 2 * half} characters left out ...]\n{text[-half:]}"


def _text(given: Any) -> str:
    if isinstance(given, str):
        return given
    if given is None:
        return "done"
    with contextlib.suppress(TypeError, ValueError):
        return json.dumps(given, ensure_ascii=False)
    return str(given)


def _written(files: Mapping[str, bytes], folder: Path) -> list[str]:
    """Write files under names that are only names, none over another."""
    paths = []
    for name, content in list(files.items())[:_MOST_FILES]:
        stem, suffix = os.path.splitext(re.sub(r"[^\w.-]", "_", os.path.basename(name))[-80:])
        stem = stem.lstrip(".") or "file"
        number = 0
        while True:
            path = folder / f"{stem}{f'_{number}' if number else ''}{suffix}"
            with contextlib.suppress(FileExistsError), path.open("xb") as file:
                file.write(content)
                break
            number += 1
        paths.append(str(path))
    return paths


def _end_with_the_parent(alive: int) -> None:
    # The pipe's other end is closed when the parent is gone, which raises SIGIO here; its default
    # is to end the process, also in the middle of C code. Prctl's parent-death signal would come
    # when only the thread ended that had started this process.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGIO, signal.SIG_DFL)
    with contextlib.suppress(OSError):  # without it, an idle worker still ends with its input
        fcntl.fcntl(alive, fcntl.F_SETOWN, os.getpid())
        fcntl.fcntl(alive, fcntl.F_SETFL, fcntl.fcntl(alive, fcntl.F_GETFL) | os.O_ASYNC)


if __name__ == "__main__":
    main(int(sys.argv[1]))
