"""XTuner's config names that there are not here, each with what to use in its place."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

__all__ = ["PAIRS", "PICTURES", "REWARDS", "answer_to_config"]

PAIRS = "algorithm = dict(type='PreferenceOptimization', loss=…), as in custom_dpo_lora"
REINFORCED = "reinforcement learning is not in xtune yet"
REWARDS = "algorithm = dict(type='RewardModel', loss=…), as in custom_reward_lora"
PICTURES = "models of pictures are not in xtune yet"

_METHOD = re.compile(r"(^|_)(full|qlora|lora)(_|$)")
_PREFERENCE = re.compile(r"(^|_)(dpo|orpo)(_|$)")
_REWARD = re.compile(r"(^|_)(reward|rm|internrm)(_|$)", re.I)
_REINFORCED = re.compile(r"(^|_)(ppo|grpo|polar)(_|$)", re.I)
_UNPAIRED = re.compile(r"(^|_)kto(_|$)", re.I)
_VISION = re.compile(r"(^|_)(llava|clip|vit|internvl\w*|vl|mllm)(_|$)", re.I)
_CUSTOM = re.compile(
    r"_(?P<what>custom_sft|custom_dataset|finetune_custom_dataset|custom_pretrain|json|"
    r"w_tokenized_dataset|w_internevo_dataset|w_untokenized_dataset)(_|$)"
)
_MODEL = re.compile(r"^pretrained_model_name_or_path = '(.+)'", re.M)


def answer_to_config(name: str, known: Mapping[str, Path]) -> str:
    """Return what to say to the name of a config that there is not, or ''.

    Args:
        name: as XTuner has it.
        known: the shipped configs.
    """
    stem = name.removesuffix(".py")
    if stem.startswith("deepspeed_zero"):
        return f"it is a setting of DeepSpeed's and goes with a config: --deepspeed {stem}"
    if _VISION.search(stem):
        return PICTURES
    if _REINFORCED.search(stem):
        return f"{REINFORCED}; DPO and its kin are: custom_dpo_lora"
    if _UNPAIRED.search(stem):
        return (
            "KTO is algorithm=dict(type='UnpairedPreferenceOptimization', …) with "
            "train_dataset.type='UnpairedPreferenceDataset', in a copy of custom_dpo_lora"
        )
    own = stem.startswith("custom_")
    if not own and (scored := _REWARD.search(stem)):
        model = _model_of(stem[: scored.start()], known)
        named = f" pretrained_model_name_or_path={model}" if model else ""
        return (
            f"reward models train with custom_reward_lora --cfg-options{named} data_path=YOUR_FILE"
        )
    if not own and (pairs := _PREFERENCE.search(stem)):
        loss = f' \'algorithm.loss={{"type": "{pairs[2]}"}}\'' if pairs[2] == "orpo" else ""
        model = _model_of(stem[: pairs.start()], known)
        named = f" pretrained_model_name_or_path={model}" if model else ""
        return (
            f"pairs of answers train with custom_dpo_lora --cfg-options{named} "
            f"data_path=YOUR_FILE{loss}"
        )
    if not (custom := _CUSTOM.search(stem)):
        return ""
    method = found[2] if (found := _METHOD.search(stem)) else "full"
    ours = "custom_pretrain_full" if custom["what"] == "custom_pretrain" else f"custom_sft_{method}"
    options = ["data_path=YOUR_FILE"]
    if model := _model_of(stem[: custom.start()], known):
        options.insert(0, f"pretrained_model_name_or_path={model}")
    if custom["what"] in ("w_tokenized_dataset", "w_internevo_dataset"):
        options.append("map_fn=tokenized")
    return f"your own data go into {ours} with --cfg-options {' '.join(options)}"


def _model_of(prefix: str, known: Mapping[str, Path]) -> str:
    """The model that a shipped config of the same model names."""
    model = _METHOD.split(prefix)[0].removesuffix("_")
    for other, path in known.items():
        if _METHOD.split(other)[0] == model:
            found = _MODEL.search(path.read_text(encoding="utf-8"))
            return found[1] if found else ""
    return ""
