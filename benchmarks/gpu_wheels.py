"""Gather the wheels that `benchmarks/gpu.py` needs where there is torch, and no network.

    make gpu-wheels                                       # for Python 3.12: gpu_wheels/
    python benchmarks/gpu_wheels.py --python 3.11 --cuda 128 --out DIR

The machine must have torch, and Linux on x86-64. Everything else is in the folder, in the versions
of requirements/constraints.txt, in under 60 MiB: bitsandbytes is packed again, with its libraries
for the CPU and for the CUDA that torch there was built for (`torch.version.cuda`; of torch 2.11
that is 13.0). At the end stands the line to type there. TRL's cases run if the machine also has
pyarrow and pandas, which are as large as all this.
"""

from __future__ import annotations

import argparse
import base64
import csv
import email
import hashlib
import io
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name, parse_wheel_filename

REPOSITORY = Path(__file__).resolve().parents[1]
# What `import xtune.models`, its strategy and gpu.py's contenders import, besides torch
ROOTS = (
    "accelerate",
    "bitsandbytes",
    "filelock",
    "gguf",
    "mmengine-lite",
    "peft",
    "psutil",
    "sentencepiece",
    "transformers",
    "trl",
    "datasets",
)
# The machine's own, and what is for downloads alone
LEFT_OUT = {"torch", "pyarrow", "pandas", "hf-xet"}
LIMIT = 60  # MiB


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--python", default="3.12", help="of the other machine (default: 3.12)")
    parser.add_argument("--out", type=Path, default=REPOSITORY / "gpu_wheels")
    parser.add_argument(
        "--cuda", nargs="+", default=["130", "132"], help="of torch there (default: 130 132)"
    )
    args = parser.parse_args()
    if not re.fullmatch(r"3\.\d+", args.python):
        sys.exit(f"--python {args.python}: give it as in 3.12")
    shutil.rmtree(args.out, ignore_errors=True)
    args.out.mkdir(parents=True)
    gather(args.out, args.python)
    for wheel in args.out.glob("bitsandbytes-*.whl"):
        repack(wheel, lambda name: is_wanted(name, args.cuda))
    sizes = {wheel.name: wheel.stat().st_size / 2**20 for wheel in args.out.glob("*.whl")}
    for name, size in sorted(sizes.items(), key=lambda item: -item[1]):
        print(f"{size:7.2f} MiB  {name}")
    total = sum(sizes.values())
    print(f"{total:7.2f} MiB  in {len(sizes)} wheels, of {LIMIT} allowed")
    folder = args.out.relative_to(Path.cwd()) if args.out.is_relative_to(Path.cwd()) else args.out
    print(
        f"\nThere, in this repository's folder, with {folder} next to the code:\n\n{line(folder)}"
    )
    return int(total > LIMIT)


def line(folder: Path) -> str:
    """What to type on the other machine."""
    return (
        "python3 -m pip install --quiet --no-index --no-deps --no-compile --target /tmp/site "
        f"--find-links {folder} {folder}/*.whl && "
        "PYTHONPATH=/tmp/site:. python3 benchmarks/gpu.py --minutes 9"
    )


def gather(folder: Path, python: str) -> None:
    """Download what is needed, and what that needs, each once and without its dependencies.

    Args:
        folder: where to.
        python: the other machine's, as '3.12'.
    """
    wanted, seen = set(ROOTS), set(LEFT_OUT)
    while wanted:
        seen |= wanted
        _download(folder, sorted(wanted), python)
        wheels = {parse_wheel_filename(wheel.name)[0]: wheel for wheel in folder.glob("*.whl")}
        needed = {need for name in wanted for need in needs(wheels[name], python)}
        wanted = needed - seen


def _download(folder: Path, names: list[str], python: str) -> None:
    pinned = _pinned()
    platforms = [f"manylinux_2_{minor}_x86_64" for minor in range(5, 40)]
    platforms += ["manylinux1_x86_64", "manylinux2010_x86_64", "manylinux2014_x86_64"]
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
    command += ["--only-binary=:all:", "--implementation=cp", f"--python-version={python}"]
    command += [f"--platform={platform}" for platform in platforms]
    command += [f"--dest={folder}", *(pinned.get(name, name) for name in names)]
    subprocess.run(command, check=True)


def _pinned() -> dict[str, str]:
    """Name -> 'name==version'."""
    files = ("benchmarks/requirements-trl.txt", "requirements/constraints.txt")
    lines = [text for file in files for text in (REPOSITORY / file).read_text().splitlines()]
    return {canonicalize_name(text.partition("==")[0]): text for text in lines if "==" in text}


def needs(wheel: Path, python: str) -> Iterator[str]:
    """Yield the names of what a wheel requires on Linux, extras left out."""
    place = {
        "python_version": python,
        "python_full_version": f"{python}.0",
        "implementation_name": "cpython",
        "platform_machine": "x86_64",
        "platform_python_implementation": "CPython",
        "platform_system": "Linux",
        "sys_platform": "linux",
        "os_name": "posix",
        "extra": "",
    }
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (n for n in archive.namelist() if re.fullmatch(r"[^/]+\.dist-info/METADATA", n))
        metadata = email.message_from_bytes(archive.read(name))
    for text in metadata.get_all("Requires-Dist") or ():
        requirement = Requirement(text)
        if requirement.marker is None or requirement.marker.evaluate(place):
            yield canonicalize_name(requirement.name)


def is_wanted(name: str, cudas: Sequence[str]) -> bool:
    """Whether a file of bitsandbytes' wheel is worth its room.

    Args:
        name: of the file.
        cudas: versions without the point, as '130'.
    """
    found = re.search(r"/libbitsandbytes_(\w+)\.so$", name)
    return found is None or found[1] in ("cpu", *(f"cuda{number}" for number in cudas))


def repack(wheel: Path, wanted: Callable[[str], bool]) -> None:
    """Write a wheel anew, in its place, without some files; its RECORD lists what is there.

    Args:
        wheel: the file.
        wanted: whether to keep a file, by its name in the wheel.
    """
    smaller = wheel.with_suffix(".smaller")
    rows: list[tuple[str, str, str]] = []
    with (
        zipfile.ZipFile(wheel) as old,
        zipfile.ZipFile(smaller, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as new,
    ):
        (record,) = (i for i in old.infolist() if re.fullmatch(r".*\.dist-info/RECORD", i.filename))
        for info in old.infolist():
            if info.is_dir() or info is record or not wanted(info.filename):
                continue
            data = old.read(info)
            new.writestr(info, data, zipfile.ZIP_DEFLATED, compresslevel=9)
            digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
            rows.append((info.filename, f"sha256={digest}", str(len(data))))
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows([*rows, (record.filename, "", "")])
        new.writestr(record, text.getvalue())
    smaller.replace(wheel)


if __name__ == "__main__":
    sys.exit(main())
