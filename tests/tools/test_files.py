"""`files`: what is in the folder, and nothing else."""

from __future__ import annotations

import os

import pytest

from xtune.tools.base import ToolError
from xtune.tools.files import Files


@pytest.fixture
def files(tmp_path):
    root = tmp_path / "root"
    (root / "sub").mkdir(parents=True)
    (root / "a.txt").write_text("".join(f"line {n}\n" for n in range(1, 501)))
    (root / "sub/b.md").write_text("Needle in a\nhaystack\n")
    (root / "binary").write_bytes(b"\0\1")
    (tmp_path / "secret.txt").write_text("needle: secret")
    (root / "out.txt").symlink_to(tmp_path / "secret.txt")
    (root / "out").symlink_to(tmp_path)
    (root / "in.txt").symlink_to(root / "sub/b.md")
    (root / "loop").symlink_to(root / "loop")
    os.mkfifo(root / "pipe")
    return Files(root=str(root))


def test_it_lists_reads_and_finds(files):
    assert [tool.spec.name for tool in files.tools()] == [
        "list_files",
        "read_file",
        "find_in_files",
    ]
    listed = files.list_files().splitlines()
    assert "sub/" in listed
    assert "binary (2 bytes)" in listed
    assert "out.txt (a link or a special file)" in listed
    first = files.read_file("a.txt")
    assert first.startswith("line 1\n")
    assert first.endswith("line 200\n[300 more lines: start=201]")
    assert files.read_file("a.txt", 499, 5) == "line 499\nline 500"
    assert files.read_file("in.txt") == "Needle in a\nhaystack"  # a link within
    assert files.find_in_files("needle") == "sub/b.md:1: Needle in a"
    assert files.find_in_files("nothing") == "'nothing' is in no file"


@pytest.mark.parametrize(
    "path",
    [
        "out.txt",
        "out/secret.txt",
        "../secret.txt",
        "sub/../../secret.txt",
        "/etc/passwd",
        "~/.ssh/id_rsa",
        "loop",
        "pipe",
        "binary",
        "sub",
        "a.txt\0",
        "x" * 5000,
        "none.txt",
        "/proc/self/environ",
        "..",
        "．．/secret.txt",
    ],
)
def test_nothing_else_can_be_read(files, path):
    with pytest.raises((ToolError, OSError)) as caught:
        files.read_file(path)
    assert "secret" not in str(caught.value).replace(path, "")


def test_nothing_else_can_be_listed_or_searched(files):
    for folder in ("..", "out", "/", "sub/../.."):
        with pytest.raises(ToolError, match="leads out of the folder"):
            files.list_files(folder)
        with pytest.raises(ToolError, match="leads out of the folder"):
            files.find_in_files("needle", folder)
    assert "secret" not in files.find_in_files("needle")
