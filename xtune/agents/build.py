"""Make the agent that a command line asks for."""

from __future__ import annotations

import re
from typing import Literal

from xtune.agents.autogpt import AutoGPT
from xtune.agents.base import Agent, AgentModel, Tools
from xtune.agents.calling import Approve
from xtune.agents.forms import Form, NativeForm
from xtune.agents.moss_form import MossForm
from xtune.agents.msagent_form import MSAgentForm
from xtune.agents.react import ReAct
from xtune.agents.react_text import ReActForm
from xtune.agents.rewoo import ReWOO

__all__ = ["TRAINED_FORMS", "build_agent", "language_of"]

# Map_fns whose models write calls in text, whatever their template has a place for
TRAINED_FORMS = ("msagent", "msagent_react")


def build_agent(
    kind: str,
    model: AgentModel,
    tools: Tools,
    *,
    max_turns: int,
    approve: Approve,
    language: Literal["en", "zh"] = "en",
    plugins: tuple[str, ...] = (),
    trained_on: str = "",
) -> Agent:
    """Make an agent.

    Args:
        kind: 'react', 'rewoo' or 'autogpt'.
        model: who thinks.
        tools: its tool box.
        max_turns: turns of the model at most; ReWOO has two, whatever this says.
        approve: asked before each call.
        language: of ReAct's text.
        plugins: MOSS's, instead of native calls or ReAct's text.
        trained_on: the map_fn of the model's training data, where that is known; one of
            `TRAINED_FORMS` says the form of calls.
    """
    if kind == "rewoo":
        return ReWOO(model, tools, approve=approve)
    if kind == "autogpt":
        return AutoGPT(model, tools, max_turns=max_turns, approve=approve)
    form: Form
    if plugins:
        form = MossForm(plugins)
    elif trained_on == "msagent":
        form = MSAgentForm(tools)
    elif trained_on == "msagent_react":
        form = ReActForm(tools, language="zh", takes_role=model.takes_role)
    elif model.native:
        form = NativeForm(tools)
    else:
        form = ReActForm(tools, language=language, takes_role=model.takes_role)
    return ReAct(model, tools, form, max_turns=max_turns, approve=approve)


def language_of(*texts: str | None) -> Literal["en", "zh"]:
    """Return 'zh' if one of the texts has Chinese in it.

    >>> language_of("Be brief.", None), language_of("你好")
    ('en', 'zh')
    """
    return "zh" if any(re.search(r"[\u4e00-\u9fff]", text or "") for text in texts) else "en"
