"""`StartAdapter`: a frozen copy of the adapter that a training begins with, on the same model.

A policy that goes on from an adapter is held against what it began as, which is not the model
without it. The copy is a second adapter of the same PEFT model, under the name 'reference': it is
in no checkpoint, in no export and in no merge, which take the trained one by its name.
"""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from xtune.errors import AdapterError
from xtune.models.adapters import quiet_peft
from xtune.models.fp32_weights import train_in_fp32
from xtune.models.generation import base_of
from xtune.models.tied import share_trained

__all__ = ["StartAdapter"]

_NAME = "reference"


class StartAdapter:
    """A frozen copy of a PEFT model's adapter as it is now.

    Args:
        llm: a PeftModel with one adapter; it gets a second one, and the first stays active.
    """

    def __init__(self, llm: Any) -> None:
        self._llm = llm
        self._trained: str = llm.active_adapter
        config = copy.deepcopy(llm.peft_config[self._trained])
        config.inference_mode = True
        if hasattr(config, "init_lora_weights"):
            config.init_lora_weights = (
                True  # others, such as PiSSA, would change the base once more
            )
        required = {name: p.requires_grad for name, p in llm.named_parameters()}
        with quiet_peft():
            llm.add_adapter(_NAME, config, low_cpu_mem_usage=llm.device.type == "meta")
        for name, parameter in llm.named_parameters():
            parameter.requires_grad_(name not in required)
        train_in_fp32(llm)  # what is trained is in fp32, and so is its copy
        for name, parameter in llm.named_parameters():
            parameter.requires_grad_(required.get(name, False))
        self._fill(llm.state_dict())
        share_trained(base_of(llm))

    def load(self, folder: str | Path, sha256: str | None) -> None:
        """Take the weights of the adapter that a resumed run began with.

        Args:
            folder: as `load_adapter` takes it.
            sha256: of its weights' file when the run began; None: nobody has noted it.

        Raises:
            AdapterError: another adapter is there now, or none.
        """
        from peft import set_peft_model_state_dict
        from safetensors.torch import load

        file = Path(folder) / "adapter_model.safetensors"
        data = file.read_bytes() if file.is_file() else b""
        found = hashlib.sha256(data).hexdigest() if data else "nothing"
        if not data or sha256 not in (None, found):
            raise AdapterError(
                f"the adapter that this run began with is its reference, and {str(file)!r} has "
                f"another now: sha256 {found}, then {sha256}. Put that one back, or start in "
                "another --work-dir"
            )
        set_peft_model_state_dict(self._llm, load(data), adapter_name=_NAME)
        share_trained(base_of(self._llm))

    @contextmanager
    def active(self) -> Iterator[None]:
        """Let the model answer with the copy for the `with` block, in which nothing is trained."""
        required = [(p, p.requires_grad) for p in self._llm.parameters()]
        self._llm.set_adapter(_NAME, inference_mode=True)
        try:
            yield
        finally:
            self._llm.set_adapter(self._trained)
            for parameter, trained in required:  # PEFT lets all of an active adapter be trained
                parameter.requires_grad_(trained)

    def _fill(self, state: dict[str, Tensor]) -> None:
        """Copy what is of the trained adapter into what is of the copy."""
        with torch.no_grad():
            for name, value in state.items():
                words = name.split(".")
                if _NAME not in words or value.is_meta:
                    continue
                at = len(words) - 1 - words[::-1].index(_NAME)
                value.copy_(state[".".join([*words[:at], self._trained, *words[at + 1 :]])])
