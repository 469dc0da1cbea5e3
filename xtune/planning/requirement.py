"""Whether a run fits where it is to run: what it needs, by component, and what there is.

`xtune estimate`, `xtune train` before it loads weights, and `--dry-run` all ask `need_of`.
"""

from __future__ import annotations

import resource
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import torch

from xtune.config.recipe import Recipe, recipe_of
from xtune.config.strategies import sharding_of_sheet
from xtune.models.precision import Precision
from xtune.models.vocabulary import Pieces
from xtune.optim.optimizers import state_bytes
from xtune.parallel.world import number_of_environment
from xtune.planning.drafts import Drafts
from xtune.planning.memory import MemoryEstimate, fits, memory_of
from xtune.planning.scaling import held_by
from xtune.planning.weight_shards import refusal_of

if TYPE_CHECKING:
    from xtune.data.protocol import Dataset

__all__ = [
    "FULL",
    "DeviceMemory",
    "MicroBatch",
    "Requirement",
    "need_of",
    "place_of",
]

_GIB = 2**30
_SHOWN = 2**16  # bytes; what is less is no line


@dataclass(frozen=True, slots=True)
class DeviceMemory:
    """Where a run is to be.

    Attributes:
        kind: 'cuda' or 'cpu'.
        gib: memory of one device, in GiB, which is what a card's GB are; None: not known.
        devices: how many.
    """

    kind: Literal["cuda", "cpu"]
    gib: float | None
    devices: int = 1

    def has_room(self, gib: float) -> bool:
        """Whether so many GiB are likely to fit each device."""
        return self.gib is None or fits(gib, self.gib)


@dataclass(frozen=True, slots=True)
class MicroBatch:
    """What is known of the largest micro-batch of a run.

    Attributes:
        lengths: tokens of each of its rows; None: the data are not known, and as many rows as
            `batch_size` says have `max_length` tokens each.
        trained_share: share of the tokens that have a label, 0 to 1.
    """

    lengths: tuple[int, ...] | None = None
    trained_share: float = 1.0

    @classmethod
    def of(cls, recipe: Recipe, dataset: Dataset) -> MicroBatch:
        """Return what a run's data can make: a few short rows fill no pack.

        Args:
            recipe: of the run.
            dataset: its training data.
        """
        longest = getattr(dataset, "longest", None)  # nobody knows it of what is streamed
        lengths = None if longest is None else tuple(longest(recipe.rows))
        return cls(lengths, dataset.report.trained_percent / 100 or 1.0)

    def rows(self, recipe: Recipe) -> list[int]:
        """Return the tokens of each row, at most a recipe's `max_length`.

        Raises:
            ModelError: neither the data nor their longest item are known.
        """
        if self.lengths is None:
            return [recipe.full_item] * recipe.rows
        most = recipe.max_length
        return [one if most is None else min(one, most) for one in self.lengths]

    def words(self, recipe: Recipe) -> str:
        """Say for which micro-batch an estimate holds."""
        rows = self.rows(recipe)
        tokens = f"in a micro-batch of {sum(rows):,} tokens"
        if self.lengths is None:
            each = f"{len(rows)} rows are" if len(rows) > 1 else "one row is"
            return f"{tokens}: the data are not read yet, so {each} taken to have max_length"
        return f"{tokens}, the longest that these data make"


FULL = MicroBatch()  # all that can be said before the data are read


@dataclass(frozen=True, slots=True)
class Requirement:
    """What a run needs.

    Attributes:
        estimate: of one device alone.
        strategy: a name of `xtune.config.strategies.SHARDINGS`.
        held: component -> bytes on each device.
        host: bytes in its host's memory for each device.
        refusal: why the strategy does not train such a model; None: it does.
    """

    estimate: MemoryEstimate
    strategy: str
    held: dict[str, float]
    host: float
    refusal: str | None = None

    @property
    def gib(self) -> float:
        """GiB on each device."""
        return sum(self.held.values()) / _GIB

    @property
    def weights_gib(self) -> float:
        """GiB on each device that no shorter sample and no smaller adapter saves."""
        frozen = self.held.get("frozen weights", 0.0)
        return (frozen or self.held.get("trained weights", 0.0)) / _GIB

    def fits(self, place: DeviceMemory) -> bool:
        """Whether it is likely to fit; also where nobody knows how much there is."""
        return place.has_room(self.gib)

    def lines(self) -> Iterator[str]:
        """Yield the total, then one line a component; what is not there has none."""
        moment = self.estimate.fullest
        note = f"; {self.estimate.note}" if self.estimate.note else ""
        yield f"at most {self.gib:.1f} GiB, {moment}{note}"
        for name, size in self.held.items():
            if size >= _SHOWN:
                yield f"{_gib(size)} GiB  {name}"
        if self.host >= _SHOWN:
            yield f"{_gib(self.host)} GiB  of the host's memory, for each device"

    @property
    def line(self) -> str:
        """The same on one line, the smallest components left out."""
        shown = {name: size for name, size in self.held.items() if size > 0.01 * _GIB * self.gib}
        parts = ", ".join(f"{name} {size / _GIB:.2f}" for name, size in shown.items())
        return f"{self.gib:.1f} GiB ({parts})"


