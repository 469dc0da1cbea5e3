"""Serve a model, and its adapters by name, to any program that speaks OpenAI's API.

MODEL is what `xtune chat` takes: a hub id, a folder, a .gguf file, the alias smollm2, or the
work_dir or a checkpoint of a run. Each adapter is a model of its own for those who ask.

  xtune serve smollm2
  xtune serve smollm2 --adapter tools=work_dirs/smollm2_135m_lora_toolcall
  xtune serve work_dirs/mine --tools calculator date
  XTUNE_API_KEY=... xtune serve work_dirs/mine --host 0.0.0.0

  curl http://127.0.0.1:8000/v1/chat/completions -H 'Content-Type: application/json' \\
      -d '{"model": "smollm2", "messages": [{"role": "user", "content": "Who are you?"}]}'

A page to talk to it is at http://127.0.0.1:8000/. Answers are those of `xtune chat` with the same
settings and seed. It listens on this machine only,
unless there is a key, in $XTUNE_API_KEY or a file. docs/en/serve.md says more.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from xtune.generation.locate import Located
    from xtune.serve.engine.questions import Engine
    from xtune.serve.served import Served
    from xtune.serve.tool_desk import ToolDesk

__all__ = ["add_arguments", "run"]

_MODULES = ("starlette", "uvicorn")
_LOOPBACK = ("127.0.0.1", "localhost", "::1")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the verb's arguments."""
    parser.add_argument(
        "model", metavar="MODEL", nargs="?", help="what to serve (default: the adapter's model)"
    )
    parser.add_argument(
        "--adapter",
        metavar="NAME=DIR",
        nargs="+",
        action="extend",
        default=[],
        help="adapters, each by a name of its own (default: the folder's)",
    )
    parser.add_argument(
        "--prompt-template", metavar="NAME", help="a registered template instead of the model's own"
    )
    parser.add_argument(
        "--bits", type=int, choices=(4, 8), help="quantize the weights while loading"
    )
    parser.add_argument(
        "--dtype", default="auto", choices=("auto", "fp32", "bf16", "fp16"), help="default: auto"
    )
    parser.add_argument(
        "--engine",
        default="xtune",
        choices=("xtune", "llamacpp"),
        help="llamacpp: llama.cpp in this process, for .gguf files and smollm2 (default: xtune)",
    )
    parser.add_argument(
        "--upstream",
        metavar="URL",
        help="let another server answer, such as vLLM at http://127.0.0.1:8001/v1; $OPENAI_API_KEY "
        "is its key",
    )
    web = parser.add_argument_group("web")
    web.add_argument("--host", default="127.0.0.1", help="to listen at; default: %(default)s")
    web.add_argument("--port", type=int, default=8000, help="default: %(default)s; 0: any")
    web.add_argument(
        "--api-key-file", metavar="FILE", help="keys, one a line (default: $XTUNE_API_KEY)"
    )
    web.add_argument(
        "--cors-origin",
        metavar="ORIGIN",
        nargs="+",
        default=[],
        help="pages of these sites may ask, such as https://chat.example",
    )
    web.add_argument("--open", action="store_true", help="open the page, where there is a display")
    web.add_argument(
        "--runs",
        metavar="FOLDER",
        type=Path,
        help="training runs that the page shows (default: work_dirs, if only this machine may ask)",
    )
    tools = parser.add_argument_group("tools")
    tools.add_argument(
        "--tools",
        metavar="NAME",
        nargs="+",
        help="that the page may call for the model: names of `xtune list-tools`, or "
        "path/to/file.py:name (default: none)",
    )
    tools.add_argument(
        "--tool-options",
        metavar="TOOL.OPTION=VALUE",
        nargs="+",
        default=[],
        help="options of the tools, such as search.folder=notes",
    )
    limits = parser.add_argument_group("limits")
    limits.add_argument("--slots", type=int, metavar="N", help="answers written at once (32)")
    limits.add_argument(
        "--kv-bits",
        type=int,
        choices=(8,),
        help="hold keys and values in 8 bits: room for twice as many tokens",
    )
    limits.add_argument(
        "--queue", type=int, default=256, metavar="N", help="that may wait; more get 429 (256)"
    )
    limits.add_argument(
        "--timeout", type=float, default=600, metavar="SECONDS", help="of a request (600)"
    )


def run(args: argparse.Namespace) -> int:
    """Serve until Ctrl-C."""
    import importlib.util

    from xtune.errors import UsageError

    if missing := [name for name in _MODULES if importlib.util.find_spec(name) is None]:
        raise UsageError(f"serve needs {' and '.join(missing)}: pip install 'xtune[serve]'")
    if args.slots is None:
        args.slots = 64 if args.upstream else 8 if args.engine == "llamacpp" else 32
    for name, least in (("slots", 1), ("queue", 0), ("timeout", 1)):
        if getattr(args, name) < least:
            raise UsageError(f"--{name} is {getattr(args, name):g}; allowed: {least} or more")
    if not 0 <= args.port <= 65535:
        raise UsageError(f"--port {args.port}: give a number from 1 to 65535, or 0 for any")
    keys = _keys(args.api_key_file)
    if not keys and args.host not in _LOOPBACK:
        raise UsageError(
            f"--host {args.host} without a key would let anybody use the model: set "
            "XTUNE_API_KEY, or give --api-key-file FILE"
        )

    if args.runs is not None:
        _require_runs(args.runs)
    elif args.host in _LOOPBACK:  # what runs hold of their data is not for everybody with a key
        args.runs = Path("work_dirs")

    from xtune.serve.wanted import wanted_models

    wanted = wanted_models(args.model, args.adapter)
    if args.upstream:
        _require_front(args)
    elif args.engine == "llamacpp":
        _require_gguf(args, list(wanted.values()))

    from xtune.serve.api.app import build_app
    from xtune.serve.api.context import ApiContext
    from xtune.serve.page.run_folder import RunFolder
    from xtune.serve.run import listen, serve

    with contextlib.ExitStack() as until_the_end:
        tools = _tools(args)
        if tools is not None:
            until_the_end.enter_context(tools)
        runs = None if args.runs is None else RunFolder(args.runs)
        context = ApiContext(tools=tools, runs=runs, seconds=args.timeout)
        app = build_app(context, keys=keys, host=args.host, origins=args.cors_origin)
        listening = listen(args.host, args.port)
        port = listening.getsockname()[1]
        host = f"[{args.host}]" if ":" in args.host else args.host
        address = f"http://{host}:{port}"

        def ready() -> None:
            _say(f"{', '.join(wanted)} at {address}/v1, the page at {address}/; Ctrl-C ends it")
            if args.open:
                _open(address)

        _say(f"loading {', '.join(wanted)}")
        serve(app, context, listening, lambda: _prepared(args, wanted), ready)
    return 0


