"""The small files of a checkpoint, in a folder or on the hub."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from xtune.errors import ModelError

__all__ = ["CheckpointFiles"]


@dataclass(frozen=True, slots=True)
class CheckpointFiles:
    """Files next to the weights.

    Attributes:
        source: a folder, or a hub id.
    """

    source: str

    def path(self, name: str) -> Path | None:
        """Return where a file lies on this disk, fetched from the hub if need be, or None."""
        from transformers.utils import cached_file

        found = cached_file(
            self.source,
            name,
            _raise_exceptions_for_missing_entries=False,
            _raise_exceptions_for_connection_errors=False,
        )
        return Path(found) if found else None

    def json(self, name: str) -> dict[str, Any]:
        """Return what a JSON file holds; nothing if there is no such file.

        Raises:
            ModelError: it is not a JSON object.
        """
        file = self.path(name)
        if file is None:
            return {}
        try:
            content = json.loads(file.read_text(encoding="utf-8"))
        except ValueError as error:
            raise ModelError(f"{file} is not a JSON object: {error}") from error
        if not isinstance(content, dict):
            raise ModelError(f"{file} is not a JSON object")
        return content
