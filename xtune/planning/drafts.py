"""`Drafts`: models without weights and the passes that they take, for estimates that share them.

A run on more devices, or with another optimizer, has the same model, and mostly the same pass.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from xtune.models.algorithms.base import Algorithm
from xtune.models.build import build_model
from xtune.planning.tracing import Pass, trace_pass

__all__ = ["Drafts"]

_KEPT = 2  # models; each is as many modules as a model with weights


class Drafts:
    """Builds what is asked for, once."""

    def __init__(self) -> None:
        self._models: dict[str, Algorithm] = {}
        self._passes: dict[str, Pass] = {}

    def model(self, settings: Mapping[str, Any], **given: Any) -> Algorithm:
        """Return what `build_model` builds of `settings` on 'meta'; it is not to be changed.

        Args:
            settings: the sheet's `model` dict.
            given: further arguments of `build_model`.
        """
        key = repr((settings, given))
        model = self._models.pop(key, None) or build_model(settings, device="meta", **given)
        self._models[key] = model
        for oldest in list(self._models)[:-_KEPT]:
            del self._models[oldest]
        return model

    def trace(
        self, model: Algorithm, settings: Mapping[str, Any], *given: Any, **asked: Any
    ) -> Pass:
        """Return what `trace_pass` returns.

        Args:
            model: what `model` has returned for `settings`.
            settings: the sheet's `model` dict.
            given: further arguments of `trace_pass`.
            asked: the same, by name.

        Raises:
            ModelError: what the model does depends on values.
        """
        key = repr((settings, given, asked))
        if key not in self._passes:
            self._passes[key] = trace_pass(model, *given, **asked)
        return self._passes[key]
