"""Checkpoints are whole or not there: damage, full disks, deletion, `latest`."""

import errno
import json
import logging
import resource
import subprocess
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from xtune.checkpoint import folder as folders
from xtune.checkpoint.folder import (
    find_resumable,
    list_checkpoints,
    remove_leftovers,
    save_checkpoint,
)
from xtune.checkpoint.meta import damage
from xtune.errors import CheckpointError


def _write(folder: Path) -> None:
    (folder / "state").mkdir()
    save_file({"w": torch.arange(1000.0)}, folder / "state" / "tensors.safetensors")
    (folder / "state" / "state.json").write_text('{"step": 1}')


def _save(root: Path, *steps: int, **settings) -> None:
    for step in steps:
        save_checkpoint(root, step, write=_write, bytes_needed=4000, **settings)


def _steps(root: Path) -> list[int]:
    return [step for step, _ in list_checkpoints(root)]


def test_a_saved_checkpoint_is_whole_and_the_latest(tmp_path):
    _save(tmp_path, 5, 10)
    assert find_resumable(tmp_path) == tmp_path / "step_000010"
    assert (tmp_path / "latest").resolve() == (tmp_path / "step_000010").resolve()
    meta = json.loads((tmp_path / "latest" / "meta.json").read_text())
    assert (meta["format_version"], meta["step"]) == (1, 10)
    assert set(meta["files"]) == {"state/state.json", "state/tensors.safetensors"}
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "latest",
        "step_000005",
        "step_000010",
    ]


def test_only_the_newest_are_kept(tmp_path):
    _save(tmp_path, 1, 2, 3, 4, max_keep=2)
    assert _steps(tmp_path) == [3, 4]


def test_where_links_are_not_allowed_latest_is_a_file(tmp_path, monkeypatch):
    def refuse(*_, **__):
        raise OSError(errno.EPERM, "links are not allowed")

    monkeypatch.setattr(Path, "symlink_to", refuse)
    _save(tmp_path, 7)
    assert (tmp_path / "latest").read_text() == "step_000007\n"


@pytest.mark.parametrize(
    ("harm", "reason"),
    [
        (lambda f: (f / "meta.json").unlink(), "meta.json is missing"),
        (lambda f: (f / "meta.json").write_text('{"format'), "meta.json cannot be read"),
        (lambda f: (f / "meta.json").write_text("[]"), "meta.json cannot be read"),
        (lambda f: (f / "state" / "state.json").unlink(), "state/state.json is missing"),
        (lambda f: (f / "state" / "state.json").write_text("{}"), "instead of"),
        (lambda f: (f / "state" / "state.json").write_text('{"step": 9}'), "other contents"),
    ],
)
def test_a_damaged_one_is_skipped_and_named(tmp_path, caplog, harm, reason):
    _save(tmp_path, 1, 2)
    harm(tmp_path / "step_000002")
    assert reason in damage(tmp_path / "step_000002")
    with caplog.at_level(logging.WARNING, "xtune"):
        assert find_resumable(tmp_path) == tmp_path / "step_000001"
    assert "step_000002" in caplog.text
    assert reason in caplog.text
    assert f"using the checkpoint before it: {tmp_path / 'step_000001'}" in caplog.text
    assert (tmp_path / "step_000002").is_dir()  # nothing is deleted


def test_all_damaged_is_an_error_that_lists_them(tmp_path):
    _save(tmp_path, 1, 2)
    for step in (1, 2):
        (tmp_path / f"step_00000{step}" / "meta.json").unlink()
    with pytest.raises(CheckpointError, match=r"(?s)step_000002.*step_000001.*without --resume"):
        find_resumable(tmp_path)


def test_nothing_there_is_no_error(tmp_path):
    assert find_resumable(tmp_path / "none") is None


def test_a_newer_format_is_refused(tmp_path):
    _save(tmp_path, 1)
    meta = tmp_path / "step_000001" / "meta.json"
    meta.write_text(meta.read_text().replace('"format_version": 1', '"format_version": 99'))
    with pytest.raises(CheckpointError, match="format 99"):
        find_resumable(tmp_path)


def test_a_failing_write_leaves_no_trace(tmp_path):
    _save(tmp_path, 1)

    def fail(folder):
        _write(folder)
        raise RuntimeError("in the middle")

    with pytest.raises(RuntimeError, match="in the middle"):
        save_checkpoint(tmp_path, 2, write=fail, bytes_needed=0)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["latest", "step_000001"]


def test_leftovers_of_a_killed_process_are_removed(tmp_path):
    _save(tmp_path, 1)
    (tmp_path / ".tmp-step_000002" / "state").mkdir(parents=True)
    (tmp_path / ".tmp-latest").symlink_to("step_000002")
    remove_leftovers(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["latest", "step_000001"]


def test_too_little_room_is_found_before_anything_is_written(tmp_path):
    _save(tmp_path, 1)
    with pytest.raises(CheckpointError, match=r"needs about 1,000,000,000,000,000,000 bytes"):
        save_checkpoint(tmp_path, 2, write=_write, bytes_needed=10**18)
    assert _steps(tmp_path) == [1]


def test_a_limit_hit_while_writing_keeps_the_one_before(tmp_path):
    """A real EFBIG from Rust's safetensors, by the process's limit on file size."""
    _save(tmp_path, 1)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
    try:
        with pytest.raises(CheckpointError, match=r"disk is full.*needs about 4,000 bytes"):
            _save(tmp_path, 2)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["latest", "step_000001"]
    assert damage(tmp_path / "step_000001") is None


def test_a_full_file_system_keeps_the_one_before(tmp_path):
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(tmp_path)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("this user may not mount a small file system")
    try:
        _save(tmp_path, 1)

        def write(folder):
            (folder / "big").write_bytes(bytes(200_000))

        with pytest.raises(CheckpointError, match="disk is full"):
            save_checkpoint(tmp_path, 2, write=write, bytes_needed=0)
        assert _steps(tmp_path) == [1]
        assert damage(tmp_path / "step_000001") is None
    finally:
        subprocess.run(["umount", str(tmp_path)], check=True)


def test_a_kill_while_deleting_leaves_no_half_checkpoint(tmp_path, monkeypatch):
    _save(tmp_path, 1, 2)

    monkeypatch.setattr(folders.shutil, "rmtree", lambda path, **_: None)
    _save(tmp_path, 3, max_keep=1)  # its files stay, under a name that is no checkpoint's
    assert _steps(tmp_path) == [3]
