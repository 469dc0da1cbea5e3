"""What the processes that share the tests make once: the first to ask makes it, others wait.

folder = once(shared_folder / "model", write_model)
"""

from __future__ import annotations

import fcntl
import shutil
from collections.abc import Callable
from pathlib import Path

__all__ = ["once"]


def once(place: Path, make: Callable[[Path], object]) -> Path:
    """Return a file or folder that `make` has written; it is not to be changed.

    Args:
        place: where; in `shared_folder`, and named for what it holds.
        make: writes it. Should it fail, the next who asks tries anew.
    """
    place.parent.mkdir(parents=True, exist_ok=True)
    done = place.with_name(f"{place.name}.done")
    with open(place.with_name(f"{place.name}.lock"), "w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not done.exists():
            shutil.rmtree(place, ignore_errors=True)
            make(place)
            done.touch()
    return place
