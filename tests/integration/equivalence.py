"""One training under every strategy; the table of how far each is from one process.

    python -m tests.integration.equivalence        print the table (make equivalence)

A new strategy adds a row to ROWS. The rows of one number of processes share a launch, since most
of a short run's time is spent on imports.
"""

from __future__ import annotations

import logging
import os
import sys
import tempfile
import time
import traceback
from collections.abc import Iterable
from contextlib import redirect_stdout
from dataclasses import dataclass
from pathlib import Path

from tests.forked import run_ranks
from tests.models.judged import judged_options
from tests.models.toy import toy_option
from tests.runs import Inputs, metrics, options, write_inputs

__all__ = [
    "METHODS",
    "ROWS",
    "STEPS",
    "Row",
    "differences",
    "folder_of",
    "half_way",
    "run_alone",
    "run_rows",
    "train_alone",
]

METHODS = {
    "full": "custom_sft_full",
    "lora": "custom_sft_lora",
    "qlora": "custom_sft_qlora",
    "pairs": "custom_sft_full",
    "pairs lora": "custom_sft_lora",
    "dpo lora": "custom_dpo_lora",
    "dpo goes on": "custom_dpo_lora",  # from the adapter of `lora`
    "dpo precomputed": "custom_dpo_lora",
    "kto lora": "custom_dpo_lora",
    "reward": "custom_reward_lora",
    "reward lora": "custom_reward_lora",
}
STEPS = 8  # of the tests; what goes wrong does so from the first
_TABLE_STEPS = 20
_MICRO_BATCHES = 4  # of a step, over all processes
# lr=1e-2, as elsewhere, makes the smallest difference of sums grow a hundredfold in 20 steps
_COLUMNS = (
    *("step", "loss", "grad_norm", "val_loss", "tokens", "trained_tokens", "lr"),
    *("accuracy", "margin", "logp_chosen", "logp_rejected", "reward_desirable", "z"),
    *("score_std", "val_reward_margin"),
)
_COMMON = ["lora.lora_dropout=0.0", "lr=3e-4"]


@dataclass(frozen=True)
class Row:
    """A strategy on so many processes, and the methods that it trains.

    Attributes:
        sharing: how many processes share each row of tokens.
        resumes: the row, as 'NAME-PROCESSES' or 'alone', whose half-way checkpoint it goes on from.
    """

    name: str
    processes: int
    strategy: dict
    methods: tuple[str, ...] = ("full", "lora")
    further: tuple[str, ...] = ()
    sharing: int = 1
    resumes: str = ""


def _zero(kind: str) -> dict:
    return {"type": "DeepSpeedStrategy", "config": f"deepspeed_zero{kind}"}


