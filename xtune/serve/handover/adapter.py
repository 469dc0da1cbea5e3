"""An adapter for a server that loads it next to its base, or why it has to be merged first."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from xtune.errors import UsageError
from xtune.export.gguf.lora import lora_refusal
from xtune.export.portable_adapter import portable_fields, write_portable_adapter
from xtune.serve.handover.given import Given

__all__ = ["merged_first", "rank_of", "write_adapter_for"]


def write_adapter_for(given: Given, program: str, folder: Path, *, ranks: Sequence[int]) -> int:
    """Write the adapter so that the program loads it, and return the rank to start it with.

    Args:
        given: what is handed over; has an adapter.
        program: for messages.
        folder: created.
        ranks: that the program can be started with, in order.

    Raises:
        UsageError: the program cannot load it; says what to do.
    """
    assert given.adapter is not None
    fields = json.loads((given.adapter / "adapter_config.json").read_text(encoding="utf-8"))
    reason = lora_refusal(fields)
    made: dict[str, Any] = {} if reason else portable_fields(fields)
    for name in ("rank_pattern", "alpha_pattern"):
        if made.get(name):
            reason = f"{name} gives layers scales of their own, which {program} does not read"
    rank = 0 if reason else rank_of(made)
    fitting = [number for number in ranks if number >= rank]
    if not reason and not fitting:
        reason = f"its rank is {rank}, and {program} takes at most {ranks[-1]}"
    if reason:
        raise UsageError(
            f"{program} cannot load this adapter next to its base: {reason}.\n"
            + merged_first(given, program.lower())
        )
    write_portable_adapter(folder, given.adapter)
    return fitting[0]


def rank_of(fields: dict[str, Any]) -> int:
    """Return the largest rank of an adapter.

    Args:
        fields: of adapter_config.json.
    """
    return max([int(fields["r"]), *map(int, (fields.get("rank_pattern") or {}).values())])


def merged_first(given: Given, target: str) -> str:
    """Say how to hand over the merged model instead.

    Args:
        given: what was to be handed over.
        target: of the verb.
    """
    return (
        "Merge it, then hand the merged model over:\n"
        f"  xtune export {given.shown} OUT\n  xtune handover OUT {target}"
    )
