"""What an algorithm learns from and trains, held against a sheet's data sets, model and hooks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from xtune import registry
from xtune.config.declared import class_attribute, declared_names
from xtune.errors import did_you_mean

__all__ = ["contradictions"]


def contradictions(values: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    """Yield what does not go with the algorithm: key, what is wrong, what to do.

    Args:
        values: the sheet's. What a type does not say of itself is not judged.
    """
    model = values.get("model")
    if not isinstance(model, Mapping):
        return
    algorithm = model.get("type")
    yield from _of_head(values, model)
    learns_from = class_attribute(registry.MODELS, algorithm, "learns_from")
    if learns_from is None:
        return
    name = algorithm if isinstance(algorithm, str) else getattr(algorithm, "__name__", algorithm)
    for key, makes in _makes(values):
        if makes == learns_from:
            continue
        known = sorted(_made_by_data_sets() | {makes})
        if learns_from not in known:
            near = did_you_mean(str(learns_from), known).removeprefix("; ")
            yield (
                "model.type",
                f"{name}.learns_from is {learns_from!r}, which no data set makes",
                near or f"it is one of: {', '.join(known)}",
            )
            return
        yield (
            f"{key}.type",
            f"makes {makes} of rows, and model.type={name!r} learns from {learns_from}",
            f"name an algorithm that learns from {makes}, or a data set that makes {learns_from}",
        )


_HEADS = {"CausalLM": False, "SequenceClassifier": True}  # whether it scores


def _of_head(values: Mapping[str, Any], model: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    """A model that writes where one is to score, or the other way round; who asks it for words."""
    algorithm, llm = model.get("type"), model.get("llm")
    scores = bool(class_attribute(registry.MODELS, algorithm, "trains_scores"))
    kind = llm.get("type") if isinstance(llm, Mapping) else None
    if isinstance(kind, str) and _HEADS.get(kind, scores) != scores:
        wanted = next(name for name, one in _HEADS.items() if one == scores)
        yield (
            "model.llm.type",
            f"is {kind!r}, and {algorithm} trains a model that {'scores' if scores else 'writes'}",
            f"set it to {wanted!r}, as the part _base_/models/"
            f"{'sequence_classifier' if scores else 'causal_lm'} does",
        )
    if not scores:
        return
    if values.get("evaluations"):
        yield (
            "evaluations",
            "ask a reward model for words, and it has none",
            "leave them out; val_data_path gives accuracy on held-out pairs, xtune score the rest",
        )
    for number, hook in enumerate(values.get("custom_hooks") or ()):
        if isinstance(hook, Mapping) and hook.get("evaluation_inputs"):
            yield (
                f"custom_hooks.{number}.evaluation_inputs",
                "asks a reward model for answers, and it writes none",
                "leave evaluation_inputs=[]; val_data_path gives accuracy on held-out pairs",
            )


def _makes(values: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """The data sets of a sheet that say what they make, by their key."""
    for key in ("train_dataset", "val_dataset"):
        data = values.get(key)
        if not isinstance(data, Mapping) or data.get("type") is None:
            continue
        if key == "val_dataset" and data.get("data_path") is None:
            continue
        makes = class_attribute(registry.DATASETS, data["type"], "makes")
        if isinstance(makes, str):
            yield key, makes


def _made_by_data_sets() -> set[str]:
    kinds = declared_names(registry.DATASETS)
    made = (class_attribute(registry.DATASETS, kind, "makes") for kind in kinds)
    return {one for one in made if isinstance(one, str)}