_ALL = ("full", "lora", "qlora")
_PAIRS = ("pairs", "pairs lora")  # of tests/models/toy.py
_DPO = ("dpo lora", "dpo goes on", "dpo precomputed", "kto lora")
_REWARD = ("reward", "reward lora")
ROWS = [
    Row("ddp", 2, {"type": "DDPStrategy"}, (*_ALL, *_PAIRS, "dpo lora", "reward lora")),
    Row("zero1", 2, _zero("1")),
    Row("zero2", 2, _zero("2"), (*_ALL, *_PAIRS, "reward")),
    Row("zero3", 2, _zero("3"), ("full", "lora", *_PAIRS, "dpo lora", "reward lora")),
    Row("zero2_offload", 2, _zero("2_offload"), ("full",)),
    Row("zero3_offload", 2, _zero("3_offload"), ("full",)),
    Row("fsdp", 2, {"type": "FSDPStrategy"}, (*_ALL, *_PAIRS, "dpo lora", "kto lora", *_REWARD)),
    Row(
        "fsdp, not resharded",
        2,
        {"type": "FSDPStrategy", "reshard_after_forward": False},
        ("full",),
    ),
    Row(
        "fsdp, checkpointed",
        2,
        {"type": "FSDPStrategy"},
        ("qlora",),
        ("gradient_checkpointing=True",),
    ),
    Row("ddp", 4, {"type": "DDPStrategy"}, ("lora", "kto lora")),
    Row("zero2", 4, _zero("2"), ("dpo lora", "kto lora")),
    Row("zero3", 4, _zero("3"), ("dpo goes on", "dpo precomputed", "kto lora")),
    Row("fsdp", 4, {"type": "FSDPStrategy"}, ("full", "lora", "dpo goes on", "dpo precomputed")),
    Row(
        "ddp, 2 share a row",
        2,
        {"type": "DDPStrategy"},
        ("full", "lora", "pairs", "reward"),
        sharing=2,
    ),
    Row("zero2, 2 share a row", 2, _zero("2"), ("lora",), sharing=2),
    Row("zero3, 2 share a row", 4, _zero("3"), ("full",), sharing=2),
    Row("fsdp, 2 share a row", 4, {"type": "FSDPStrategy"}, _ALL, sharing=2),
    Row("one process, then zero3", 2, _zero("3"), resumes="alone"),
    Row("zero3, then zero2", 2, _zero("2"), resumes="zero3-2"),
    Row("zero2, then fsdp", 2, {"type": "FSDPStrategy"}, (*_ALL, *_PAIRS), resumes="zero2-2"),
    Row("fsdp, then zero1", 2, _zero("1"), resumes="fsdp-2"),
    Row("zero3, then fsdp on 4", 4, {"type": "FSDPStrategy"}, resumes="zero3-2"),
]


def run_alone(
    inputs: Inputs, root: Path, steps: int = STEPS, methods: Iterable[str] = METHODS
) -> None:
    """Train on one process with each method: root/alone/full, …/lora, …/qlora."""
    for method in methods:
        train_alone(inputs, root / "alone" / method, method, steps=steps)


def train_alone(
    inputs: Inputs, folder: Path, method: str, resume: Path | None = None, *, steps: int = STEPS
) -> None:
    """Train on one process."""
    further = (*_of_steps(steps), f"accumulative_counts={_MICRO_BATCHES}")
    _train(inputs, folder, method, {"type": "SingleStrategy"}, further, resume)


def half_way(folder: Path, steps: int = STEPS) -> Path:
    """The checkpoint in the middle of a run."""
    return folder / "checkpoints" / f"step_{steps // 2:06d}"


def run_rows(inputs: Inputs, root: Path, processes: int, steps: int = STEPS) -> str:
    """Train every row of so many processes in one launch; return what was said.

    Results go to root/NAME-PROCESSES/METHOD. A row that fails ends the launch.
    """
    words = ["--row", str(steps), str(root), str(inputs.model), str(inputs.data), str(inputs.val)]
    try:
        return run_ranks("tests.integration.equivalence", words, root, processes)
    except AssertionError as error:
        return str(error)


def differences(run: Path, alone: Path) -> dict[str, float]:
    """The largest relative difference of each column over all steps; a resumed run has half."""
    found = {}
    steps = metrics(run)
    for column in _COLUMNS:
        pairs = [
            (own[column], other[column])
            for own, other in zip(steps, metrics(alone)[-len(steps) :], strict=True)
            if column in other
        ]
        if not pairs:
            continue  # a metric of another algorithm
        found[column] = max(abs(own - other) / max(abs(other), 1e-12) for own, other in pairs)
    return found


def folder_of(root: Path, row: Row, method: str) -> Path:
    """Where a row's run with a method is."""
    return root / f"{row.name}-{row.processes}".replace(" ", "_") / method


