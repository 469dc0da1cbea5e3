"""DeepSpeed's JSON: found by name, 'auto' filled in, compared with the sheet.

{"zero_optimization": {"stage": 2}, "gradient_clipping": "auto", ...}.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from xtune.config.find import config_root
from xtune.errors import ConfigError, did_you_mean

__all__ = ["contradictions", "engine_names", "read_engine_settings"]

# What the runner counts, clips and steps itself; DeepSpeed wants to be told, and is not asked.
_RUNNERS = {
    "train_micro_batch_size_per_gpu": 1,
    "gradient_accumulation_steps": 1,
    "gradient_clipping": 0.0,
    "steps_per_print": 2**31,
    "zero_allow_untested_optimizer": True,
    "zero_force_ds_cpu_optimizer": False,
}


def engine_names() -> dict[str, Path]:
    """Return the files in configs/deepspeed/ by name."""
    return {file.stem: file for file in sorted((config_root() / "deepspeed").glob("*.json"))}


def read_engine_settings(config: str | Mapping[str, Any]) -> dict[str, Any]:
    """Return what DeepSpeed's engine is to be given; every 'auto' is filled in or left out.

    Args:
        config: a name of `engine_names`, the path of a JSON file, or its contents.

    Raises:
        ConfigError: no such file, or no JSON object in it.
    """
    given = _given(config)
    settings = _without_auto(given)
    settings.pop("train_batch_size", None)  # the product of others
    return settings | _RUNNERS


def contradictions(values: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    """Yield (key of the sheet, what is wrong, what to do) where the JSON says otherwise.

    Args:
        values: a sheet's.
    """
    strategy = values.get("strategy")
    if not isinstance(strategy, Mapping) or strategy.get("type") != "DeepSpeedStrategy":
        return
    try:
        given = _given(strategy.get("config", ""))
    except ConfigError as error:
        yield "strategy.config", str(error), ""
        return
    if "optimizer" in given or "scheduler" in given:
        named = "optimizer" if "optimizer" in given else "scheduler"
        yield (
            "strategy.config",
            f"the JSON has its own {named!r}, and so has the config",
            f"take {named!r} out of the JSON; the config's is used",
        )
    for key, own in (
        ("train_micro_batch_size_per_gpu", "train_dataloader.batch_size"),
        ("gradient_accumulation_steps", "train_cfg.accumulative_counts"),
        ("gradient_clipping", "clip_grad.max_norm"),
    ):
        section, name = own.split(".")
        value = (values.get(section) or {}).get(name)
        if given.get(key, "auto") not in ("auto", value):
            yield (
                own,
                f"{key!r} of DeepSpeed's JSON is {given[key]!r}",
                f'write "{key}": "auto" in the JSON, or make them equal',
            )
    precision = strategy.get("precision", "auto")
    for kind in ("fp16", "bf16"):
        enabled = (given.get(kind) or {}).get("enabled", "auto")
        if enabled != "auto" and bool(enabled) != (precision == kind):
            yield (
                "strategy.precision",
                f"{kind}.enabled of DeepSpeed's JSON is {enabled!r}",
                f'write "enabled": "auto" in the JSON, or strategy.precision={kind}',
            )


def _given(config: str | Mapping[str, Any]) -> dict[str, Any]:
    if isinstance(config, Mapping):
        return dict(config)
    names = engine_names()
    file = names.get(config) or names.get(f"deepspeed_{config}") or Path(config).expanduser()
    if not file.is_file():
        raise ConfigError(
            f"no DeepSpeed config {config!r}{did_you_mean(config, names)} "
            f"Give the path of a JSON file, or one of: {', '.join(names)}"
        )
    try:
        settings = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ConfigError(f"{file} is no JSON: {error}") from error
    if not isinstance(settings, dict):
        raise ConfigError(f"{file} holds no JSON object, but a {type(settings).__name__}")
    return settings


def _without_auto(node: Any) -> Any:
    """DeepSpeed has a default for whatever is left out, 'auto' is transformers' word."""
    if isinstance(node, Mapping):
        return {key: _without_auto(value) for key, value in node.items() if value != "auto"}
    return node
