"""What every contender shares: the task, one model, one LoRA start, one form of result.

A task is a folder that `benchmarks/sft_cpu.py` writes: `task.json` (settings), `docs.npz` and
`gate.npz` (token ids and labels of the documents), `docs.jsonl` and `gate.jsonl` (the same as raw
rows), and the model's folder. A contender is run as

    CONTENDER.py FOLDER gate|speed FORM RESULT [words of its own]

`gate` trains `gate_steps` times on the one batch of gate.npz, `speed` once over docs.npz. A form
says in which numbers:

    fp32       all of it
    autocast   fp32 weights, products in bf16 under torch.autocast
    bf16       frozen weights in bf16, what is trained in fp32, products in bf16
"""

from __future__ import annotations

import hashlib
import json
import sys
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

LINEARS = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]


class Task(NamedTuple):
    """What a contender is to do; see the head of this file."""

    folder: Path
    settings: dict
    part: str
    form: str
    words: list[str]

    @property
    def documents(self) -> list[dict[str, list[int]]]:
        """[{input_ids, labels}], labels not shifted and -100 where not trained."""
        saved = np.load(self.folder / ("gate.npz" if self.part == "gate" else "docs.npz"))
        bounds = list(zip(saved["offsets"][:-1], saved["offsets"][1:], strict=True))
        return [
            {"input_ids": saved["ids"][a:b].tolist(), "labels": saved["labels"][a:b].tolist()}
            for a, b in bounds
        ]

    @property
    def steps(self) -> int | None:
        """How often to train on the documents as one batch; None: once over them."""
        return self.settings["gate_steps"] if self.part == "gate" else None

    @property
    def autocast(self) -> bool:
        """Whether products are in bf16."""
        return self.form != "fp32"

    @property
    def weights(self) -> torch.dtype:
        """The numbers that frozen weights are held in."""
        return torch.bfloat16 if self.form == "bf16" else torch.float32

    @property
    def method(self) -> str:
        """'lora', 'qlora' or 'full'."""
        return self.settings["method"]


@dataclass
class Run:
    """What one training run did, step by step.

    Attributes:
        losses: mean loss over the trained tokens of each step.
        tokens: tokens of each step, padding not counted.
        trained: tokens with a label, of each step.
        seconds: wall-clock time of each step.
        documents: digest of each document trained on: the same multiset for every contender.
    """

    losses: list[float] = field(default_factory=list)
    tokens: list[int] = field(default_factory=list)
    trained: list[int] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    documents: list[str] = field(default_factory=list)


def read_task() -> Task:
    """Return the task that the command line names."""
    folder, part, form = Path(sys.argv[1]), sys.argv[2], sys.argv[3]
    settings = json.loads((folder / "task.json").read_text())
    torch.set_num_threads(settings["threads"])
    return Task(folder, settings, part, form, sys.argv[5:])


def write_result(run: Run, trainable: int) -> None:
    """Write what the harness reads."""
    Path(sys.argv[4]).write_text(json.dumps(asdict(run) | {"trainable": trainable}))


def quantization(task: Task):
    """NF4 with double quantization, as transformers takes it; None without QLoRA."""
    from transformers import BitsAndBytesConfig

    if task.method != "qlora":
        return None
    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=torch.bfloat16 if task.autocast else torch.float32,
    )


def digest(ids: list[int], labels: list[int]) -> str:
    """A document's name. The first token has no label: nothing comes before it."""
    labels = [-100, *labels[1:]]
    return hashlib.sha256(np.array([ids, labels], dtype=np.int64).tobytes()).hexdigest()[:16]


@torch.no_grad()
def start_lora(model: torch.nn.Module) -> int:
    """Fill every LoRA A with values that depend on its name alone; return the trainable count.

    Contenders name their parameters with different prefixes, so the name counts from `layers`.
    """
    for name, parameter in model.named_parameters():
        if "lora_A" in name:
            key = name[name.index("layers") :].encode()
            seed = int.from_bytes(hashlib.sha256(key).digest()[:4], "big")
            values = torch.randn(parameter.shape, generator=torch.Generator().manual_seed(seed))
            parameter.copy_(values / parameter.shape[1] ** 0.5)
        elif "lora_B" in name:
            parameter.zero_()
    return sum(p.numel() for p in model.parameters() if p.requires_grad)
