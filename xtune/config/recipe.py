"""`Recipe`: what a valid sheet says of a run, read once, so that nobody looks into its dicts again.

Plans, estimates, hooks and commands ask it. What is built from a section of the sheet (the model,
the data, the optimizer …) is built from that section.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from xtune.errors import ModelError

__all__ = ["Recipe", "recipe_of"]


@dataclass(frozen=True, slots=True)
class Recipe:
    """The facts of a run that more than one room asks for.

    Attributes:
        base_model: as `load_model` takes it; None for a loader of the user's own without a name.
        trust_remote_code: run the checkpoint's own Python code.
        dtype: of its weights, or 'auto'.
        quantization: of its weights, or None.
        adapter: the settings of a new adapter, or None.
        adapter_folder: an adapter that is trained further, or None.
        checkpointing: `gradient_checkpointing`, which may be 'auto'.
        tokenizer: as `load_tokenizer` takes it.
        max_length: tokens of an item of the training data; None where its class has no such thing.
        longest: the same of training and validation data.
        rows: items of a micro-batch, on each device.
        micro_batches: of an optimizer step, on each device.
        sharing: processes that share each row of tokens.
        optimizer: its type.
        strategy: its type.
        precision: that the strategy is asked for.
        seed: the one of data order, adapter weights and dropout.
        system: the system text that dialogues begin with; '' for none.
        tools: what chat's --lagent gives the model, by name with the options of each; may be empty.
    """

    base_model: str | None
    trust_remote_code: bool
    dtype: str
    quantization: Mapping[str, Any] | None
    adapter: Mapping[str, Any] | None
    adapter_folder: str | None
    checkpointing: bool | int | str
    tokenizer: str
    max_length: int | None
    longest: int | None
    rows: int
    micro_batches: int
    sharing: int
    optimizer: Any
    strategy: Any
    precision: str
    seed: int
    system: str
    tools: Mapping[str, Any]

    @property
    def trains_adapter(self) -> bool:
        """Whether an adapter is trained, new or further, and not every weight."""
        return self.adapter is not None or self.adapter_folder is not None

    @property
    def full_item(self) -> int:
        """Tokens of the longest item of the training data.

        Raises:
            ModelError: its class has no `max_length`, so that nobody knows.
        """
        if self.max_length is None:
            raise ModelError("train_dataset has no max_length: how long its items are is not known")
        return self.max_length


def recipe_of(values: Mapping[str, Any]) -> Recipe:
    """Read a recipe from the values of a sheet that `require_valid` has passed.

    >>> from xtune.config import render
    >>> recipe = recipe_of(render('custom_sft_qlora').values)
    >>> recipe.base_model, recipe.max_length, recipe.trains_adapter, recipe.quantization['bits']
    ('smollm2', 2048, True, 4)
    """
    model, train = values["model"], values["train_dataset"]
    llm = model.get("llm") or {}
    name = llm.get("pretrained_model_name_or_path")
    validation = values.get("val_dataset") or {}
    read = [train, validation] if validation.get("data_path") is not None else [train]
    lengths = [section["max_length"] for section in read if "max_length" in section]
    parallel, strategy = values.get("parallel") or {}, values["strategy"]
    loop = values["train_cfg"]
    return Recipe(
        base_model=name if isinstance(name, str) else None,
        trust_remote_code=llm.get("trust_remote_code", False),
        dtype=llm.get("dtype", "auto"),
        quantization=llm.get("quantization") or None,
        adapter=model.get("adapter") or None,
        adapter_folder=model.get("adapter_folder"),
        checkpointing=model.get("gradient_checkpointing", False),
        tokenizer=values["tokenizer"]["pretrained_model_name_or_path"],
        max_length=train.get("max_length"),
        longest=max(lengths, default=None),
        rows=values["train_dataloader"]["batch_size"],
        # A rollout's answers are as many micro-batches as their lengths make: a prompt's, or more
        micro_batches=loop.get("accumulative_counts", loop.get("prompts", 1)),
        sharing=parallel.get("sequence_parallel_size", 1),
        optimizer=values["optimizer"]["type"],
        strategy=strategy["type"],
        precision=strategy.get("precision", "auto"),
        seed=values["randomness"]["seed"],
        system=values.get("SYSTEM") or "",
        tools=values.get("agent_tools") or {},
    )