def _train(
    inputs: Inputs,
    folder: Path,
    method: str,
    strategy: dict,
    further: tuple[str, ...],
    resume: Path | None = None,
) -> None:
    from xtune.config import render
    from xtune.engine.runner import Runner

    cache = os.environ.get("XTUNE_CACHE")
    chosen = [
        *options(inputs),
        *_COMMON,
        f"val_data_path={inputs.val}",
        f"strategy={ {**strategy, 'precision': 'fp32'}!r}",
        *further,
    ]
    if method in _PAIRS:
        chosen.append(toy_option(inputs.model))
    if method in (*_DPO, *_REWARD):
        pairs = inputs.data.with_name("pairs.jsonl")
        chosen += [f"data_path={pairs}", f"val_data_path={pairs}", "map_fn=preference"]
    if method == "kto lora":
        chosen += judged_options()
    if method == "dpo goes on":
        chosen.append(f"adapter={folder.parents[1]}/alone/lora/checkpoints/latest/adapter")
    if method == "dpo precomputed":
        chosen.append("algorithm.precompute_reference=True")
        os.environ["XTUNE_CACHE"] = str(folder.with_suffix(".cache"))  # each computes it itself
    if method == "reward":
        chosen.append("lora=None")
    trains_adapter = "lora" in METHODS[method] and method != "reward"
    chosen = [o for o in chosen if trains_adapter or not o.startswith("lora.")]
    try:
        sheet = render(METHODS[method], chosen)
        Runner(sheet, work_dir=folder, resume=resume and str(resume)).train()
    finally:
        os.environ.pop("XTUNE_CACHE", None)
        os.environ |= {"XTUNE_CACHE": cache} if cache else {}


def _of_steps(steps: int) -> tuple[str, ...]:
    """So many, with an evaluation and a checkpoint half-way and in the end."""
    half = steps // 2
    return f"max_steps={steps}", f"evaluation_freq={half}", f"save_steps={half}"


def _run_all_rows_of_this_world(steps: int, root: Path, inputs: Inputs) -> None:
    from xtune.parallel.world import join, leave, world_of_environment

    world = world_of_environment()
    join(world)
    logging.getLogger("xtune").setLevel(logging.ERROR)
    for row in (row for row in ROWS if row.processes == world.size):
        for method in row.methods:
            folder = folder_of(root, row, method)
            counts = _MICRO_BATCHES * row.sharing // world.size
            further = (*row.further, *_of_steps(steps), f"accumulative_counts={counts}")
            further = (*further, f"sequence_parallel_size={row.sharing}")
            resume = half_way(root / row.resumes / method, steps) if row.resumes else None
            try:
                _train(inputs, folder, method, row.strategy, further, resume)
            except BaseException:  # the others would wait for this process
                traceback.print_exc()
                os._exit(1)
    leave(all_are_done=True)


def _table() -> str:
    import torch

    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        inputs = write_inputs(root / "inputs")
        with redirect_stdout(sys.stderr):
            run_alone(inputs, root, _TABLE_STEPS)
        for processes in sorted({row.processes for row in ROWS}):
            sys.stderr.write(run_rows(inputs, root, processes, _TABLE_STEPS))
        lines = [
            f"# Strategies against one process, {_TABLE_STEPS} optimizer steps of a tiny Llama in "
            "fp32",
            "",
            f"`make equivalence`, {time.strftime('%Y-%m-%d')}, CPU processes over gloo, "
            f"torch {torch.__version__}",
            "",
            "Largest relative difference over all steps:",
            "",
            "| strategy | processes | method | loss | grad norm | validation loss |",
            "|---|---|---|---|---|---|",
        ]
        for row in ROWS:
            for method in row.methods:
                found = differences(folder_of(root, row, method), root / "alone" / method)
                numbers = " | ".join(f"{found[c]:.1e}" for c in ("loss", "grad_norm", "val_loss"))
                lines.append(f"| {row.name} | {row.processes} | {method} | {numbers} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    if sys.argv[1:2] == ["--row"]:
        root, *inputs = map(Path, sys.argv[3:])
        _run_all_rows_of_this_world(int(sys.argv[2]), root, Inputs(*inputs))
    else:
        sys.stdout.write(_table())
