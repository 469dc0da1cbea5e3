"""What training steps take against what was said: python benchmarks/memory_calibration.py.

Each setting takes two optimizer steps on a model with random weights. On a CPU the peak is that of
every allocation that torch's profiler reports, on a GPU `torch.cuda.max_memory_allocated`; neither
is the process's resident size. The table goes to benchmarks/results/.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path[0] = str(ROOT)
import torch  # noqa: E402

from tests.allocations import measured_step  # noqa: E402
from tests.tiny import write_tiny_model  # noqa: E402
from xtune.models.precision import choose_precision  # noqa: E402
from xtune.planning.memory import estimate_memory  # noqa: E402

RESULT = ROOT / "benchmarks/results/2026-11-27_memory.md"
# width, layers, query and key heads; the MLP is twice as wide, the vocabulary 384
SHAPES: dict[str, dict[str, Any]] = {
    "Llama": {"family": "llama", "kv_heads": 8},
    "Llama, GQA": {"family": "llama", "kv_heads": 2},
    "Qwen2, biases": {"family": "qwen2", "kv_heads": 2},
}


@dataclass(frozen=True)
class Setting:
    """A row of the table."""

    shape: str
    method: str
    number: str
    documents: tuple[int, ...]
    checkpointing: bool = False
    chunk: int = 256
    micro_batches: int = 1
    optimizer: str = "AdamW"


GRID = [
    Setting("Llama", "full", "fp32", (1024,)),
    Setting("Llama", "full", "bf16", (1024,)),
    Setting("Llama, GQA", "full", "bf16", (1024,), checkpointing=True),
    Setting("Qwen2, biases", "full", "fp32", (512,), chunk=64, micro_batches=2),
    Setting("Qwen2, biases", "full", "bf16", (2048,), checkpointing=True, micro_batches=2),
    Setting("Llama", "full", "fp32", (512,), optimizer="torch.optim.SGD"),
    Setting("Llama", "lora", "fp32", (1024,)),
    Setting("Llama", "lora", "bf16", (1024,)),
    Setting("Llama, GQA", "lora", "bf16", (128,) * 8),
    Setting("Llama, GQA", "lora", "fp32", (2048,), checkpointing=True, chunk=1024),
    Setting("Qwen2, biases", "lora", "bf16", (2048,), chunk=64, micro_batches=2),
    Setting("Llama", "qlora", "fp32", (1024,)),
    Setting("Llama, GQA", "qlora", "bf16", (256,) * 4, micro_batches=2),
    Setting("Qwen2, biases", "qlora", "bf16", (2048,), checkpointing=True),
]


def measure(setting: Setting, folder: Path, device: str) -> tuple[int, int]:
    """Bytes said and measured."""
    llm: dict[str, Any] = {"type": "CausalLM", "pretrained_model_name_or_path": str(folder)}
    if setting.method == "qlora":
        llm["quantization"] = {"bits": 4}
    cfg: dict[str, Any] = {
        "type": "SupervisedFinetune",
        "llm": llm,
        "gradient_checkpointing": setting.checkpointing,
        "loss_chunk_size": setting.chunk,
    }
    if setting.method != "full":
        cfg["adapter"] = {"type": "LoraConfig", "r": 16}
    optimizer = {"type": setting.optimizer, "lr": 1e-4}
    estimate = estimate_memory(
        cfg,
        choose_precision("cpu", setting.number),
        list(setting.documents),
        optimizer_bytes=0 if setting.optimizer == "torch.optim.SGD" else None,
        accumulates=setting.micro_batches > 1,
        device=device,
    )
    measured = measured_step(
        cfg,
        setting.number,
        lengths=list(setting.documents),
        micro_batches=setting.micro_batches,
        optimizer=optimizer,
        device=device,
    )
    return estimate.total - estimate.components["runtime"], measured


def main() -> int:
    """Print the table and write it; 1 if a row is off by more than 10 %."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--width", type=int, default=0, help="0: 256, on a GPU 2048")
    parser.add_argument("--layers", type=int, default=6)
    args = parser.parse_args()
    width = args.width or (2048 if args.device == "cuda" else 256)
    rows, worst = [], 0.0
    with tempfile.TemporaryDirectory() as scratch:
        folders = {
            name: write_tiny_model(
                Path(scratch) / name, width=width, layers=args.layers, heads=8, **shape
            )
            for name, shape in SHAPES.items()
        }
        for setting in GRID:
            said, measured = measure(setting, folders[setting.shape], args.device)
            off = said / measured - 1
            worst = max(worst, abs(off))
            rows.append(_row(setting, said, measured, off))
            print(rows[-1], flush=True)
    text = _page(rows, worst, args.device, width, args.layers)
    RESULT.write_text(text, encoding="utf-8")
    print(f"at most {worst:.1%} off -> {RESULT}")
    return int(worst > 0.1)


def _row(setting: Setting, said: int, measured: int, off: float) -> str:
    documents = f"{len(setting.documents)} x {setting.documents[0]:,}"
    cells = [
        setting.shape,
        setting.method,
        setting.number,
        documents,
        "yes" if setting.checkpointing else "no",
        f"{setting.chunk}",
        f"{setting.micro_batches}",
        setting.optimizer.rpartition(".")[2],
        f"{said / 2**20:.1f}",
        f"{measured / 2**20:.1f}",
        f"{off:+.1%}",
    ]
    return f"| {' | '.join(cells)} |"


def _page(rows: list[str], worst: float, device: str, width: int, layers: int) -> str:
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"],
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=False,
    ).stdout.strip()
    what = torch.cuda.get_device_name() if device == "cuda" else "CPU, every allocation counted"
    columns = "shape|method|numbers|documents|checkpointing|chunk|micro-batches|optimizer"
    head = f"| {' | '.join(columns.split('|'))} | said, MiB | measured, MiB | off |"
    return "\n".join(
        [
            "# Memory: said and measured",
            "",
            f"`python benchmarks/memory_calibration.py`, {what}, torch {torch.__version__}, commit",
            f"{commit or 'unknown'}; {layers} layers of width {width}, LoRA r=16; the peak of the",
            f"second optimizer step, weights included, runtime not. At most {worst:.1%} off.",
            "",
            head,
            f"|{'---|' * 11}",
            *rows,
            "",
        ]
    )


if __name__ == "__main__":
    sys.exit(main())
