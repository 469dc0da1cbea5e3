"""The verbs, in the groups in which `xtune --help` shows them."""

from __future__ import annotations

__all__ = ["GROUPS", "VERBS", "help_text"]

GROUPS = {
    "Train, talk, measure": {
        "train": "train a config",
        "chat": "talk to a model, with an adapter or without",
        "serve": "serve a model and its adapters to programs that speak OpenAI's API",
        "batch": "answer a file of prompts; interrupted, go on where it was",
        "sample": "keep the best of many answers to each prompt, as data to train on",
        "eval": "measure a model by any task, before and after, and write a report",
        "compare": "compare two results of eval item by item: won, lost, or luck",
        "list-tasks": "list the tasks: what each measures, its files, shots, scoring",
        "score": "score answers with a reward model: accuracy, calibration, a page",
        "judge": "let a model judge files of answers: pairs in both orders, ratings, a page",
    },
    "Configs": {
        "list-cfg": "list the named configs with the memory that each needs",
        "copy-cfg": "copy a named config, flat, to edit it",
        "check": "check a config; every problem at once",
        "explain": "say which file and line set each value of a config",
        "diff-cfg": "compare two configs value by value",
        "estimate": "say what memory a config needs, whether it fits, and what makes it fit",
        "scaling": "say what a config needs and costs on more devices",
        "profile": "run a few steps under the profiler: where time and memory go",
    },
    "Data": {
        "check-dataset": "say what is wrong with a file of data, and how to fix it",
        "log-dataset": "show, token by token, what of the data is trained",
        "list-formats": "list the data formats: fields read, an example, what becomes of it",
        "list-templates": "list the chat templates: models, text form, what ends an answer",
    },
    "Models": {
        "export": "write a model for other programs: adapter merged, layout chosen, read back",
        "convert": "merge an adapter, or write a model from DeepSpeed's or torch's shards of it",
        "handover": "write what vLLM, SGLang, llama.cpp, Ollama … need to run a model, checked",
        "expand-vocab": "give a model more tokens, and write it ready to train",
        "tiny-model": "write a tiny random model, to try a config without its weights",
        "list-models": "list the model families: what is read, how, what is proven",
    },
    "Tools for models": {
        "list-tools": "list the tools that a model can be given: arguments, options",
        "tool-server": "serve tools to other programs, over HTTP or as an MCP server",
    },
}

VERBS = {verb: what for group in GROUPS.values() for verb, what in group.items()}


def help_text() -> str:
    """Return what `xtune --help` prints."""
    width = max(map(len, VERBS))
    lines = ["usage: xtune VERB ...", "", "Fine-tune large language models from one config file."]
    for title, verbs in GROUPS.items():
        lines += ["", title]
        lines += [f"  {verb:<{width}}  {what}" for verb, what in verbs.items()]
    lines += ["", "xtune VERB --help says more. From a checkout: python tools/VERB.py ..."]
    return "\n".join(lines)
