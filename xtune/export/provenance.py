"""What a written model says of itself: its base, the base's licence, and the run."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from xtune.errors import XtuneError
from xtune.models.gguf import is_gguf, resolve_alias
from xtune.models.gguf_metadata import read_gguf_metadata
from xtune.models.source import source_of
from xtune.names import Kind, kind_of

__all__ = ["licence_of", "said_of"]

_LICENCE = re.compile(r"^license:\s*['\"]?([^\s'\"#]+)", re.MULTILINE)
_HEADER = 4096  # characters of a model card in which its header ends


def said_of(
    name: str, adapter: Path | None, notes: Mapping[str, Any], *, title: str
) -> dict[str, str | int]:
    """Return `general.*` and `xtune.*`, for a GGUF file.

    Args:
        name: the base, as the user named it.
        adapter: merged in, or None.
        notes: xtune.json of what was trained.
        title: of the file.
    """
    import xtune

    base = str(notes.get("base_model") or name)
    said: dict[str, str | int] = {
        "general.name": title,
        "general.quantized_by": f"xtune {xtune.__version__}",
        "general.base_model.count": 1,
        "general.base_model.0.name": base,
    }
    if kind_of(base) is Kind.HUB:
        said["general.base_model.0.repo_url"] = f"https://huggingface.co/{base}"
    if licence := licence_of(base) or licence_of(name):
        said["general.license"] = licence
    if (run := _run_of(adapter or Path(name).expanduser())) is not None:
        said["xtune.run"] = run
    if fingerprint := notes.get("base_fingerprint"):
        said["xtune.base_fingerprint"] = str(fingerprint)
    if adapter is not None:
        weights = adapter / "adapter_model.safetensors"
        if weights.is_file():
            with weights.open("rb") as file:
                said["xtune.adapter_sha256"] = hashlib.file_digest(file, "sha256").hexdigest()
    return said


def licence_of(name: str) -> str | None:
    """Return the licence that a model's own files name; None where they name none.

    Args:
        name: a hub id, a folder, a .gguf file or an alias; nothing is fetched.
    """
    try:
        if is_gguf(name):
            found = read_gguf_metadata(resolve_alias(name)).get("general.license")
            return str(found) if found else None
        folder = Path(source_of(name))
    except (XtuneError, OSError):  # a base that has gone has no licence to read; not a failure
        return None
    card = folder / "README.md"
    if not card.is_file():
        return None
    head = card.read_text(encoding="utf-8", errors="replace")[:_HEADER]
    parts = head.split("---", 2)
    match = _LICENCE.search(parts[1]) if len(parts) == 3 and not parts[0].strip() else None
    return match[1] if match else None


def _run_of(folder: Path) -> str | None:
    parts = folder.resolve().parts
    if "checkpoints" not in parts:
        return None
    at = len(parts) - 1 - parts[::-1].index("checkpoints")
    return "/".join([parts[at - 1], *parts[at + 1 : at + 2]])
