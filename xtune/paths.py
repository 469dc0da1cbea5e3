"""Where xtune keeps what it computes once."""

from __future__ import annotations

import os
from pathlib import Path

__all__ = ["cache_root"]


def cache_root() -> Path:
    """The folder of everything that xtune computes once: $XTUNE_CACHE, or ~/.cache/xtune."""
    return Path(os.environ.get("XTUNE_CACHE") or Path.home() / ".cache" / "xtune").expanduser()
