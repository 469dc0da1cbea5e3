"""xtune eval-tools, from a checkout: python tools/eval_tools.py --help."""

import sys
from pathlib import Path

sys.path[0] = str(Path(__file__).resolve().parents[1])  # not tools/, whose names hide others
from xtune.cli.entry import main

sys.exit(main(["eval-tools", *sys.argv[1:]]))
