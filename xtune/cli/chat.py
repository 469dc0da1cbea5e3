"""Talk to a model, with an adapter or without.

MODEL is a hub id, a folder, a .gguf file, the alias smollm2, or the work_dir or a checkpoint of a
run. Left out, it is the model that the adapter was trained on. The chat template is the adapter's
own, so the one it was trained with.

  xtune chat work_dirs/smollm2_135m_lora_toolcall
  xtune chat --adapter work_dirs/smollm2_135m_lora_toolcall
  xtune chat smollm2 --prompt 'Who are you?' > answer.txt
  xtune chat smollm2 < questions.txt > answers.txt
  xtune chat smollm2 --lagent --prompt 'What is 12*31?'
  xtune chat http://127.0.0.1:8000/v1 --lagent --agent rewoo --tools calculator search \\
      --tool-options search.folder=notes

With --lagent the model is given tools, and each step is shown: what it thinks, the tool that it
calls, the result, the answer. `xtune list-tools` lists them; docs/en/agents.md says more.

In a dialogue: Enter sends; Alt-Enter, or a backslash at the end of a line, begins a new line;
/help lists the commands; Ctrl-C stops an answer; Ctrl-D leaves.
"""

from __future__ import annotations

import argparse
import io
import sys
from typing import TYPE_CHECKING, Any

from xtune.garbage import lasting_imports

if TYPE_CHECKING:
    from collections.abc import Callable

    from xtune.agents.base import AgentModel
    from xtune.agents.calling import Approve
    from xtune.generation.model import ChatModel
    from xtune.generation.settings import GenerationSettings

