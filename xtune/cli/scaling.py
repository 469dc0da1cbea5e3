"""Say what a config needs and costs on more devices, strategy by strategy, before renting them.

xtune scaling llama3_8b_full_alpaca
xtune scaling llama3_8b_full_alpaca --devices 2,4 --gpu-memory 24GB --bandwidth 12,3 --peak 165

It is arithmetic on the model's shapes: no weights, no data and no GPU are needed. What is assumed
is printed below the table.
"""

from __future__ import annotations

import argparse
import re

from xtune.errors import UsageError

__all__ = ["add_arguments", "run"]

_MOST_DEVICES = 1024


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the verb's arguments."""
    parser.add_argument("config", metavar="CONFIG", help="a config's name or file")
    parser.add_argument(
        "--devices",
        metavar="N,…",
        default="1,2,4,8,64,1024",
        help=f"how many, 1 to {_MOST_DEVICES} (default: 1,2,4,8,64,1024)",
    )
    parser.add_argument(
        "--gpu-memory", metavar="GB", default="80GB", help="of one device (default: 80GB)"
    )
    parser.add_argument(
        "--bandwidth",
        metavar="IN[,OUT]",
        default="200,50",
        help="GB/s and direction: of a device within its host, and of a host to the next with all "
        "its network cards (default: 200,50: NVLink, and 400 Gbit/s)",
    )
    parser.add_argument(
        "--per-host", metavar="N", type=int, default=8, help="devices of a host (default: 8)"
    )
    parser.add_argument(
        "--host-bandwidth",
        metavar="GB/s",
        default="20",
        help="of a device to its host's memory, for offload (default: 20, PCIe 4)",
    )
    parser.add_argument(
        "--peak",
        metavar="TFLOP/s",
        default="312",
        help="a device's best, dense, in the run's format (default: 312, A100 in bf16)",
    )
    parser.add_argument(
        "--utilisation",
        metavar="SHARE",
        default="0.4",
        help="of the peak that training reaches, 0 to 1 (default: 0.4)",
    )
    parser.add_argument(
        "--cfg-options", nargs="+", default=[], metavar="K=V", help="change the config"
    )


def run(args: argparse.Namespace) -> int:
    """Print the table."""
    devices = _devices(args.devices)
    memory = _number("--gpu-memory", args.gpu_memory, "GB")
    inside, *outside = args.bandwidth.split(",", 1)
    intra = _number("--bandwidth", inside, "GB/s")
    inter = _number("--bandwidth", outside[0], "GB/s") if outside else intra
    to_host = _number("--host-bandwidth", args.host_bandwidth, "GB/s")
    peak = _number("--peak", args.peak, "TFLOP/s")
    utilisation = _number("--utilisation", args.utilisation, "")
    if utilisation > 1:
        raise UsageError(f"--utilisation {args.utilisation}: a share of the peak is at most 1")
    if args.per_host < 1:
        raise UsageError(f"--per-host {args.per_host}: a host has at least one device")

    from xtune.config import render, require_valid
    from xtune.config.recipe import recipe_of
    from xtune.models.precision import choose_precision
    from xtune.parallel.links import Links
    from xtune.planning.scaling import Hardware, plan_scaling
    from xtune.planning.scaling_table import scaling_lines

    sheet = render(args.config, args.cfg_options)
    require_valid(sheet, data=False)
    wanted = recipe_of(sheet.values).precision
    precision = choose_precision("cuda", "bf16" if wanted == "auto" else wanted)
    links = Links(intra * 1e9, inter * 1e9, to_host * 1e9, args.per_host)
    hardware = Hardware(memory, links, peak * 1e12, utilisation)
    plan = plan_scaling(sheet.values, devices, hardware, precision)
    print("\n".join(scaling_lines(sheet.name, plan, hardware, precision.name)))
    return 0


def _devices(text: str) -> list[int]:
    counts = []
    for word in text.split(","):
        if not re.fullmatch(r"\d{1,4}", word.strip()) or not 1 <= int(word) <= _MOST_DEVICES:
            raise UsageError(
                f"--devices {text!r}: {word.strip()!r} is no number of devices. Give whole numbers "
                f"from 1 to {_MOST_DEVICES} with commas between them, as in 1,2,8"
            )
        counts.append(int(word))
    return sorted(set(counts))


def _number(option: str, text: str, unit: str) -> float:
    found = re.fullmatch(
        rf"\s*(\d{{1,9}}(?:\.\d+)?)\s*(?:{re.escape(unit)})?\s*", text, re.IGNORECASE
    )
    if not found or not float(found[1]):
        example = {"GB": "80GB", "": "0.4"}.get(unit, f"200 (in {unit})")
        raise UsageError(f"{option} {text!r}: give a number above 0, as in {example}")
    return float(found[1])
