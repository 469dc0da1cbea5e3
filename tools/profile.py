"""xtune profile, from a checkout: python tools/profile.py --help."""

import sys
from pathlib import Path

sys.path[0] = str(Path(__file__).resolve().parents[1])  # not tools/, whose names hide others
from xtune.cli.entry import main

sys.exit(main(["profile", *sys.argv[1:]]))