__all__ = ["add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the verb's arguments."""
    parser.add_argument(
        "model", metavar="MODEL", nargs="?", help="what to talk to (default: the adapter's model)"
    )
    parser.add_argument(
        "--adapter", metavar="DIR", help="an adapter's folder, or the work_dir that holds it"
    )
    system = parser.add_mutually_exclusive_group()
    system.add_argument(
        "--system", metavar="TEXT", help="system prompt (default: the one trained with, if any)"
    )
    system.add_argument(
        "--system-template", metavar="NAME", help="a system prompt by name: sql, coder, ..."
    )
    parser.add_argument(
        "--prompt-template",
        metavar="NAME",
        help="a registered template instead of the tokenizer's own (chatml, llama3_chat, ...)",
    )
    parser.add_argument(
        "--bits", type=int, choices=(4, 8), help="quantize the weights while loading"
    )
    parser.add_argument(
        "--dtype", default="auto", choices=("auto", "fp32", "bf16", "fp16"), help="default: auto"
    )
    parser.add_argument(
        "--kv-bits",
        type=int,
        choices=(8,),
        help="hold keys and values in 8 bits: half of the memory of a long dialogue",
    )
    parser.add_argument(
        "--prompt", metavar="TEXT", help="answer this one message on standard output, and end"
    )
    _add_agent_arguments(parser)
    sampling = parser.add_argument_group("sampling")
    sampling.add_argument(
        "--max-new-tokens", type=int, default=1024, metavar="N", help="of an answer (1024)"
    )
    sampling.add_argument(
        "--temperature", type=float, default=0.1, metavar="T", help="0: the likeliest (0.1)"
    )
    sampling.add_argument("--top-p", type=float, default=0.75, metavar="P", help="1: off (0.75)")
    sampling.add_argument("--top-k", type=int, default=40, metavar="K", help="0: off (40)")
    sampling.add_argument(
        "--repetition-penalty", type=float, default=1.0, metavar="R", help="1: off (1.0)"
    )
    sampling.add_argument("--seed", type=int, help="the same seed gives the same answers")


def _add_agent_arguments(parser: argparse.ArgumentParser) -> None:
    from xtune.tools.options import DEFAULT_TOOLS

    agent = parser.add_argument_group("tools")
    agent.add_argument("--lagent", action="store_true", help="give the model tools")
    agent.add_argument(
        "--agent", choices=("react", "rewoo", "autogpt"), help="how it uses them (react)"
    )
    agent.add_argument(
        "--tools",
        nargs="+",
        metavar="NAME",
        help=f"names of `xtune list-tools`, or path/to/file.py:name (default: those that the "
        f"adapter was trained with, else {' '.join(DEFAULT_TOOLS)})",
    )
    agent.add_argument(
        "--tool-options", nargs="+", metavar="TOOL.OPTION=VALUE", help="such as search.folder=notes"
    )
    agent.add_argument(
        "--with-plugins",
        nargs="+",
        choices=("calculate", "solve", "search"),
        metavar="PLUGIN",
        help="for models trained on MOSS's plugins: calculate, solve, search",
    )
    agent.add_argument(
        "--max-turns", type=int, metavar="N", help="of the model, for one message (10)"
    )
    agent.add_argument(
        "--approve",
        choices=("all", "ask", "none"),
        help="which calls are made (all; with autogpt: ask)",
    )
    agent.add_argument("--json", action="store_true", help="write each step as a line of JSON")
    agent.add_argument(
        "--served-model", metavar="NAME", help="where MODEL is the URL of a server: its name there"
    )


def run(args: argparse.Namespace) -> int:
    """Answer the prompt, the lines of a pipe, or a person; return 1 if a line had no answer."""
    from xtune.errors import UsageError
    from xtune.generation.settings import GenerationSettings
    from xtune.registry import TEMPLATES, resolve

    settings = GenerationSettings(  # checked before anything heavy is loaded
        max_new_tokens=args.max_new_tokens,
        temperature=args.temperature,
        top_p=args.top_p,
        top_k=args.top_k,
        repetition_penalty=args.repetition_penalty,
        seed=args.seed,
    )
    if args.prompt_template not in (None, "auto"):
        resolve(TEMPLATES, args.prompt_template)
    if args.system_template is not None:
        args.system = _system_text(args.system_template)
    if args.prompt is not None and not args.prompt.strip():
        raise UsageError("--prompt is empty; give it a message, or leave it out for a dialogue")

    if not (args.lagent or args.with_plugins):
        _require_lagent(args)
    if not (args.model or "").startswith(("http://", "https://")):
        from xtune.generation.locate import locate

        locate(args.model, args.adapter)  # a wrong folder is said before anything heavy is loaded
    if args.lagent or args.with_plugins:
        return _run_agent(args, settings)

    from xtune.chat.reader import read_pipe, read_terminal
    from xtune.chat.repl import Repl
    from xtune.chat.session import ChatSession

    model = _load(args)
    _take_any_byte()
    repl = Repl(answers=sys.stdout, notices=sys.stderr)
    system = model.system if args.system is None else args.system
    session = ChatSession(model, settings=settings, system=system, notice=repl.notice)
    session.no_system = args.system == ""
    if model.system and args.system is None:
        repl.notice(f"system prompt, as in training: {model.system}")
    if args.prompt is not None:
        if repl.answer(args.prompt, session).ended_by == "interrupt":
            raise KeyboardInterrupt
        return 0
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        return 1 if repl.run(read_pipe(sys.stdin), session) else 0
    repl.notice(f"{model.name}\n/help lists the commands; Ctrl-C stops an answer, Ctrl-D leaves")
    repl.run(read_terminal(repl.notice), session)
    return 0


def _run_agent(args: argparse.Namespace, settings: GenerationSettings) -> int:
    from xtune.agents.remote import RemoteModel, is_url
    from xtune.agents.show import AgentRepl, Human, require_terminal
    from xtune.chat.repl import Repl
    from xtune.errors import UsageError
    from xtune.tools.moss import PLUGINS
    from xtune.tools.options import DEFAULT_TOOLS, read_options
    from xtune.tools.toolbox import ToolBox

    if args.max_turns is not None and args.max_turns < 1:
        raise UsageError(f"--max-turns is {args.max_turns}; allowed: 1 or more")
    if args.with_plugins and (args.tools or args.agent not in (None, "react")):
        raise UsageError("--with-plugins names MOSS's tools; leave out --tools and --agent")
    kind = args.agent or "react"
    approve = args.approve or ("ask" if kind == "autogpt" else "all")
    if approve == "ask":
        require_terminal(sys.stdin.isatty())
    plugins = tuple(dict.fromkeys(args.with_plugins or ()))
    notice = Repl(answers=sys.stdout, notices=sys.stderr).notice
    names = [PLUGINS[plugin][0] for plugin in plugins] or args.tools
    options = read_options(args.tool_options or ())
    if not names:
        noted = {} if is_url(args.model or "") else _noted_tools(args, notice)
        names = list(noted) or list(DEFAULT_TOOLS)
        options = noted | {name: noted.get(name, {}) | own for name, own in options.items()}
    with ToolBox(names, options) as box:
        for name, why in box.off.items():
            notice(f"{name} is off: {why}")
        if plugins and (missing := [p for p in plugins if PLUGINS[p][0] in box.off]):
            raise UsageError(f"these plugins are off: {', '.join(missing)}")

        from xtune.agents.build import TRAINED_FORMS, build_agent, language_of
        from xtune.agents.calling import approve_all, approve_none
        from xtune.agents.session import AgentSession
        from xtune.chat.reader import read_pipe, read_terminal

        system, trained_on = args.system, ""
        model: AgentModel
        if is_url(args.model or ""):
            model = RemoteModel(args.model, args.served_model or "", settings)
        else:
            from xtune.agents.local import LocalModel

            loaded = _load(args)
            model = LocalModel(loaded, settings)
            system = loaded.system if args.system is None else args.system
            trained_on = loaded.trained_on
        if plugins:
            system = _moss_text(system)

        def read(prompt: str) -> str:
            notice(prompt)  # standard output is for answers
            return input()

        policies: dict[str, Approve] = {
            "all": approve_all,
            "none": approve_none,
            "ask": Human(read, notice),
        }
        agent = build_agent(
            kind,
            model,
            box,
            max_turns=args.max_turns or 10,
            approve=policies[approve],
            language=language_of(system, args.prompt),
            plugins=plugins,
            trained_on=trained_on,
        )
        session = AgentSession(
            agent, model, box, settings=settings, system=system or "", notice=notice
        )
        _take_any_byte()
        repl = AgentRepl(
            answers=sys.stdout,
            notices=sys.stderr,
            as_json=args.json,
            plain=model.native
            and kind == "react"
            and not plugins
            and trained_on not in TRAINED_FORMS,
        )
        if args.prompt is not None:
            outcome = repl.answer(args.prompt, session)
            if outcome.ended_by == "interrupt":
                raise KeyboardInterrupt
            return int(outcome.ended_by != "answer")
        if not (sys.stdin.isatty() and sys.stdout.isatty()):
            failed = repl.run(read_pipe(sys.stdin), session)
            return int(failed + repl.unanswered > 0)
        tools = ", ".join(spec.name for spec in box.specs)
        notice(f"{model.name}, with {tools}\n/help lists the commands; Ctrl-C stops an answer")
        repl.run(read_terminal(notice), session)
    return 0


def _noted_tools(
    args: argparse.Namespace, notice: Callable[[str], None]
) -> dict[str, dict[str, Any]]:
    """The tools that the adapter or model was trained with, and their options."""
    from xtune.generation.locate import locate, training_notes
    from xtune.tools.options import noted_tools

    given, refused = noted_tools(training_notes(locate(args.model, args.adapter).trained))
    if given:
        notice(f"tools, as in training: {', '.join(given)}")
    if refused:
        notice(
            f"the adapter was trained with {', '.join(refused)} too, which an adapter cannot turn "
            "on; name all tools that you want: --tools NAME ..."
        )
    return given


def _load(args: argparse.Namespace) -> ChatModel:
    with lasting_imports():
        from xtune.generation.model import ChatModel

    return ChatModel.load(
        args.model,
        adapter=args.adapter,
        bits=args.bits,
        dtype=args.dtype,
        prompt_template=args.prompt_template,
        kv_bits=args.kv_bits,
    )


def _take_any_byte() -> None:
    for stream in (sys.stdin, sys.stdout):  # a wrong byte must not end a dialogue
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")


def _require_lagent(args: argparse.Namespace) -> None:
    from xtune.errors import UsageError

    given = ("agent", "tools", "tool_options", "max_turns", "approve", "json", "served_model")
    for name in given:
        if getattr(args, name):
            raise UsageError(f"--{name.replace('_', '-')} goes with --lagent; add it")
    if (args.model or "").startswith(("http://", "https://")):
        raise UsageError("a server's URL goes with --lagent; add it")


def _moss_text(system: str | None) -> str:
    """MOSS's system text up to its list of plugins, which says what is on, and is ours to write."""
    from xtune.data.templates.system_texts import SYSTEM_TEXTS

    return (system or SYSTEM_TEXTS["moss_sft"]).partition("Capabilities and tools")[0].rstrip()


def _system_text(name: str) -> str:
    from xtune.data.templates.system_texts import SYSTEM_TEXTS
    from xtune.errors import UsageError, did_you_mean

    if name not in SYSTEM_TEXTS:
        raise UsageError(
            f"there is no system text {name!r}{did_you_mean(name, SYSTEM_TEXTS) or ';'} there are: "
            f"{', '.join(SYSTEM_TEXTS)}. Your own: --system TEXT"
        )
    return SYSTEM_TEXTS[name]
