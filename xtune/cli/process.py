"""What `xtune train` starts for each device: python -m xtune.cli.process train CONFIG ...

Besides running the verb it leaves its exit code, and the end of what it said on stderr, in the
folder $XTUNE_ENDS, for the launcher to say last.
"""

from __future__ import annotations

import sys
from collections import deque
from typing import IO, Any

from xtune.cli.entry import main
from xtune.watch.last_words import leave_end

__all__ = ["run"]


class _Remembering:
    """A stream that passes everything on and keeps its last lines."""

    def __init__(self, stream: IO[str]) -> None:
        self._stream = stream
        self.last: deque[str] = deque(maxlen=20)

    def write(self, text: str) -> int:
        self.last.append(text)
        return self._stream.write(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def run() -> int:
    """Run the verb of the command line."""
    said = _Remembering(sys.stderr)
    sys.stderr = said
    code = main()
    if code:
        leave_end(code, "".join(said.last))
    return code


if __name__ == "__main__":
    sys.exit(run())
