"""xtune: fine-tune large language models from one Python-file config.

    run = xtune.train('smollm2_135m_lora_toolcall', data_path='my.json', max_steps=50)
    model = xtune.load(run)
    print(model.chat('Who are you?'))

Names are imported when they are first used: `import xtune` imports neither torch nor transformers.
"""

from __future__ import annotations

TYPE_CHECKING = False  # type checkers take it for True; importing `typing` would take time here
if TYPE_CHECKING:  # no module of this package looks at these; see tests/test_layers.py
    from typing import Any

    from xtune.cli.lookups import list_configs, list_formats, list_models, list_templates
    from xtune.config.rendering import render
    from xtune.config.sheet import Sheet
    from xtune.engine.results import Results, results
    from xtune.engine.start import train
    from xtune.errors import XtuneError
    from xtune.eval.evaluate import evaluate
    from xtune.generation.model import ChatModel
    from xtune.generation.pipeline import pipeline
    from xtune.generation.reply import Reply

    load = ChatModel.load

__version__ = "0.1.0"

__all__ = [
    "ChatModel",
    "Reply",
    "Results",
    "Sheet",
    "XtuneError",
    "evaluate",
    "list_configs",
    "list_formats",
    "list_models",
    "list_templates",
    "load",
    "pipeline",
    "render",
    "results",
    "train",
]

_HOMES = {
    "ChatModel": "xtune.generation.model",
    "Reply": "xtune.generation.reply",
    "Results": "xtune.engine.results",
    "Sheet": "xtune.config.sheet",
    "XtuneError": "xtune.errors",
    "evaluate": "xtune.eval.evaluate",
    "list_configs": "xtune.cli.lookups",
    "list_formats": "xtune.cli.lookups",
    "list_models": "xtune.cli.lookups",
    "list_templates": "xtune.cli.lookups",
    "pipeline": "xtune.generation.pipeline",
    "render": "xtune.config.rendering",
    "results": "xtune.engine.results",
    "train": "xtune.engine.start",
}


def __getattr__(name: str) -> Any:
    if name == "load":
        return __getattr__("ChatModel").load
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib  # here, so that Ctrl-C in the first moment meets a verb, which answers it

    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return ["__version__", *__all__]
