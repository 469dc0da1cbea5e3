from __future__ import annotations

import sys
from pathlib import Path

# The scripts find each other as they do when they are run
FOLDER = Path(__file__).resolve().parents[2] / "benchmarks"
sys.path += [str(FOLDER), str(FOLDER / "contenders")]
