"""xtune sample, from a checkout: python tools/sample.py --help."""

import os
import sys

# not tools/, whose names hide others
sys.path[0] = os.path.dirname(os.path.dirname(os.path.realpath(__file__)))
from xtune.cli.shim import run_tool

sys.exit(run_tool("sample"))
