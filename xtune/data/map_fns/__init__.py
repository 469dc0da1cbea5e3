"""From a raw row to a Conversation: one file and one pure function per format.

A new format is a new file here with `@MAP_FNS.register_module('name')`; the example in its
docstring is what `xtune list-formats` shows.
"""

from xtune.data.map_fns.base import MapFn, UnusableRow
from xtune.data.map_fns.build import build_map_fn

__all__ = ["MapFn", "UnusableRow", "build_map_fn"]