def _open(address: str) -> None:
    """Open the page; a browser of the terminal would take it away from what is said there."""
    import webbrowser

    displays = ("DISPLAY", "WAYLAND_DISPLAY")
    if sys.platform in ("darwin", "win32") or any(map(os.environ.get, displays)):
        webbrowser.open(address)
    else:
        _say(f"there is no display to open it at: go to {address}/")


def _tools(args: argparse.Namespace) -> ToolDesk | None:
    """The tools that the operator has named, and no others: an adapter's notes turn none on."""
    from xtune.errors import UsageError

    if args.tools is None:
        if args.tool_options:
            raise UsageError("--tool-options goes with --tools NAME; add it")
        return None
    from xtune.serve.tool_desk import ToolDesk
    from xtune.tools.options import read_options

    desk = ToolDesk(args.tools, read_options(args.tool_options))
    for name, why in desk.box.off.items():
        _say(f"{name} is off: {why}")
    _say(f"tools: {', '.join(spec.name for spec in desk.box.specs) or 'none'}")
    return desk


def _require_runs(folder: Path) -> None:
    from xtune.errors import UsageError

    given = folder.expanduser()
    if not given.is_dir():
        raise UsageError(f"--runs {folder}: there is no such folder; runs are in work_dirs")
    if (given / "config.py").is_file():
        raise UsageError(
            f"--runs {folder} is a run itself; give the folder that it lies in: "
            f"{given.absolute().parent}"
        )


def _require_gguf(args: argparse.Namespace, wanted: list[Located]) -> None:
    from xtune.errors import UsageError
    from xtune.names import Kind, kind_of

    given = wanted[0].model
    if kind_of(given) not in (Kind.GGUF, Kind.ALIAS):
        raise UsageError(f"--engine llamacpp reads .gguf files and smollm2, not {given!r}")
    if len(wanted) > 1 or args.bits or args.kv_bits or args.dtype != "auto":
        raise UsageError(
            "--engine llamacpp serves a file as it is, without --adapter, --bits, --kv-bits and "
            "--dtype: "
            "merge an adapter into it (xtune export), or leave --engine out"
        )


def _require_front(args: argparse.Namespace) -> None:
    from xtune.errors import UsageError

    if not args.upstream.startswith(("http://", "https://")):
        raise UsageError(f"--upstream is {args.upstream!r}; give a URL: http://127.0.0.1:8001/v1")
    if args.engine != "xtune" or args.bits or args.kv_bits or args.dtype != "auto":
        raise UsageError(
            "with --upstream the other server has the weights: leave out --engine, --bits, "
            "--kv-bits, --dtype"
        )


def _prepared(args: argparse.Namespace, wanted: dict[str, Located]) -> tuple[Served, Engine]:
    """Load the models, and the engine that answers with them."""
    from xtune.serve.engine.local import LocalEngine
    from xtune.serve.served import load_front, load_served

    limits = {"slots": args.slots, "waiting": args.queue}
    if args.upstream:
        from xtune.serve.engine.upstream import UpstreamEngine

        served = load_front(wanted, prompt_template=args.prompt_template)
        key = os.environ.get("OPENAI_API_KEY", "")
        return served, UpstreamEngine(served, args.upstream, key, **limits)
    if args.engine == "xtune":
        served = load_served(
            wanted, bits=args.bits, dtype=args.dtype, prompt_template=args.prompt_template
        )
        return served, LocalEngine(served, kv_bits=args.kv_bits, **limits)

    from xtune.models.gguf import resolve_alias
    from xtune.serve.engine.llamacpp import LlamaCppEngine

    ((_, found),) = wanted.items()
    file = resolve_alias(found.model) if found.model == "smollm2" else Path(found.model)
    served = load_front(wanted, prompt_template=args.prompt_template)
    return served, LlamaCppEngine(served, file.expanduser(), **limits)


def _keys(file: str | None) -> list[str]:
    """The keys, which never stand on the command line: any user of the machine can read that."""
    from xtune.errors import UsageError

    if file is None:
        key = os.environ.get("XTUNE_API_KEY", "").strip()
        return [key] if key else []
    try:
        lines = Path(file).expanduser().read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise UsageError(f"--api-key-file {file} cannot be read: {error.strerror}") from None
    keys = [line.strip() for line in lines if line.strip()]
    if not keys:
        raise UsageError(f"--api-key-file {file} is empty; write a key into it, one a line")
    return keys


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
