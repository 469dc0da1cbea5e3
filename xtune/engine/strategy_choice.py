"""How the processes of a run share its work, where its sheet leaves that open."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from typing import TYPE_CHECKING

from xtune.config.strategies import STRATEGY_WORDS, divides_state
from xtune.errors import UsageError, did_you_mean
from xtune.parallel.world import world_of_environment

if TYPE_CHECKING:
    from xtune.config import Sheet

__all__ = ["with_strategy"]

_log = logging.getLogger(__name__)


def with_strategy(
    sheet: Sheet, *, strategy: str | None = None, deepspeed: str | None = None
) -> Sheet:
    """Put a strategy into the sheet: the one that is named; else ddp where processes were started.

    Args:
        sheet: rendered.
        strategy: a key of STRATEGY_WORDS; None: the sheet's, or on several processes ddp, or fsdp
            where a GPU cannot hold the model.
        deepspeed: a name or file of DeepSpeed's settings: `deepspeed_zero2`, `my_zero.json`.

    Raises:
        UsageError: two strategies at once, or one that does not exist.
    """
    from xtune.config import render

    if strategy is not None and strategy not in STRATEGY_WORDS:
        near = did_you_mean(strategy, STRATEGY_WORDS) or ";"
        raise UsageError(
            f"there is no strategy {strategy!r}{near} there are: {', '.join(STRATEGY_WORDS)}"
        )
    given = sheet.values.get("strategy")
    settings = dict(given) if isinstance(given, Mapping) else {}
    name = strategy
    if deepspeed is not None:
        if name not in (None, "deepspeed"):
            raise UsageError(f"--deepspeed {deepspeed} and --strategy {name}: give one")
        name, settings["config"] = "deepspeed", deepspeed
    elif name == "deepspeed" and "config" not in settings:
        settings["config"] = "deepspeed_zero2"
    processes = world_of_environment().size
    if name is None and processes > 1 and settings.get("type") == STRATEGY_WORDS["single"]:
        name = _chosen(sheet, processes)
    if name is None:
        return sheet
    settings["type"] = STRATEGY_WORDS[name]
    options = [f"strategy={settings!r}"]
    if divides_state(settings["type"]):
        options += _with_divisible_optimizer(sheet, name)
    return render(sheet, options)


def _with_divisible_optimizer(sheet: Sheet, name: str) -> list[str]:
    """Return the option that replaces a config's optimizer; `check` refuses the user's own."""
    from xtune.config.rules import divisible_optimizer

    given = (sheet.values.get("optimizer") or {}).get("type")
    chosen = divisible_optimizer(given)
    own = not sheet.origin("optimizer.type").line
    if chosen == given or own:
        return []
    if int(os.environ.get("RANK", 0)) == 0:
        _log.warning(
            "note: optimizer.type=%s, since %s cannot hold the state of %s in parts",
            chosen,
            name,
            given,
        )
    return [f"optimizer.type={chosen}"]


def _chosen(sheet: Sheet, processes: int) -> str:
    """Return 'ddp', or 'fsdp' where each GPU cannot hold the model."""
    from xtune.config import require_valid

    require_valid(sheet)  # before torch is loaded
    import torch

    if not torch.cuda.is_available():
        return "ddp"  # processes on CPUs share a host's memory, or nobody knows how much they have
    from xtune.config.recipe import recipe_of
    from xtune.errors import ModelError
    from xtune.models.precision import choose_precision
    from xtune.planning.scaling import strategy_that_fits

    memory = torch.cuda.get_device_properties(0).total_memory / 2**30
    precision = choose_precision("cuda", recipe_of(sheet.values).precision)
    try:
        return strategy_that_fits(sheet.values, processes, memory, precision)
    except ModelError:  # an architecture that is not known before it is fetched
        return "ddp"
