"""A LoRA adapter that every reader multiplies alike: rsLoRA's scale in alpha, defaults left out.

    lora_alpha 32, r 16, use_rslora true    ->    lora_alpha 128, use_rslora false

Both are a factor of 8. SGLang reads the first as 2 without an error, and so did vLLM and others.
Older PEFT, as LMDeploy has it, refuses names of settings that it does not know, so that those at
their default are left out.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import fields as fields_of
from pathlib import Path
from typing import Any

__all__ = ["portable_fields", "write_portable_adapter"]

_ALWAYS = ("peft_type", "task_type", "base_model_name_or_path", "r", "lora_alpha", "target_modules")


def portable_fields(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return adapter_config.json as every reader takes it.

    >>> made = portable_fields({"r": 16, "lora_alpha": 32, "use_rslora": True, "bias": "none"})
    >>> made["r"], made["lora_alpha"], made["use_rslora"], "bias" in made
    (16, 128, False, False)

    Args:
        fields: of a LoRA adapter.
    """
    from peft import LoraConfig

    made = dict(fields)
    if made.get("use_rslora"):
        ranks = made.get("rank_pattern") or {}
        alphas = dict(made.get("alpha_pattern") or {})
        for name in ranks.keys() | alphas.keys():
            rank = ranks.get(name, made["r"])
            alphas[name] = _whole(alphas.get(name, made["lora_alpha"]) * rank**0.5)
        made["alpha_pattern"] = alphas
        made["lora_alpha"] = _whole(made["lora_alpha"] * made["r"] ** 0.5)
    made["use_rslora"] = False
    default = {one.name: getattr(LoraConfig(), one.name) for one in fields_of(LoraConfig)}
    return {
        name: value
        for name, value in made.items()
        if name in (*_ALWAYS, "use_rslora") or (name in default and value != default[name])
    }


def write_portable_adapter(folder: Path, adapter: Path) -> None:
    """Copy an adapter's weights, and its settings as every reader takes them.

    Args:
        folder: created.
        adapter: PEFT's folder of a LoRA.
    """
    folder.mkdir(parents=True)
    shutil.copyfile(adapter / "adapter_model.safetensors", folder / "adapter_model.safetensors")
    fields = json.loads((adapter / "adapter_config.json").read_text(encoding="utf-8"))
    text = json.dumps(portable_fields(fields), indent=2, ensure_ascii=False)
    (folder / "adapter_config.json").write_text(text + "\n", encoding="utf-8")


def _whole(number: float) -> float | int:
    return int(number) if float(number).is_integer() else number
