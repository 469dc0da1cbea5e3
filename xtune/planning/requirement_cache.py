"""What runs need in memory, remembered: finding it takes seconds, and a run is started often.

    $XTUNE_CACHE/needs/<key>.json

The key is a hash of all that the estimate depends on: what is asked, the checkpoint's config.json,
this package's own files, and the versions of the libraries whose layers are counted.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import asdict, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import xtune
from xtune.config.recipe import recipe_of
from xtune.models.loading import published_fields
from xtune.models.precision import Precision
from xtune.models.vocabulary import Pieces
from xtune.paths import cache_root
from xtune.planning.memory import MemoryEstimate
from xtune.planning.requirement import FULL, DeviceMemory, MicroBatch, Requirement, need_of

__all__ = ["known_need"]

_LIBRARIES = ("torch", "transformers", "peft", "bitsandbytes")


def known_need(
    cfg: Mapping[str, Any],
    precision: Precision,
    place: DeviceMemory,
    *,
    largest: MicroBatch = FULL,
    pieces: Pieces | None = None,
) -> Requirement:
    """Return what `need_of` returns, from an earlier run if one has asked the same.

    A file that cannot be read or written is as if there were none.

    Args: as `need_of`.

    Raises:
        ModelError: the checkpoint's architecture is not known here.
    """
    name = recipe_of(cfg).base_model
    if name is None:  # a user's own model: what it is made of is not known here
        return need_of(cfg, precision, place, largest=largest, pieces=pieces)
    asked = {
        "cfg": {key: value for key, value in cfg.items() if key != "work_dir"},
        "config.json": published_fields(name),
        "precision": replace(precision, reason=""),  # which says what was measured this time
        "rest": [place.kind, place.devices, asdict(largest), pieces],
    }
    file = cache_root() / "needs" / f"{_key(asked)}.json"
    try:
        known = json.loads(file.read_text(encoding="utf-8"))
        return Requirement(**known | {"estimate": MemoryEstimate(**known["estimate"])})
    except (OSError, ValueError, TypeError, KeyError):
        need = need_of(cfg, precision, place, largest=largest, pieces=pieces)
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        own = file.with_suffix(f".{os.getpid()}")
        own.write_text(json.dumps(asdict(need)), encoding="utf-8")
        own.replace(file)
    except OSError:
        pass
    return need


def _key(asked: Mapping[str, Any]) -> str:
    package = Path(xtune.__file__).parent
    stats = [(path, path.stat()) for path in sorted(package.rglob("*.py"))]
    parts = {
        **asked,
        "code": [(str(path), stat.st_size, stat.st_mtime_ns) for path, stat in stats],
        "libraries": [_version(name) for name in _LIBRARIES],
    }
    text = json.dumps(parts, sort_keys=True, default=repr)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return ""
