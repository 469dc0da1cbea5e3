"""From a raw row to a Conversation: one file and one pure function per format.

A new format is a new file here with `@MAP_FNS.register_module('name')`.
"""

from xtune.data.map_fns.base import MapFn, UnusableRow

__all__ = ["MapFn", "UnusableRow"]
