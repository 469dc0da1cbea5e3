"""What is wrong with the adapter of a sheet's `model`, found on the model without weights."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from xtune.errors import AdapterError, ModelError
from xtune.models.adapter_names import Misnamed, misnamed
from xtune.models.adapters import attach_adapter, build_adapter
from xtune.models.loading import load_model
from xtune.models.sequence_classifier import load_classifier
from xtune.registry import MODELS, resolve

__all__ = ["misnamed_in"]


def misnamed_in(model_cfg: Mapping[str, Any]) -> list[Misnamed]:
    """Return what is wrong with the adapter of a sheet's `model`, on the model without weights.

    Names first; if they are all there, whatever PEFT says when it attaches the adapter.
    """
    settings = {**model_cfg["llm"], "device": "meta", "quantization": None}
    made_by = resolve(MODELS, settings.pop("type"))
    try:
        llm = (load_classifier if made_by is load_classifier else load_model)(**settings)
        config = build_adapter(llm, model_cfg["adapter"])
        if wrong := misnamed(config, llm):
            return wrong
        attach_adapter(llm, config)
    except AdapterError as error:
        return [Misnamed("", str(error))]
    except ModelError:  # the run will say so
        return []
    return []
