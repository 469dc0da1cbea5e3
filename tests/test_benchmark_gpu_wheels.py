"""The wheels for a machine without network: packed again whole, and what each of them needs."""

from __future__ import annotations

import base64
import csv
import hashlib
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from benchmarks.gpu_wheels import LIMIT, is_wanted, line, needs, repack

FILES = {
    "nine/__init__.py": b"NINE = 9\n",
    "nine/libbitsandbytes_cpu.so": b"\x7fELF cpu",
    "nine/libbitsandbytes_cuda130.so": b"\x7fELF 13.0",
    "nine/libbitsandbytes_cuda118.so": b"\x7fELF 11.8",
    "nine/libbitsandbytes_rocm72.so": b"\x7fELF rocm",
    "nine-1.0.dist-info/METADATA": (
        b"Metadata-Version: 2.1\nName: nine\nVersion: 1.0\n"
        b"Requires-Dist: NumPy>=1.17\n"
        b'Requires-Dist: tomli; python_version < "3.11"\n'
        b'Requires-Dist: typing_extensions>4; python_version < "3.13"\n'
        b'Requires-Dist: colorama; sys_platform == "win32"\n'
        b'Requires-Dist: pytest; extra == "test"\n'
    ),
    "nine-1.0.dist-info/WHEEL": (
        b"Wheel-Version: 1.0\nGenerator: hand\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    ),
}


@pytest.fixture
def wheel(tmp_path: Path) -> Path:
    path = tmp_path / "nine-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in FILES.items():
            info = zipfile.ZipInfo(name, (2026, 8, 27, 0, 9, 0))
            info.external_attr = (0o755 if name.endswith(".so") else 0o644) << 16
            archive.writestr(info, data)
        archive.writestr("nine-1.0.dist-info/RECORD", "nine/gone.py,sha256=none,4\n")
    return path


def test_a_wheel_packed_again_has_a_true_record_and_installs(wheel, tmp_path):
    repack(wheel, lambda name: is_wanted(name, ["130"]))
    kept = {n: d for n, d in FILES.items() if "cuda118" not in n and "rocm" not in n}
    with zipfile.ZipFile(wheel) as archive:
        assert set(archive.namelist()) == {*kept, "nine-1.0.dist-info/RECORD"}
        rows = list(csv.reader(archive.read("nine-1.0.dist-info/RECORD").decode().splitlines()))
        modes = {i.filename: i.external_attr >> 16 for i in archive.infolist()}
    assert modes["nine/libbitsandbytes_cpu.so"] == 0o755
    for name, digest, size in rows[:-1]:
        expected = base64.urlsafe_b64encode(hashlib.sha256(kept[name]).digest()).decode()
        assert (digest, size) == (f"sha256={expected.rstrip('=')}", str(len(kept[name])))
    assert [row[0] for row in rows] == [*kept, "nine-1.0.dist-info/RECORD"]
    assert rows[-1][1:] == ["", ""]
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-index", "--no-deps"]
    subprocess.run([*command, "--target", tmp_path / "site", wheel], check=True)
    assert (tmp_path / "site/nine/libbitsandbytes_cuda130.so").read_bytes() == b"\x7fELF 13.0"


def test_what_a_wheel_needs_is_that_of_the_other_machine(wheel):
    assert list(needs(wheel, "3.12")) == ["numpy", "typing-extensions"]
    assert list(needs(wheel, "3.13")) == ["numpy"]


def test_the_line_to_type_takes_the_folder_and_nothing_else():
    said = line(Path("gpu_wheels"))
    assert "--no-index" in said
    assert "--find-links gpu_wheels gpu_wheels/*.whl" in said
    assert "PYTHONPATH=/tmp/site:. python3 benchmarks/gpu.py" in said
    assert LIMIT == 60  # of the 64 MiB that may travel; the repository is 4
