"""What the verbs of XTuner and of other tools are here: done, or answered with our command."""

from __future__ import annotations

import shlex
import sys
from difflib import get_close_matches
from pathlib import Path

from xtune.cli.verbs import VERBS

__all__ = ["answer_to_verb", "translated"]

_SAME = {  # another word for the same, with the same arguments
    "list-dataset-format": "list-formats",
    "check-custom-dataset": "check-dataset",
}
_VISION = (
    "is about pictures; xtune trains and measures models of text: `xtune eval MODEL --tasks mmlu`, "
    "`xtune list-tasks`"
)
_XTUNERS = {
    "test": "is `xtune eval CONFIG` here: it asks the model before and after, and writes a report",
    "preprocess": (
        "is not needed: `map_fn` reads the published rows as they are (`xtune list-formats`), and "
        "their tokens are cached; `xtune train internlm_7b_qlora_arxiv` shows arXiv's"
    ),
    "mmbench": _VISION,
    "eval-refcoco": _VISION,
}
_OTHERS = {
    "train": "sft finetune fine-tune finetune-lora finetune-full pretrain pt run fit lora qlora",
    "chat": "infer inference generate talk repl cli webchat webui web-ui app gradio demo predict",
    "eval": "evaluate evaluation benchmark bench measure",
    "judge": "llm-judge llm-as-a-judge pairwise elo arena mt-bench alpaca-eval gen-judgment",
    "handover": "opencompass hand-over vllm sglang lmdeploy ollama llamacpp llama-server",
    "export": "merge merge-lora merge-adapter save deploy serve api quantize quant to-hf pth-to-hf",
    "list-cfg": "ls list configs list-config list-configs list-recipes recipes",
    "copy-cfg": "cp copy init new create config copy-config",
    "check": "validate verify lint dry-run",
    "check-dataset": "check-data validate-data data dataset",
    "log-dataset": "show-data show-dataset tokenize visualize preview",
    "estimate": "memory mem vram fits",
    "explain": "why cat show print-cfg",
    "diff-cfg": "diff",
    "list-templates": "templates template list-template",
    "list-formats": "formats map-fns list-map-fns",
    "list-models": "models families",
    "list-tasks": "tasks list-benchmarks benchmarks list-evaluations list-datasets",
    "convert": "zero-to-fp32 zero-to-hf dcp-to-hf merge-sharded-fsdp-weights",
}
_NOT_HERE = {
    "dpo orpo simpo cpo": (
        "is a config's matter: `xtune train custom_dpo_lora`, or `xtune copy-cfg` it and edit it"
    ),
    "rm reward reward-modeling": (
        "is a config's matter: `xtune train custom_reward_lora`, or `xtune copy-cfg` it and edit "
        "it; `xtune score` says how good the result is"
    ),
    "rlhf ppo grpo kto": (
        "is not trained yet: xtune does supervised fine-tuning, of all weights, LoRA or QLoRA, "
        "pretraining, and DPO and its kin: `xtune list-cfg`"
    ),
    "eval-tools": (
        "is a task now: `xtune eval MODEL --tasks tool_calls --data DATA`; its options are "
        "--task-options tool_calls.format=…, .answers=…, .tools=…, .batch_size=…, .max_new_tokens=…"
    ),
    "download fetch": "is not needed: `xtune train` fetches what a config names",
}


def translated(words: list[str]) -> list[str]:
    """Return the command line with another tool's verb as ours, if that is all the difference."""
    verb = _plain(words[0])
    if verb not in _SAME:
        return words
    print(f"xtune: XTuner's {words[0]} is `xtune {_SAME[verb]}`", file=sys.stderr)
    return [_SAME[verb], *words[1:]]


def answer_to_verb(words: list[str]) -> str:
    """Return what to say to a verb that is none of ours.

    >>> answer_to_verb(['mreg'])
    "unknown verb 'mreg'; near it: export. All verbs: xtune --help"
    >>> answer_to_verb(['train.py'])
    "unknown verb 'train.py'; near it: train. All verbs: xtune --help"
    """
    given, verb = words[0], _plain(words[0])
    if verb in _XTUNERS:
        return f"XTuner's {given} {_XTUNERS[verb]}"
    for names, what in _NOT_HERE.items():
        if verb in names.split():
            return f"{given} {what}"
    for ours, names in _OTHERS.items():
        if verb in names.split():
            return f"unknown verb {given!r}; here it is `xtune {ours}`: {VERBS[ours]}"
    if config := _config(given):
        rest = "".join(f" {shlex.quote(word)}" for word in words[1:])
        return f"{given!r} is {config}, and the verb is missing: xtune train {given}{rest}"
    near = _near(verb)
    return f"unknown verb {given!r}{near and '; near it: '}{near}. All verbs: xtune --help"


def _near(verb: str) -> str:
    homes = {name: ours for ours, names in _OTHERS.items() for name in names.split()}
    homes |= _SAME | {ours: ours for ours in VERBS}
    like = get_close_matches(verb, homes, n=3, cutoff=0.6)
    parts = {part for part in verb.replace(".", "-").split("-") if len(part) > 2}
    found = [homes[name] for name in like] + [v for v in VERBS if parts & set(v.split("-"))]
    return ", ".join(list(dict.fromkeys(found))[:4])


def _config(given: str) -> str:
    from xtune.config.find import list_configs, xtuners_name

    if given.endswith(".py") and Path(given).is_file():
        return "a file"
    return "a config" if given in list_configs() or xtuners_name(given) else ""


def _plain(word: str) -> str:
    return word.lower().replace("_", "-")
