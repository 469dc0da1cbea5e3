"""What a process that fails leaves for the launcher of its host, which says it last.

The launcher names a folder in $XTUNE_ENDS; under torchrun or srun alone there is none.
"""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

__all__ = ["has_launcher", "leave_end", "read_ends"]


def has_launcher() -> bool:
    """Whether somebody says last what `leave_end` leaves."""
    return "XTUNE_ENDS" in os.environ


def leave_end(code: int, said: str, *, about_another: bool = False) -> None:
    """Leave the exit code of this process and the end of what it said; the first word counts.

    Args:
        code: what it is about to exit with.
        said: for people.
        about_another: it tells of another process, which may have no word of its own.
    """
    if not has_launcher():
        return
    end = {"code": code, "said": said, "time": time.time(), "about_another": about_another}
    path = Path(os.environ["XTUNE_ENDS"]) / f"{os.environ.get('RANK', '0')}.json"
    try:
        with path.open("x", encoding="utf-8") as file:
            json.dump(end, file)
    except FileExistsError:
        return


def read_ends(folder: Path) -> dict[int, dict[str, Any]]:
    """Return what each rank has left, by rank, the first to fail first."""
    ends = {int(file.stem): json.loads(file.read_text("utf-8")) for file in folder.glob("*.json")}
    return dict(sorted(ends.items(), key=lambda one: (one[1]["about_another"], one[1]["time"])))
