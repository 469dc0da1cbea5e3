"""Write a model that other programs load: an adapter merged into its base, or a layout changed.

  xtune export work_dirs/internlm2_7b_qlora_alpaca OUT
  xtune export internlm/internlm2-7b OUT --adapter work_dirs/internlm2_7b_qlora_alpaca
  xtune export work_dirs/baichuan2_7b_full_alpaca OUT --layout original
  xtune export smollm2 OUT.gguf --adapter work_dirs/my_run --format gguf --quant q8_0

  xtune export work_dirs/my_run OUT --format int4
  xtune export work_dirs/my_run OUT --format pruned --sparsity 2:4

Formats: a folder for transformers; one GGUF file for llama.cpp, Ollama and LM Studio, or of the
adapter alone; a folder in int4 for vLLM and SGLang, or with half of the weights zero, either
calibrated on the run's own rows.

Layouts: 'transformers' is read by AutoModelForCausalLM with no further code; 'original' has the
names, shapes and config.json of the published checkpoint, for whatever served that.

What is written is read back and must answer as `xtune chat` does, base and unmerged adapter: the
ids of 18 dialogues, the distributions at 512 places, greedy answers, what ends them. Else nothing
is left, and the exit code is 1. PARITY.md (OUT.gguf.parity.md) has the table.
"""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path
from typing import Any

