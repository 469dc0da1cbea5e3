"""Where rows come from: files, the hub, or a generator; `open_source` reads a config's data_path.

A new source is a new file here with a class that follows `Source`, registered in SOURCES.
"""

from xtune.data.sources.base import Source
from xtune.data.sources.open_source import open_source

__all__ = ["Source", "open_source"]
