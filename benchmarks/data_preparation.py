"""Data preparation: alpaca-like rows tokenised, packed and cached, by xtune, TRL and LLaMA-Factory.

    python benchmarks/data_preparation.py --rows 50000 --large 500000

Cold is from the rows' file with empty caches, warm the same program once more; each is a process
of its own, whose imports and tokenizer are loaded before the clock starts. `--large` rows show that
xtune's memory does not grow with the data. A section of Markdown goes to standard output.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path
from statistics import median

from harness.alpaca_like import write_rows
from harness.environments import NotInstallable, python_of
from harness.machine import machine_lines
from harness.measured import ProgramFailed, run

HERE = Path(__file__).resolve().parent
CONTENDERS = {
    "xtune": ("xtune", "prepare_xtune.py"),
    "TRL": ("trl", "prepare_trl.py"),
    "LLaMA-Factory": ("llamafactory", "prepare_llamafactory.py"),
}
GOALS = {"cold": 10.0, "warm": 1.0}  # seconds of 50,000 rows
MEMORY_GOAL = 1000  # MB, of any number of rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rows", type=int, default=50_000)
    parser.add_argument("--large", type=int, default=0, help="rows for xtune's memory; 0: skip it")
    parser.add_argument("--pack-length", type=int, default=1024)
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--contenders", nargs="+", default=list(CONTENDERS), choices=CONTENDERS)
    args = parser.parse_args()

    from xtune.models.gguf import converted_gguf

    machine = machine_lines()
    model = converted_gguf("smollm2")
    with tempfile.TemporaryDirectory() as name:
        rows = Path(name) / "rows.jsonl"
        write_rows(rows, args.rows, tokenizer_file=model / "tokenizer.json")
        lines = []
        for contender in args.contenders:
            try:
                lines.append(_row(contender, rows, model, args))
            except (NotInstallable, ProgramFailed) as error:
                print(error, file=sys.stderr)
                reason = str(error).strip().splitlines()[-1][:200]
                lines.append(f"| {contender} | | | | | **{reason}** |")
        large = _large(Path(name), model, args) if args.large else ""
    print(
        "\n".join(
            [
                "## Data preparation",
                "",
                f"`python benchmarks/data_preparation.py {' '.join(sys.argv[1:])}`",
                "",
                f"{args.rows:,} rows like Alpaca's, tokenised, packed to {args.pack_length} and "
                f"cached; medians of {args.repeats}. Goals for xtune: cold under "
                f"{GOALS['cold']:.0f} s, warm under {GOALS['warm']:.0f} s (50,000 rows on two "
                "cores). Memory is the peak of the process tree, imports included. Tokens differ "
                "where a chat template does: LLaMA-Factory's has no default system text.",
                "",
                "| | cold, s | warm, s | tokens | packs | memory, MB |",
                "|---|---|---|---|---|---|",
                *lines,
                "",
                *([large, ""] if large else []),
                *machine,
            ]
        )
    )


def _row(contender: str, rows: Path, model: Path, args: argparse.Namespace) -> str:
    cold, warm, memory = [], [], []
    for _ in range(args.repeats):
        with tempfile.TemporaryDirectory() as caches:
            first, peak = _prepared(contender, rows, model, args.pack_length, Path(caches))
            second, _ = _prepared(contender, rows, model, args.pack_length, Path(caches))
        cold.append(first["seconds"])
        warm.append(second["seconds"])
        memory.append(peak)
    print(f"{contender}: cold {cold}, warm {warm}", file=sys.stderr, flush=True)
    return (
        f"| {contender} | {median(cold):.1f} | {median(warm):.2f} | {first['tokens']:,} "
        f"| {first['packs']:,} | {median(memory):.0f} |"
    )


def _prepared(
    contender: str, rows: Path, model: Path, length: int, caches: Path
) -> tuple[dict, float]:
    environment, script = CONTENDERS[contender]
    measured = run(
        [python_of(environment), HERE / "contenders" / script, rows, model, str(length)],
        environment={"XTUNE_CACHE": str(caches), "HF_DATASETS_CACHE": str(caches)},
    )
    return json.loads(measured.stdout.splitlines()[-1]), measured.peak_memory_mb


def _large(folder: Path, model: Path, args: argparse.Namespace) -> str:
    rows = folder / "large.jsonl"
    write_rows(rows, args.large, tokenizer_file=model / "tokenizer.json")
    with tempfile.TemporaryDirectory(dir=folder) as caches:
        made, _ = _prepared("xtune", rows, model, args.pack_length, Path(caches))
    return (
        f"xtune with {args.large:,} rows ({rows.stat().st_size >> 20:,} MiB, {made['tokens']:,} "
        f"tokens): {made['seconds']:.0f} s, and **{made['memory_mb']:.0f} MB** at the most, mapped "
        f"pages and imports included (goal: under {MEMORY_GOAL})."
    )


if __name__ == "__main__":
    main()
