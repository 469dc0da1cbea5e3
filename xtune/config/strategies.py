"""The strategies that there are: what a sheet calls each, what it divides, what it cannot train.

A new one is a class in `xtune/engine/strategies/` and an entry of `SHARDINGS`. The command line,
the check, estimates, plans and the run itself ask the entry; nothing here imports torch.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from xtune.config.deepspeed import read_engine_settings

__all__ = [
    "SHARDINGS",
    "STRATEGY_WORDS",
    "Refusal",
    "Sharding",
    "Traits",
    "divides_state",
    "sharding_of_sheet",
]


class Traits(NamedTuple):
    """What of a model a strategy may be unable to train.

    Attributes:
        family_apart: the family, if its documents are run one by one; '' if they are not.
        quantized: its weights are.
        adapter_on_head: an adapter changes the head.
        shares_base: several of its models have the same frozen weights.
    """

    family_apart: str = ""
    quantized: bool = False
    adapter_on_head: bool = False
    shares_base: bool = False


class Refusal(NamedTuple):
    """Why a strategy does not train a model: the key of the sheet, what is wrong, what to do."""

    key: str
    message: str
    hint: str

    def __str__(self) -> str:
        return f"{self.message}: {self.hint}"


@dataclass(frozen=True, slots=True)
class Sharding:
    """A strategy: which kinds of state it divides among processes, and which the host keeps.

    Attributes:
        name: in plans and estimates; with '+offload' if anything is kept by the host.
        type: in a sheet, the name of its class.
        processes: how many it is for.
        divided: of 'weights', 'gradients', 'optimizer'.
        offloaded: the same; the device uses a copy that comes and goes.
        adds_up: whether gradients are exchanged once a step, not in every micro-batch.
        adds_up_adapter: whether an adapter's are, added up whole on each device until then.
        zero: DeepSpeed's stage; 0 for a strategy of torch's.
        quantized: whether it can train on quantized weights.
        adapter_on_head: whether it can train an adapter on the head.
    """

    name: str
    type: str
    processes: Literal["one", "several", "any"]
    divided: frozenset[str] = frozenset()
    offloaded: frozenset[str] = frozenset()
    adds_up: bool = True
    adds_up_adapter: bool = False
    zero: int = 0
    quantized: bool = True
    adapter_on_head: bool = True

    @property
    def plain(self) -> str:
        """Its name without '+offload'."""
        return self.name.removesuffix("+offload")

    @property
    def words(self) -> str:
        """What a user reads in an error: 'ZeRO 3', 'FSDPStrategy'."""
        return f"ZeRO {self.zero}" if self.zero else self.type

    def refuses(self, traits: Traits) -> Refusal | None:
        """Return why it does not train a model, or None.

        Args:
            traits: the model's.
        """
        if "weights" in self.divided and traits.family_apart:
            return Refusal(
                "strategy.type",
                f"{traits.family_apart} is run document by document, and the processes of "
                f"{self.words} would not run it equally often",
                "use DDPStrategy, or ZeRO 1 or 2 (--deepspeed deepspeed_zero2)",
            )
        if self.divided and traits.shares_base:
            return Refusal(
                "strategy.type",
                "the critic is an adapter on the policy's base, and processes that divide that "
                "would divide it for one of the two",
                "use DDPStrategy; or train every weight, with a critic of its own",
            )
        if traits.quantized and not self.quantized:
            return Refusal(
                "model.llm.quantization",
                f"{self.words} cannot part quantized weights",
                "--strategy fsdp can; --deepspeed deepspeed_zero2 holds them whole on each device",
            )
        if traits.adapter_on_head and not self.adapter_on_head:
            # Such a head is called once for each chunk of trained tokens, of which one process has
            # more than another, and each call puts the head together on all of them.
            return Refusal(
                "model.adapter.target_modules",
                f"{self.words} cannot train an adapter on the head",
                "leave the head out of lora.target_modules, train it whole "
                "(lora.modules_to_save=['lm_head']), or use --strategy fsdp or "
                "--deepspeed deepspeed_zero2",
            )
        return None


_OPTIMIZER = frozenset({"optimizer"})
_STAGE_2 = _OPTIMIZER | {"gradients"}
_STAGE_3 = _STAGE_2 | {"weights"}


def _zero(stage: int, divided: frozenset[str], *, offload: bool = False) -> Sharding:
    return Sharding(
        f"zero{stage}" + ("+offload" if offload else ""),
        "DeepSpeedStrategy",
        "any",
        divided,
        divided if offload else frozenset(),
        adds_up=stage == 1,
        zero=stage,
        quantized=stage < 3,
        adapter_on_head=stage < 3,
    )


def _fsdp(name: str, offloaded: frozenset[str] = frozenset()) -> Sharding:
    return Sharding(
        name, "FSDPStrategy", "several", _STAGE_3, offloaded, adds_up=False, adds_up_adapter=True
    )


SHARDINGS = {
    sharding.name: sharding
    for sharding in (
        Sharding("single", "SingleStrategy", "one"),
        Sharding("ddp", "DDPStrategy", "several"),
        _zero(1, _OPTIMIZER),
        _zero(2, _STAGE_2),
        _zero(2, _STAGE_2, offload=True),
        _zero(3, _STAGE_3),
        _zero(3, _STAGE_3, offload=True),
        _fsdp("fsdp"),
        _fsdp("fsdp+offload", _STAGE_3),
    )
}

# What --strategy takes -> the class: 'fsdp' -> 'FSDPStrategy'
STRATEGY_WORDS = {
    sharding.type.removesuffix("Strategy").lower(): sharding.type for sharding in SHARDINGS.values()
}


def divides_state(strategy: Any) -> bool:
    """Return whether each process holds a part of the training state only.

    Args:
        strategy: a sheet's `strategy.type`.
    """
    return any(one.divided for one in SHARDINGS.values() if one.type == strategy)


def sharding_of_sheet(strategy: Mapping[str, Any], devices: int = 1) -> Sharding:
    """Return the entry of `SHARDINGS` that a sheet's `strategy` stands for.

    What divides nothing, and a class of the user's own, is 'single' or, on several devices, 'ddp',
    as `xtune train` makes it.

    Args:
        strategy: the sheet's section.
        devices: how many.

    Raises:
        ConfigError: DeepSpeed's JSON cannot be read.
    """
    stage, offloads = 0, bool(strategy.get("offload"))
    if strategy["type"] == "DeepSpeedStrategy":
        zero = read_engine_settings(strategy["config"]).get("zero_optimization", {})
        stage = zero.get("stage", 0)
        kept = zero.get("offload_param" if stage == 3 else "offload_optimizer")
        offloads = bool(kept) and stage > 1
    wanted = (strategy["type"], stage, offloads)
    for one in SHARDINGS.values():
        if one.divided and (one.type, one.zero, bool(one.offloaded)) == wanted:
            return one
    return SHARDINGS["single" if devices == 1 else "ddp"]