__all__ = ["add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the verb's arguments."""
    parser.add_argument(
        "model", metavar="MODEL", help="a hub id, a folder, or a run's work_dir: of an adapter too"
    )
    parser.add_argument(
        "out", metavar="OUT", type=Path, help="a folder, or a .gguf file, that is not there yet"
    )
    parser.add_argument(
        "--adapter", metavar="DIR", help="merge this adapter, or the one in this work_dir"
    )
    parser.add_argument(
        "--format",
        choices=("transformers", "gguf", "gguf-lora", "int4", "pruned"),
        default="transformers",
        help="gguf-lora: the adapter alone; int4: for vLLM and SGLang; pruned: weights that are "
        "missed least become zero; default: transformers",
    )
    parser.add_argument(
        "--quant",
        choices=("f32", "f16", "bf16", "q8_0", "q5_0", "q4_0"),
        help="how a GGUF file packs its matrices; default: q8_0",
    )
    parser.add_argument(
        "--calibrate", metavar="RUN", help="int4, pruned: the run whose rows it is calibrated on"
    )
    parser.add_argument(
        "--sparsity",
        metavar="SHARE",
        help="pruned: the share of zeros, as 0.5, or 2:4 for two of each four; default: 0.5",
    )
    parser.add_argument(
        "--layout",
        choices=("transformers", "original"),
        help="default: transformers, where an architecture of its computes the same",
    )
    parser.add_argument(
        "--dtype",
        choices=("auto", "fp32", "bf16", "fp16"),
        default="auto",
        help="of the weights; auto: what the model's config.json says",
    )


def run(args: argparse.Namespace) -> None:
    """Load, merge, write, read back, compare."""
    from xtune.errors import UsageError
    from xtune.generation.locate import locate, training_notes

    out: Path = args.out.expanduser()
    if out.exists():
        raise UsageError(f"{out} exists already: give a name that is not there yet")
    _require_fitting(args)
    found = locate(args.model, args.adapter)
    notes = training_notes(found.trained)

    from xtune.export.proof.dialogues import dialogues_of_run
    from xtune.export.proof.report import lines_of

    own = dialogues_of_run(found.trained)
    if args.format == "gguf":
        from xtune.export.gguf_file import export_gguf

        file = export_gguf(
            found.model,
            out,
            adapter=found.adapter,
            notes=notes,
            quant=args.quant or "q8_0",
            own=own,
            dtype=args.dtype,
        )
        lines = [
            f"{out}: {file.size / 2**20:,.1f} MiB, {file.layout.architecture}",
            *lines_of(file.outcomes),
            *(f"unchecked: {one}" for one in file.unchecked),
            *(f"notice: {one}" for one in file.layout.notices),
            f"the table: {out}.parity.md",
            f"talk to it: xtune chat {out}",
        ]
    elif args.format == "gguf-lora":
        lines = _write_lora(args, out, found, notes, own)
    elif args.format == "int4":
        lines = _write_int4(args, out, found, notes, own)
    elif args.format == "pruned":
        lines = _write_pruned(args, out, found, notes, own)
    else:
        lines = _write_folder(args, out, found, notes, own)
    print("\n".join(lines))


def _write_lora(args: Any, out: Path, found: Any, notes: Any, own: Any) -> list[str]:
    from xtune.errors import UsageError
    from xtune.export.lora_file import export_lora
    from xtune.export.proof.report import lines_of

    if found.adapter is None:
        raise UsageError(f"{args.model} has no adapter: give --adapter DIR, or --format gguf")
    file = export_lora(found.model, out, adapter=found.adapter, notes=notes, own=own)
    return [
        f"{out}: LoRA on {file.layers} layers of {found.model}",
        *lines_of(file.outcomes),
        *(f"unchecked: {one}" for one in file.unchecked),
        f"the table: {out}.parity.md",
        f"run it: llama-server -m BASE.gguf --lora {out} --jinja --chat-template-file {out}.jinja",
    ]


def _write_int4(args: Any, out: Path, found: Any, notes: Any, own: Any) -> list[str]:
    from xtune.export.int4.rows import rows_of_run
    from xtune.export.int4_folder import export_int4
    from xtune.export.proof.report import lines_of

    rows = rows_of_run(args.calibrate or str(found.trained))
    written = export_int4(
        found.model,
        out,
        adapter=found.adapter,
        notes=notes,
        rows=rows,
        own=own,
        dtype=args.dtype,
    )
    return [
        f"{out}: {written.layers} layers in int4, groups of {written.group}, by GPTQ on "
        f"{written.rows} rows of the run",
        f"KL on held-out rows: {written.calibrated:.1e}, and {written.nearest:.1e} rounded to the "
        "nearest",
        *lines_of([written.outcome]),
    ]


def _write_pruned(args: Any, out: Path, found: Any, notes: Any, own: Any) -> list[str]:
    from xtune.export.int4.rows import rows_of_run
    from xtune.export.int4.sparse import parse_sparsity
    from xtune.export.proof.report import lines_of
    from xtune.export.pruned_folder import export_pruned

    written = export_pruned(
        found.model,
        out,
        adapter=found.adapter,
        notes=notes,
        rows=rows_of_run(args.calibrate or str(found.trained)),
        sparsity=parse_sparsity(args.sparsity or "0.5"),
        own=own,
        dtype=args.dtype,
    )
    ours, smallest = written.calibrated, written.by_size
    return [
        f"{out}: {written.layers} layers with {written.sparsity} of their weights zero, by "
        f"SparseGPT on {written.rows} rows of the run",
        f"on held-out rows: KL {ours.kl_mean:.1e}, loss {ours.nll_rise:+.1e}; with the smallest "
        f"weights left out: KL {smallest.kl_mean:.1e}, loss {smallest.nll_rise:+.1e}",
        *lines_of([written.outcome]),
        f"the density of each layer: {out}/PARITY.md",
    ]


def _write_folder(args: Any, out: Path, found: Any, notes: Any, own: Any) -> list[str]:
    from xtune.checkpoint.meta import weights_apart
    from xtune.export.merge import export_model
    from xtune.export.proof.report import lines_of

    adapter = found.adapter
    written = export_model(
        found.model,
        out,
        adapter=adapter,
        notes=notes,
        own=own,
        layout=args.layout,
        dtype=args.dtype,
    )
    apart = weights_apart(found.trained.parent)
    for name in apart:
        shutil.copytree(found.trained.parent / name, out / name)
    return [
        f"{out}: {written.parameters:,} parameters in {written.dtype}, {written.layout} layout"
        f"{'' if adapter is None else f', with {adapter} merged in'}",
        f"read back: logits differ by {written.difference:.1e} of the largest"
        f"{'' if adapter is None else ' from those of the base with its adapter'}",
        *lines_of([] if written.outcome is None else [written.outcome]),
        *(f"{name}/: copied; it was trained next to the model" for name in apart),
        f"score with it: xtune score {out} DATA"
        if written.scores
        else f"talk to it: xtune chat {out}",
    ]


def _require_fitting(args: argparse.Namespace) -> None:
    """Refuse options that say nothing together."""
    from xtune.errors import UsageError

    is_file = args.out.suffix == ".gguf"
    writes_file = args.format.startswith("gguf")
    if writes_file and not is_file:
        raise UsageError(f"--format {args.format} writes one file: name it {args.out}.gguf")
    if not writes_file and is_file:
        raise UsageError(f"{args.out} names a GGUF file: add --format gguf, or name a folder")
    if args.format != "gguf" and args.quant:
        raise UsageError("--quant belongs to --format gguf; elsewhere numbers are as --dtype says")
    calibrated = args.format in ("int4", "pruned")
    if args.calibrate and not calibrated:
        raise UsageError("--calibrate belongs to --format int4 and --format pruned")
    if args.sparsity and args.format != "pruned":
        raise UsageError("--sparsity belongs to --format pruned")
    if calibrated and args.layout:
        raise UsageError(f"--layout: {args.format} is written in transformers' own layout alone")
    if writes_file and args.layout:
        raise UsageError("--layout belongs to a folder; a GGUF file has the one of llama.cpp")
