"""Whether a model's layers pass the arguments of their call on to their attention.

The boundaries of packed documents reach the attention through the `**kwargs` of each layer. Some
families' layers take them and never read them (StableLM, Nemotron): their documents are run apart.
"""

from __future__ import annotations

import dis
import inspect
from collections.abc import Callable
from typing import Any

from transformers import PreTrainedModel

__all__ = ["layers_that_keep_boundaries"]


def layers_that_keep_boundaries(llm: PreTrainedModel) -> list[str]:
    """Return the names of the classes of layers that hand nothing on, sorted; mostly none."""
    layers = set(getattr(llm, "_no_split_modules", None) or ())
    found = {type(module) for module in llm.modules() if type(module).__name__ in layers}
    return sorted(layer.__name__ for layer in found if not _reads_what_else_it_gets(layer.forward))


def _reads_what_else_it_gets(forward: Callable[..., Any]) -> bool:
    """Whether a function has a `**kwargs` and its code reads it."""
    code = inspect.unwrap(forward).__code__
    if not code.co_flags & inspect.CO_VARKEYWORDS:
        return False
    positional = code.co_argcount + code.co_kwonlyargcount
    name = code.co_varnames[positional + bool(code.co_flags & inspect.CO_VARARGS)]
    for step in dis.get_instructions(code):  # one may load two variables at once
        read = step.argval if isinstance(step.argval, tuple) else (step.argval,)
        if step.opname.startswith("LOAD_") and name in read:
            return True
    return False
