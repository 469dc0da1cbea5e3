"""What the data's way holds in memory, by the number of rows: read at once, mixed, and streamed.

    python benchmarks/data_memory.py --rows 100000 1000000

One process for each line. Anonymous memory (RssAnon) is what a process holds; pages of the mapped
token cache (RssFile) the kernel may take back at any time. The peak (VmHWM, both together) is set
back after the tokenizer is loaded. Linux only.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

WAYS = ("plain", "mixture", "streamed")


def write_rows(path: Path, count: int) -> None:
    """Short rows of alpaca's form, of some 50 tokens each."""
    with open(path, "w", encoding="utf-8") as file:
        for n in range(count):
            output = f"It is {n + n % 97}, " + "and so on " * (n % 12)
            row = {"instruction": f"What is {n} plus {n % 97}?", "input": "", "output": output}
            file.write(json.dumps(row) + "\n")


def status() -> dict[str, int]:
    """Return what the kernel counts for this process, in MiB."""
    lines = Path("/proc/self/status").read_text().splitlines()
    fields = (line.split(":", 1) for line in lines)
    return {k: int(v.split()[0]) // 1024 for k, v in fields if k.startswith(("Rss", "VmHWM"))}


def measure(way: str, path: str) -> None:
    """Print what is held after the data set is made, or after ten windows of a streamed one."""
    from xtune.data.dataset import SFTDataset
    from xtune.data.streaming import StreamedSFTDataset, StreamLoader
    from xtune.models import load_tokenizer

    arguments = {
        "tokenizer": load_tokenizer("smollm2"),
        "map_fn": "alpaca",
        "template": "chatml",
        "max_length": 1024,
    }
    Path("/proc/self/clear_refs").write_text("5")  # the peak counts from here
    before = status()
    if way == "streamed":
        loader = StreamLoader(
            StreamedSFTDataset(data_path=path, **arguments),
            batch_size=1,
            accumulative_counts=8,
            seed=0,
        )
        step, windows, last = 0, 1, loader.window
        while windows < 10:
            loader.step(step)
            windows += loader.window is not last
            step, last = step + 1, loader.window
        made = f"{windows} windows"
    else:
        source = [{"data_path": path, "epochs": 1}] if way == "mixture" else path
        dataset = SFTDataset(data_path=source, **arguments)
        made = f"{len(dataset):,} packs, {dataset.tokens:,} tokens"
    after = status()
    print(
        f"{way:9} held {after['RssAnon'] - before['RssAnon']:+5} MiB, mapped "
        f"{after['RssFile'] - before['RssFile']:+5}, peak {after['VmHWM'] - before['VmHWM']:+5}"
        f"  ({made})",
        flush=True,
    )


def main() -> None:
    """Measure every way for every number of rows, each in a process and a cache of its own."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, nargs="+", default=[100_000])
    parser.add_argument("--way", choices=WAYS, help="for this script's own use")
    parser.add_argument("--path", help="for this script's own use")
    args = parser.parse_args()
    if args.way:
        measure(args.way, args.path)
        return
    for count in args.rows:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "rows.jsonl"
            write_rows(path, count)
            print(f"{count:,} rows, {path.stat().st_size >> 20} MiB", flush=True)
            environment = os.environ | {"XTUNE_CACHE": folder}
            for way in WAYS:
                command = [sys.executable, __file__, "--way", way, "--path", str(path)]
                subprocess.run(command, env=environment, check=True)


if __name__ == "__main__":
    main()
