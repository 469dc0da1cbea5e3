"""`gradient_checkpointing='auto'`: as few layers as will fit are computed again in a step."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from xtune.models.precision import Precision
from xtune.models.vocabulary import Pieces
from xtune.parallel.world import World
from xtune.planning.requirement import DeviceMemory, need_of

__all__ = ["choose_checkpointing", "decided_model"]

logger = logging.getLogger(__name__)

_POLICIES: tuple[bool | int, ...] = (False, 4, 3, 2, True)  # each keeps less, and takes longer


def decided_model(
    cfg: Mapping[str, Any],
    precision: Precision,
    place: DeviceMemory,
    world: World,
    trained_share: float,
    pieces: Pieces | None,
) -> dict[str, Any]:
    """Return the sheet's `model` with 'auto' decided: by one process, for all.

    Args:
        cfg: a sheet's values.
        precision: of the run.
        place: where it is to fit.
        world: the run's processes.
        trained_share: share of the tokens that have a label, 0 to 1.
        pieces: the tokens that the run adds.
    """
    if cfg["model"].get("gradient_checkpointing") != "auto":
        return dict(cfg["model"])
    chosen = choose_checkpointing(cfg, precision, place, trained_share, pieces)
    return cfg["model"] | world.from_main(chosen)


def choose_checkpointing(
    cfg: Mapping[str, Any],
    precision: Precision,
    place: DeviceMemory,
    trained_share: float = 1.0,
    pieces: Pieces | None = None,
) -> dict[str, Any]:
    """Return the fastest policy that is likely to fit; all layers where none is.

    Args:
        cfg: a sheet's values.
        precision: of the run.
        place: where it is to fit.
        trained_share: share of the tokens that have a label, 0 to 1.
        pieces: the tokens that the run adds.

    Returns:
        The settings of `model` that are decided: gradient_checkpointing and activation_offload.
    """
    wants_offload = bool(cfg["model"].get("activation_offload"))
    for policy in _POLICIES:
        decided = {
            "gradient_checkpointing": policy,
            "activation_offload": wants_offload and policy is not False,
        }
        need = need_of(
            {**cfg, "model": {**cfg["model"], **decided}},
            precision,
            place,
            trained_share=trained_share,
            pieces=pieces,
        )
        if need.fits(place):
            break
    logger.info(
        "gradient_checkpointing: %s; about %.1f GiB of %.1f GiB",
        {0: "no layer", 1: "every layer"}.get(int(policy), f"one layer of {int(policy)}"),
        need.gib,
        place.gib or 0.0,
    )
    return decided