def _gib(size: float) -> str:
    """In a column of 8; small ones with more digits, so that none is 0.00."""
    return f"{size / _GIB:8.2f}" if size >= 0.005 * _GIB else f"{size / _GIB:8.4f}"


def need_of(
    cfg: Mapping[str, Any],
    precision: Precision,
    place: DeviceMemory,
    *,
    largest: MicroBatch = FULL,
    pieces: Pieces | None = None,
    drafts: Drafts | None = None,
) -> Requirement:
    """Estimate what a run needs on each device in a step of its largest micro-batches.

    Args:
        cfg: a sheet's values.
        precision: of the run.
        place: where; its memory does not matter here.
        largest: the largest micro-batch.
        pieces: the tokens that the run adds.
        drafts: of estimates of like runs, with the same pieces.

    Raises:
        ModelError: the checkpoint's architecture, or the length of the data, is not known here.
    """
    recipe = recipe_of(cfg)
    lengths = largest.rows(recipe)
    if recipe.sharing > 1:
        lengths = [-(-sum(lengths) // recipe.sharing)]
    drafts = drafts or Drafts()
    model = drafts.model(cfg["model"], precision=precision, pieces=pieces)
    sharding = sharding_of_sheet(cfg["strategy"], place.devices)
    strategy = sharding.name
    refused = refusal_of(sharding, model, recipe, kernels=place.kind == "cuda")
    refusal = None if refused is None else str(refused)
    estimate = memory_of(
        model,
        cfg["model"],
        precision,
        lengths,
        largest.trained_share,
        optimizer_bytes=_optimizer_bytes(model, cfg["optimizer"]),
        accumulates=strategy != "single" or recipe.micro_batches > 1,
        device=place.kind,
        drafts=drafts,
    )
    if strategy == "single":
        return Requirement(estimate, strategy, dict(estimate.components), float(estimate.offloaded))
    number = precision.compute_dtype.itemsize
    held, host = held_by(strategy, model, estimate, number, place.devices)
    return Requirement(estimate, strategy, held, sum(host.values()) + estimate.offloaded, refusal)


def _optimizer_bytes(model: Any, cfg: Mapping[str, Any]) -> int | None:
    try:
        return state_bytes(model, cfg)
    except Exception:  # a user's own may do anything; then its state is counted as Adam's
        return None


def place_of(device: torch.device, devices: int = 1) -> DeviceMemory:
    """Return a device of this machine, with the memory that a run may have on it.

    Args:
        device: of this machine.
        devices: how many such the run has.
    """
    if device.type == "cuda":
        left, total = torch.cuda.mem_get_info(device)
        limit = total * torch.cuda.get_per_process_memory_fraction(device)
        own = torch.cuda.memory_reserved(device)
        return DeviceMemory("cuda", min(left + own, limit) / _GIB, devices)
    here = number_of_environment("LOCAL_WORLD_SIZE", 1)  # processes that share it
    free = _free_bytes()
    return DeviceMemory("cpu", None if free is None else free / _GIB / here, devices)


def _free_bytes() -> float | None:
    """What this process may still take: of the machine, of its container, by its own limit."""
    limits: list[float] = []
    try:
        for line in Path("/proc/meminfo").read_text(encoding="ascii").splitlines():
            if line.startswith("MemAvailable:"):
                limits.append(int(line.split()[1]) * 1024)
        pages = Path("/proc/self/statm").read_text(encoding="ascii").split()[0]
        limit, _ = resource.getrlimit(resource.RLIMIT_AS)
        if limit != resource.RLIM_INFINITY:
            limits.append(limit - int(pages) * resource.getpagesize())
    except OSError:  # not Linux
        return None
    limits.extend(_free_in_groups())
    return max(0.0, min(limits)) if limits else None


def _free_in_groups() -> Iterator[float]:
    """What the control groups of this process leave, its own and those above it."""
    root = Path("/sys/fs/cgroup")
    try:
        own = Path("/proc/self/cgroup").read_text(encoding="ascii").splitlines()
    except OSError:
        return
    path = next((line.split("::", 1)[1].strip("/") for line in own if line.startswith("0::")), "")
    for folder in (root / path, *(root / path).parents):
        if folder != root and root not in folder.parents:
            return
        try:
            most = (folder / "memory.max").read_text(encoding="ascii").strip()
            if most != "max":
                used = int((folder / "memory.current").read_text(encoding="ascii"))
                yield float(int(most) - used)
        except OSError:
            continue
