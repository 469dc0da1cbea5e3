"""The least change that makes a run fit, each checked by estimating it again.

Changes are tried from those that change nothing but time to those that change what is trained:
first each alone, then together, as many as it takes.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from inspect import signature
from typing import Any

from xtune.config.recipe import recipe_of
from xtune.config.rules import divisible_optimizer
from xtune.config.strategies import SHARDINGS, Sharding, Traits, sharding_of_sheet
from xtune.errors import ConfigError, ModelError
from xtune.models.precision import Precision
from xtune.models.vocabulary import Pieces
from xtune.planning.drafts import Drafts
from xtune.planning.requirement import FULL, DeviceMemory, MicroBatch, Requirement, need_of
from xtune.registry import DATASETS, MODELS, resolve

__all__ = ["Advice", "Change", "advice_for", "advice_lines"]

_SMALL_CHUNK = 64  # positions; smaller ones make the products slow
_SHORTEST = 256  # tokens
_OF_WEIGHTS = ("strategy.", "model.llm.")
_CHANGE_WEIGHTS = ("model.adapter", "model.precompute_reference")
_LEAST_RANK = 8
# Those that the last word of their key does not name
_KNOBS = {"model.adapter": "lora", "model.adapter.r": "lora.r"}


@dataclass(frozen=True, slots=True)
class Change:
    """One thing to change.

    Attributes:
        option: what goes behind --cfg-options; empty if it is a flag.
        flag: of `xtune train`.
        cost: in words.
        values: dotted key -> value, what it does to the sheet.
        sharding: the strategy, if it is another.
    """

    option: str
    flag: str
    cost: str
    values: Mapping[str, Any]
    sharding: Sharding | None = None

    @property
    def touches_weights(self) -> bool:
        """Whether the weights on a device take another room with it."""
        return any(key.startswith(_OF_WEIGHTS) or key in _CHANGE_WEIGHTS for key in self.values)


@dataclass(frozen=True, slots=True)
class Advice:
    """Changes that make a run fit together, and what it then needs."""

    changes: tuple[Change, ...]
    need: Requirement

    @property
    def words(self) -> str:
        """What to add to the command."""
        options = " ".join(change.option for change in self.changes if change.option)
        flags = " ".join(change.flag for change in self.changes if change.flag)
        return f"{flags} {'--cfg-options ' + options if options else ''}".strip()


def advice_for(
    cfg: Mapping[str, Any],
    precision: Precision,
    place: DeviceMemory,
    *,
    need: Requirement | None = None,
    largest: MicroBatch = FULL,
    pieces: Pieces | None = None,
) -> Advice | None:
    """Find the least change with which a run fits, or None.

    Args:
        cfg: the values of a sheet that does not.
        precision: of the run.
        place: where it is to fit.
        need: what it needs as it is, if that is known.
        largest: the largest micro-batch.
        pieces: the tokens that the run adds.
    """
    drafts = Drafts()

    def estimate(changes: Sequence[Change]) -> Requirement:
        changed = _changed(cfg, changes)
        return need_of(changed, precision, place, largest=largest, pieces=pieces, drafts=drafts)

    trial = _Trials(estimate, place)
    if need is not None:
        trial.learn((), need)
    return _least(list(_changes(cfg, place, max(largest.rows(recipe_of(cfg))))), trial)


class _Trials:
    """Estimates, each once, but for those that cannot end well: weights alone are too many.

    Args:
        need: estimates a run under some changes.
        place: where it is to fit.
    """

    def __init__(
        self, need: Callable[[Sequence[Change]], Requirement], place: DeviceMemory
    ) -> None:
        self._need = need
        self._place = place
        self._weights: dict[tuple[str, ...], float] = {}
        self._known: dict[tuple[str, ...], Requirement | None] = {}

    def learn(self, changes: Sequence[Change], need: Requirement) -> None:
        """Remember what the weights take under some changes."""
        self._weights[_of_weights(changes)] = need.weights_gib

    def __call__(self, changes: Sequence[Change]) -> Requirement | None:
        """Return what the run then needs if it fits and is not refused, else None.

        Raises:
            ModelError: it cannot be run with these changes.
        """
        key = _words(changes)
        if key not in self._known:
            self._known[key] = self._asked(changes)
        return self._known[key]

    def _asked(self, changes: Sequence[Change]) -> Requirement | None:
        # An estimate takes seconds; no shorter sample makes room for weights that do not fit.
        if not self._place.has_room(self._weights.get(_of_weights(changes), 0.0)):
            return None
        found = self._need(changes)
        self.learn(changes, found)
        return found if found.fits(self._place) and found.refusal is None else None


def _words(changes: Sequence[Change]) -> tuple[str, ...]:
    return tuple(change.flag or change.option for change in changes)


def _of_weights(changes: Sequence[Change]) -> tuple[str, ...]:
    return _words([change for change in changes if change.touches_weights])


def _least(changes: list[Change], trial: _Trials) -> Advice | None:
    possible: list[Change] = []
    for change in changes:
        try:
            found = trial((change,))
        except ModelError:
            continue
        if found is not None:
            return Advice((change,), found)
        possible.append(change)
    taken: list[Change] = []
    for change in possible:
        taken = [one for one in taken if not _excludes(change, one)] + [change]
        if (found := _tried(trial, taken)) is not None:
            return _without_what_is_not_needed(taken, found, trial)
    return None


def _tried(trial: _Trials, changes: Sequence[Change]) -> Requirement | None:
    try:
        return trial(changes)
    except ModelError:
        return None


def _excludes(later: Change, one: Change) -> bool:
    """Whether a change takes the place of an earlier one: it sets the same, or cannot go with it.

    A shorter length, more offload; and ZeRO 3 divides no 4-bit weights, and no 8-bit state.
    """
    refused = _refuses(one, quantized="model.llm.quantization" in later.values)
    return refused or not one.values.keys().isdisjoint(later.values)


def _refuses(change: Change, *, quantized: bool) -> bool:
    """Whether the strategy that a change brings does not train such weights."""
    traits = Traits(quantized=quantized)
    return change.sharding is not None and change.sharding.refuses(traits) is not None


def _without_what_is_not_needed(taken: list[Change], found: Requirement, trial: _Trials) -> Advice:
    for change in list(taken[:-1]):
        fewer = [one for one in taken if one is not change]
        if (less := _tried(trial, fewer)) is not None:
            taken, found = fewer, less
    return Advice(tuple(taken), found)


def _changes(cfg: Mapping[str, Any], place: DeviceMemory, longest: int) -> Iterator[Change]:
    recipe, model = recipe_of(cfg), cfg["model"]
    strategy, optimizer = recipe.strategy, recipe.optimizer
    quantized, with_adapter = recipe.quantization is not None, recipe.trains_adapter
    makes_logits = "loss_chunk_size" in signature(resolve(MODELS, model["type"])).parameters
    if makes_logits and model.get("loss_chunk_size", 256) > _SMALL_CHUNK:
        yield _set(cfg, "model.loss_chunk_size", _SMALL_CHUNK, "the same result")
    if not recipe.checkpointing:
        yield _set(
            cfg, "model.gradient_checkpointing", True, "the same result, a third to a half slower"
        )
    if _may_precompute(cfg):
        told = {"model.precompute_reference": True}
        knob = "algorithm" if "algorithm" in cfg else "model"
        cost = "nearly the same result: the reference is run before the training, and let go"
        yield Change(f"{knob}.precompute_reference=True", "", cost, told)
    whole = [one for one in SHARDINGS.values() if one.type == strategy and not one.divided]
    if place.devices > 1 and whole:
        for stage in (2, 3):
            change = _deepspeed(cfg, f"deepspeed_zero{stage}")
            if not _refuses(change, quantized=quantized):
                yield change
        yield Change(
            "",
            "--strategy fsdp",
            "the same result, more to exchange",
            {
                "strategy.type": "FSDPStrategy",
                "optimizer.type": divisible_optimizer(optimizer),
            },
            SHARDINGS["fsdp"],
        )
    if place.kind == "cuda":
        if optimizer == "AdamW" and whole:
            yield _set(cfg, "optimizer.type", "PagedAdamW8bit", "moments in 8 bits")
        if not model.get("activation_offload"):
            yield _offload(cfg)
        if whole == [SHARDINGS["single"]] and not with_adapter:
            yield _deepspeed(cfg, "deepspeed_zero2_offload")
            yield _deepspeed(cfg, "deepspeed_zero3_offload")
    if not with_adapter:
        adapter = {"type": "LoraConfig", "r": 16, "lora_alpha": 32}
        yield _set(cfg, "model.adapter", adapter, "LoRA: an adapter is trained, not all weights")
    if not quantized:
        four = {"bits": 4}
        yield _set(cfg, "model.llm.quantization", four, "QLoRA: the frozen weights in 4 bits")
    rank = (recipe.adapter or {}).get("r", 0)
    while isinstance(rank, int) and (rank := rank // 2) >= _LEAST_RANK:
        yield _set(cfg, "model.adapter.r", rank, "a smaller adapter")
    length = recipe.max_length or 0
    while (length := length // 2) >= _SHORTEST:
        if length < longest:  # no row is as long as a greater one: nothing would change
            yield _set(cfg, "train_dataset.max_length", length, "longer samples are cut")


def _may_precompute(cfg: Mapping[str, Any]) -> bool:
    """Whether a reference is a model in memory, and what it says can be known beforehand."""
    model = cfg["model"]
    if model.get("ref") is None or model.get("precompute_reference"):
        return False
    algorithm: Any = resolve(MODELS, model["type"])
    try:
        algorithm.require_settings({**model, "precompute_reference": True})
    except ConfigError:
        return False
    return hasattr(resolve(DATASETS, cfg["train_dataset"]["type"]), "attach")


def _set(cfg: Mapping[str, Any], key: str, value: Any, cost: str) -> Change:
    """By its knob where the sheet has one: everything derived from it follows."""
    knob = _KNOBS.get(key) or key.rsplit(".", 1)[-1]
    name = knob if knob.partition(".")[0] in cfg else key
    text = f"{name}={value}"
    return Change(f'"{text}"' if " " in text else text, "", cost, {key: value})


def _offload(cfg: Mapping[str, Any]) -> Change:
    """Only what a checkpointed layer keeps can wait elsewhere."""
    keys = ["model.activation_offload"]
    if not cfg["model"].get("gradient_checkpointing"):
        keys.insert(0, "model.gradient_checkpointing")
    cost = "the same result, slower: what layers keep waits in the host's memory"
    parts = [_set(cfg, key, True, cost) for key in keys]
    values = dict.fromkeys(keys, True)
    return Change(" ".join(part.option for part in parts), "", cost, values)


def _deepspeed(cfg: Mapping[str, Any], name: str) -> Change:
    needs = "needs the package: pip install deepspeed"
    cost = f"the same result, {'slower; ' if 'offload' in name else ''}{needs}"
    values = {
        "strategy.type": "DeepSpeedStrategy",
        "strategy.config": name,
        "optimizer.type": divisible_optimizer(cfg["optimizer"]["type"]),
    }
    strategy = {"type": "DeepSpeedStrategy", "config": name}
    return Change("", f"--deepspeed {name}", cost, values, sharding_of_sheet(strategy))


def _changed(cfg: Mapping[str, Any], changes: Sequence[Change]) -> Mapping[str, Any]:
    changed: Any = copy.deepcopy(dict(cfg))
    for change in changes:
        for key, value in change.values.items():
            *above, last = key.split(".")
            node = changed
            for part in above:
                node = node[part]
            node[last] = copy.deepcopy(value)
    # 4-bit weights are not trained themselves.
    if changed["model"].get("adapter") is None:
        changed["model"]["llm"].pop("quantization", None)
    return changed


def advice_lines(advice: Advice | None, place: DeviceMemory) -> Iterator[str]:
    """Yield what a user reads about a run that does not fit.

    Args:
        advice: what was found, or None.
        place: where the run is to fit.
    """
    has = f"{place.gib:.1f} GiB" if place.gib is not None else "what there is"
    if advice is None:
        yield (
            f"nothing that is tried here makes it fit {has}: take a smaller model, a larger card, "
            "or several (`xtune scaling CONFIG`)"
        )
        return
    before = f"NPROC_PER_NODE={place.devices} " if place.devices > 1 else ""
    yield f"it fits with: {before}xtune train CONFIG {advice.words}"
    yield f"  {advice.need.line}"
    if advice.need.host:
        each = " for each device" if place.devices > 1 else ""
        yield f"  besides, {advice.need.host / 2**30:.1f} GiB of the host's memory{each}"
    for change in advice.changes:
        yield f"  {change.flag or change.option}: {change.cost}"
