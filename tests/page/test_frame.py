"""The page's files, its policy, and its frame."""

from __future__ import annotations

from xtune.serve.page.files import STATIC

LARGEST = 100_000  # bytes, of all files together


def test_all_files_together_are_small():
    sizes = {path.name: path.stat().st_size for path in STATIC.rglob("*") if path.is_file()}
    assert sum(sizes.values()) < LARGEST, sizes


def test_the_page_opens(api, visit):
    page = visit.open(api)
    page.get_by_role("heading", name="Chat").wait_for()
    assert visit.hosts == {f"127.0.0.1:{api.port}"}
