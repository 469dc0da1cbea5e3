"""XTuner's config names that there are not here, each with what to use in its place."""

from __future__ import annotations

import re
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path

__all__ = ["PAIRS", "PICTURES", "REWARDS", "answer_to_config"]

PAIRS = "algorithm = dict(type='PreferenceOptimization', loss=…), as in custom_dpo_lora"
REINFORCED = "reinforcement learning is not in xtune yet"
REWARDS = "algorithm = dict(type='RewardModel', loss=…), as in custom_reward_lora"
PICTURES = "models of pictures are not in xtune yet"

_METHOD = re.compile(r"(^|_)(full|qlora|lora)(_|$)")
_REINFORCED = re.compile(r"(^|_)(ppo|grpo|polar)(_|$)", re.I)
# What trains on answers of one's own that were compared; {} is the model
_OWN_ANSWERS = {
    re.compile(r"(^|_)kto(_|$)", re.I): "answers that are good or bad train with custom_kto_lora "
    "--cfg-options{} data_path=YOUR_FILE map_fn=auto",
    re.compile(r"(^|_)(reward|rm|internrm)(_|$)", re.I): "reward models train with "
    "custom_reward_lora --cfg-options{} data_path=YOUR_FILE",
    re.compile(r"(^|_)orpo(_|$)"): "pairs of answers train with custom_dpo_lora --cfg-options{} "
    'data_path=YOUR_FILE \'algorithm.loss={{"type": "orpo"}}\'',
    re.compile(r"(^|_)dpo(_|$)"): "pairs of answers train with custom_dpo_lora --cfg-options{} "
    "data_path=YOUR_FILE",
}
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
    if get_close_matches(stem, known, n=1, cutoff=0.95):
        return ""  # a misspelling: `find_config` names what is near
    if stem.startswith("deepspeed_zero"):
        return f"it is a setting of DeepSpeed's and goes with a config: --deepspeed {stem}"
    if _VISION.search(stem):
        return PICTURES
    if _REINFORCED.search(stem):
        return f"{REINFORCED}; DPO and its kin are: custom_dpo_lora"
    for pattern, answer in _OWN_ANSWERS.items():
        found = pattern.search(stem)
        if found and not stem.startswith("custom_"):
            model = _model_of(stem[: found.start()], known)
            named = f" pretrained_model_name_or_path={model}" if model else ""
            return answer.format(named)
    if not (custom := _CUSTOM.search(stem)):
        return ""
    method = said[2] if (said := _METHOD.search(stem)) else "full"
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
    exact = [path for other, path in known.items() if _METHOD.split(other)[0] == model]
    like = [path for other, path in known.items() if model and other.startswith(f"{model}_")]
    for path in (exact + like)[:1]:
        found = _MODEL.search(path.read_text(encoding="utf-8"))
        return found[1] if found else ""
    return ""
