"""What torchrun starts: one process of a run, as `python -m xtune.cli.process train CONFIG ...`."""

from __future__ import annotations

import sys

from xtune.cli.entry import main

__all__ = ["main"]

if __name__ == "__main__":
    sys.exit(main())
