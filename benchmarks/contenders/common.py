"""What every contender shares: the task, one LoRA start, one form of result.

A task is a folder that `benchmarks/sft_cpu.py` writes: `task.json` (settings), `docs.npz` and
`gate.npz` (token ids and labels of the documents), `docs.jsonl` and `gate.jsonl` (the same as raw
rows), and the model's folder.
"""

from __future__ import annotations

import hashlib
import json
import resource
import sys
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
import torch

LINEARS = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]


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


def read_task() -> tuple[Path, dict]:
    """The task's folder and settings, from the command line: CONTENDER.py FOLDER RESULT."""
    folder = Path(sys.argv[1])
    task = json.loads((folder / "task.json").read_text())
    torch.set_num_threads(task["threads"])
    return folder, task


def write_result(gate: Run, speed: Run, trainable: int) -> None:
    result = {
        "gate": asdict(gate),
        "speed": asdict(speed),
        "trainable": trainable,
        "peak_memory_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }
    Path(sys.argv[2]).write_text(json.dumps(result))


def read_documents(path: Path) -> list[dict[str, list[int]]]:
    """[{input_ids, labels}], labels not shifted and -100 where not trained."""
    saved = np.load(path)
    bounds = list(zip(saved["offsets"][:-1], saved["offsets"][1:], strict=True))
    return [
        {"input_ids": saved["ids"][a:b].tolist(), "labels": saved["labels"][a:b].tolist()}
        for a, b in bounds
    ]


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
