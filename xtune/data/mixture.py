"""A mixture: several sources in one data set, and how often an epoch shows the samples of each.

    data_path = [
        dict(data_path='alpaca.json', map_fn='alpaca', weight=3),
        dict(data_path='gsm8k.jsonl', map_fn='gsm8k', weight=1, max_rows=5000)]

    epochs=e    each sample e times in one epoch of the mixture; 0.5 is a random half, 1 the default
    weight=w    samples in proportion to the weights, as many as there can be without showing one
                twice: the source that is scarce for its weight is shown whole

Samples are counted, not tokens: the data report says what share of the trained tokens each source
has. Which samples are chosen follows from `seed` alone, and is the same in every epoch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from xtune.data.map_fns import MapFn
from xtune.errors import DataError, did_you_mean

__all__ = ["Share", "choose", "is_mixture", "shares_of"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """One source of a data set.

    Attributes:
        data_path: as `SFTDataset` takes it, but no mixture itself.
        map_fn: as `SFTDataset` takes it; default: the data set's own.
        split: which part of the source, where it has parts; default: the data set's own.
        max_rows: read no more rows than this.
        epochs: see above.
        weight: see above; of all sources of a mixture, or of none.
        seed: of the choice.
    """

    data_path: str | Sequence[str] | Mapping[str, Any]
    map_fn: str | MapFn | Mapping[str, Any]
    split: str
    max_rows: int | None = None
    epochs: float | None = None
    weight: float | None = None
    seed: int = 0

    @property
    def name(self) -> str:
        """For people: the path, or the hub id."""
        path = self.data_path
        if isinstance(path, Mapping):
            path = path.get("path", path.get("type", "?"))
        if isinstance(path, str):
            return path
        return ", ".join(path) if isinstance(path, Sequence) else type(path).__name__


def is_mixture(data_path: Any) -> bool:
    """Tell a list of sources from everything else that a data_path may be."""
    return isinstance(data_path, list | tuple) and any(isinstance(p, Mapping) for p in data_path)


def shares_of(data_path: Any, **own: Any) -> list[Share]:
    """Read a data_path: one share of a plain one, or those of a mixture.

    Args:
        data_path: of a data set.
        own: the data set's own map_fn, split and max_rows, for what a source does not say.

    Raises:
        DataError: a source of the mixture says something unknown, or what cannot be.
    """
    if not is_mixture(data_path):
        return [Share(data_path=data_path, **own)]
    known = [field.name for field in fields(Share)]
    for number, source in enumerate(data_path):
        if not isinstance(source, Mapping) or "data_path" not in source:
            raise DataError(f"data_path[{number}] must be a dict with a data_path, not {source!r}")
        for key in source.keys() - set(known):
            raise DataError(
                f"data_path[{number}] has no {key!r}{did_you_mean(key, known) or ';'} "
                f"there are: {', '.join(known)}"
            )
    shares = [Share(**{**own, **source}) for source in data_path]
    _require_one_way(shares)
    return shares


def choose(shares: Sequence[Share], counts: Sequence[int]) -> list[np.ndarray]:
    """Return which samples of each source an epoch has.

    >>> mixed = [Share(data_path=name, map_fn='alpaca', split='train', weight=weight)
    ...          for name, weight in (('a', 3), ('b', 1))]
    >>> [len(chosen) for chosen in choose(mixed, [60, 1000])]
    [60, 20]

    Args:
        shares: the sources.
        counts: samples of each.

    Returns:
        One int64 array a source: indices into its samples, in their order; one that is shown twice
        stands there twice.
    """
    weights = [share.weight for share in shares]
    scale = min(
        (count / weight for count, weight in zip(counts, weights, strict=True) if weight),
        default=0.0,
    )
    made = []
    for share, count in zip(shares, counts, strict=True):
        times = 1.0 if share.epochs is None else share.epochs
        wanted = round(scale * share.weight) if share.weight else round(times * count)
        whole, rest = divmod(wanted, count) if count else (0, 0)
        some = np.random.default_rng(share.seed).permutation(count)[:rest]
        made.append(np.sort(np.concatenate([np.tile(np.arange(count), whole), some])))
    return [indices.astype(np.int64) for indices in made]


def _require_one_way(shares: Sequence[Share]) -> None:
    weighted = [share for share in shares if share.weight is not None]
    for share in shares:
        for name in ("epochs", "weight"):
            value = getattr(share, name)
            if value is not None and not value > 0:
                raise DataError(f"{share.name}: {name}={value!r} must be above 0")
        if share.weight is not None and share.epochs is not None:
            raise DataError(f"{share.name}: give weight or epochs, not both")
    if weighted and len(weighted) < len(shares):
        without = next(share for share in shares if share.weight is None)
        raise DataError(f"{without.name} has no weight; give all sources one, or none of them")
