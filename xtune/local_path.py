"""What a path that leads nowhere may mean: the files and folders that lie nearest to it."""

from __future__ import annotations

from difflib import get_close_matches
from pathlib import Path

__all__ = ["misspells_a_file", "not_there"]

_MOST = 6  # names that are listed


def misspells_a_file(name: str) -> bool:
    """Whether a file lies where a path would lead, spelt nearly so: then this is no hub id."""
    path = Path(name).expanduser()
    if path.exists() or not path.parent.is_dir():
        return False
    names = [
        name for one in path.parent.iterdir() if one.is_file() for name in (one.name, one.stem)
    ]
    return bool(get_close_matches(path.name, names, n=1, cutoff=0.8))


def not_there(name: str, what: str = "folder") -> str:
    """Return what to say of a path that leads nowhere, in whole sentences.

    Args:
        name: as the user wrote it.
        what: was looked for.
    """
    path = Path(name).expanduser()
    where = "" if path.is_absolute() else f" (looked for {path.absolute()})"
    return f"no {what} {name!r}{where}{_near_paths(name)}"


def _near_paths(name: str) -> str:
    """Say what there is where a path leads nowhere: the end of a sentence, and perhaps another.

    The deepest folder of the path that exists is named, with what it holds that is spelt most like
    the next part of the path; all of it, where that is little.
    """
    path = Path(name).expanduser()
    folder = path.parent
    missing = path.name
    while not folder.is_dir() and folder != folder.parent:
        folder, missing = folder.parent, folder.name
    try:
        there = sorted(p.name for p in folder.iterdir() if not p.name.startswith("."))
    except OSError:
        return "."
    near = get_close_matches(missing, there, n=3, cutoff=0.5)
    if not near and folder == Path():
        return "."
    shown = [str(folder / one) if str(folder) != "." else one for one in near or there[:_MOST]]
    if near:
        return f"; did you mean {' or '.join(map(repr, shown))}?"
    if not there:
        return f". The folder {str(folder)!r} is empty."
    more = f" and {len(there) - len(shown)} more" if len(there) > len(shown) else ""
    return f". There are: {', '.join(shown)}{more}."
