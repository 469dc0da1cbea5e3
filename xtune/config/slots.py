"""The places of a sheet: what stands in each, and what may be said there.

A slot is a dict with a `type` that is looked up in one registry. A section's registry is written
down here; what lies in a section, at any depth, has the one that its parameter is annotated with:

    def __init__(self, *, rewards: Annotated[Sequence[dict[str, Any]], REWARDS]) -> None:

Sections without a `type` have their arguments written down in plain_sections.py as functions, so
that both kinds are checked alike.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any, NamedTuple

from mmengine.registry import Registry

from xtune import registry
from xtune.config.declared import declared, declared_names
from xtune.config.plain_sections import PLAIN, mixture_source
from xtune.config.signatures import Form
from xtune.errors import RegistryError

__all__ = [
    "REQUIRED_KEYS",
    "SHEET_KEYS",
    "Named",
    "Slot",
    "defaults",
    "form_of",
    "keys_of",
    "named",
    "plain",
    "slot_in",
    "slots",
]


class Slot(NamedTuple):
    """A dict with a `type`, at a dotted key.

    Attributes:
        key: where it stands.
        registry: where its type is looked up.
        cfg: what stands there; anything at all before it is checked.
        supplied: arguments that the builder passes in addition.
        defaults: arguments that the builder passes where the config does not.
        apart: keys that are built on their own and do not go to this type.
        off: an argument that may be None where nothing is to be built, or ''.
    """

    key: str
    registry: Registry
    cfg: Any
    supplied: tuple[str, ...] = ()
    defaults: tuple[str, ...] = ()
    apart: tuple[str, ...] = ()
    off: str = ""

    @property
    def given(self) -> dict[str, Any]:
        """The arguments that it gives to its type."""
        not_given = {"type", *self.apart}
        if self.off and self.cfg.get(self.off, ...) is None:
            not_given.add(self.off)
        return {key: value for key, value in self.cfg.items() if key not in not_given}

    def form(self) -> Form:
        """Return what its type may be given.

        Raises:
            RegistryError: the type is unknown.
        """
        defaults = (*self.defaults, self.off) if self.off else self.defaults
        return Form(_target(self.registry, self.cfg["type"]), self.supplied, defaults)


def _target(room: Registry, named: Any) -> Any:
    """What a name stands for; its declaration alone where this says enough."""
    if isinstance(named, str):
        real = room.module_dict.get(named)
        is_own = getattr(real, "__module__", "xtune.").startswith("xtune.")
        # xtune's own are read whether they have been imported or not: there is one way to judge
        read = (declared(room, named) if is_own else None) or real
        if read is not None:
            return read
        if "." not in named and named not in (known := declared_names(room)):
            raise registry.unknown(room, named, known)
    return registry.resolve(room, named)


class Named(NamedTuple):
    """A value that is itself a registered name: a map_fn or a template."""

    key: str
    registry: Registry
    value: Any


# Sections with a `type`, next to model and hooks
_ROOMS: dict[str, Registry] = {
    "train_dataset": registry.DATASETS,
    "val_dataset": registry.DATASETS,
    "optimizer": registry.OPTIMIZERS,
    "param_scheduler": registry.SCHEDULES,
    "train_cfg": registry.TRAIN_LOOPS,
    "strategy": registry.STRATEGIES,
    "test_cfg": registry.EVALUATIONS,
}
# Sections of what is measured, and what an entry says besides its task's own arguments: how often
# while training, and on how many items
_MEASURED = ("evaluations", "test_cfg")
_WHEN_MEASURED = ("every", "rows")
# By a registry's name: arguments that its builder passes, always or where a sheet does not
_SUPPLIED = {
    "dataset": ("tokenizer",),
    "optimizer": ("params",),
    "map_fn": ("row",),
    "reward": ("answers",),
}
_DEFAULTS = {"source": ("split",)}

REQUIRED_KEYS = (
    "tokenizer",
    "model",
    "train_dataset",
    "train_dataloader",
    "optimizer",
    "param_scheduler",
    "train_cfg",
    "strategy",
    "randomness",
)
_OPTIONAL_KEYS = (
    "val_dataset",
    "evaluations",
    "test_cfg",  # of older sheets: their only evaluation
    "clip_grad",
    "paramwise_cfg",
    "parallel",
    "default_hooks",
    "custom_hooks",
    "env_cfg",
    "work_dir",
)
SHEET_KEYS = REQUIRED_KEYS + _OPTIONAL_KEYS


def slots(values: Mapping[str, Any]) -> Iterator[Slot]:
    """Yield every slot of a sheet that holds something: its sections, and what lies in them."""
    yield from _placed_slots(values)
    for key, data in (*_data(values), *_mixed(values)):
        if isinstance(data.get("map_fn"), Mapping):
            yield slot_in(f"{key}.map_fn", registry.MAP_FNS, data["map_fn"])
        if isinstance(data.get("data_path"), Mapping):
            yield slot_in(f"{key}.data_path", registry.SOURCES, data["data_path"])


def named(values: Mapping[str, Any]) -> Iterator[Named]:
    """Yield whatever a sheet names by its registered name alone: map_fns and templates, mostly."""
    for slot in _sections(values):
        yield from (one for one in _inside(slot) if isinstance(one, Named))
    for key, data in (*_data(values), *_mixed(values)):
        map_fn, template = data.get("map_fn"), data.get("template")
        is_measured = key.startswith(_MEASURED)
        by_name = not isinstance(map_fn, Mapping) and (map_fn != "auto" or is_measured)
        if map_fn is not None and by_name:
            yield Named(f"{key}.map_fn", registry.MAP_FNS, map_fn)
        if template not in (None, "auto"):
            yield Named(f"{key}.template", registry.TEMPLATES, template)


def plain(values: Mapping[str, Any]) -> Iterator[tuple[str, Any, Form]]:
    """Yield the sections without a `type` that hold something, with what they may say."""
    for key, target in PLAIN.items():
        section: Any = values
        for part in key.split("."):
            section = _get(section, part)
        if section is not None:
            yield key, section, Form(_target(registry.MODELS, target))
    for key, data in _mixed(values):
        yield key, data, Form(mixture_source)


def form_of(values: Mapping[str, Any], owner: Mapping[str, Any]) -> Form | None:
    """Return what may be said in the very dict `owner` of a sheet, or None when nobody knows.

    `values` must hold the sheet's own objects, so that a knob `lora` is known for the dict that
    stands in `model.adapter`, and `algorithm` for the one that `model` begins with.

    Args:
        values: the sheet's.
        owner: a dict of them.
    """
    for slot in slots(values):
        if "type" in owner and (slot.cfg is owner or _begins_with(slot.cfg, owner)):
            try:
                return slot.form()
            except RegistryError:  # the check says so
                return None
    return next((form for _, cfg, form in plain(values) if cfg is owner), None)


def keys_of(values: Mapping[str, Any], argument: str) -> list[str]:
    """Return the keys of the dict that some place of a sheet takes as `argument`; [] if any goes.

    >>> keys_of({'model': {'type': 'CausalLM'}}, 'quantization')
    ['bits', 'quant_type', 'double_quant', 'compute_dtype']

    Args:
        values: the sheet's.
        argument: its name, which a knob that it is made of has too: 'quantization'.
    """
    for slot in slots(values):
        with suppress(RegistryError, KeyError, TypeError):  # the check says so
            if keys := slot.form().keys_of(argument):
                return keys
    return []


def defaults(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return every dotted key that a sheet may leave out, with what is taken where it does.

    >>> defaults({'parallel': {}})
    {'parallel.sequence_parallel_size': 1}
    """
    forms = [(key, form) for key, _, form in plain(values)]
    for slot in slots(values):
        with suppress(RegistryError, KeyError, TypeError):  # the check says so
            forms.append((slot.key, slot.form()))
    made = {f"{key}.{name}": value for key, form in forms for name, value in form.usual.items()}
    # Factors in the loss: one that is not named is 1
    weights = ((f"{key}.loss_weights", data.get("loss_weights")) for key, data in _data(values))
    made |= {f"{key}.{kind}": 1.0 for key, given in weights if given for kind in given}
    return made


def _begins_with(cfg: Any, owner: Mapping[str, Any]) -> bool:
    """Whether `cfg` may be `dict(owner, …)`."""
    return isinstance(cfg, Mapping) and all(cfg.get(key, ...) is owner[key] for key in owner)


def _sections(values: Mapping[str, Any]) -> Iterator[Slot]:
    """The slots that a sheet itself has."""
    model = values.get("model")
    if model is not None:
        whole = Slot(
            "model", registry.MODELS, model, apart=("adapter", "adapter_folder", "vocabulary")
        )
        yield whole
        elsewhere = _placed_elsewhere(whole)
    for key, inner in model.items() if isinstance(model, Mapping) else ():
        if key == "adapter" and inner is not None:
            yield slot_in("model.adapter", registry.ADAPTERS, inner)
        elif isinstance(inner, Mapping) and "type" in inner and key not in elsewhere:
            yield Slot(f"model.{key}", registry.MODELS, inner, supplied=("device",))
    for key, room in _ROOMS.items():
        if values.get(key) is not None:
            slot = slot_in(key, room, values[key])
            yield slot._replace(off="data_path") if key == "val_dataset" else slot
    for key, cfg in _evaluations(values):
        yield Slot(key, registry.EVALUATIONS, cfg, apart=_WHEN_MEASURED)
    for key, cfg in _hooks(values):
        yield slot_in(key, registry.HOOKS, cfg)


def _placed_elsewhere(model: Slot) -> set[str]:
    """The arguments of an algorithm that are no models, by the annotations of its parameters."""
    if not isinstance(model.cfg, Mapping):
        return set()
    try:
        form = model.form()
    except (RegistryError, KeyError, TypeError):  # the check says so
        return set()
    return {one.argument for one in form.placed(model.given) if one.registry is not registry.MODELS}


def _placed_slots(values: Mapping[str, Any]) -> Iterator[Slot]:
    for slot in _sections(values):
        yield slot
        yield from (one for one in _inside(slot) if isinstance(one, Slot))


def _inside(slot: Slot) -> Iterator[Slot | Named]:
    """What lies in a slot, at any depth, and is looked up in the registry of its parameter."""
    if not isinstance(slot.cfg, Mapping):
        return
    try:
        form = slot.form()
    except (RegistryError, KeyError, TypeError):  # the check says so
        return
    for argument, room, value in form.placed(slot.given):
        key = f"{slot.key}.{argument}"
        if isinstance(value, str) or callable(value):
            yield Named(key, room, value)
        else:
            inner = slot_in(key, room, value)
            yield inner
            yield from _inside(inner)


def slot_in(key: str, room: Registry, cfg: Any) -> Slot:
    """Return the slot of a dict whose type is in a registry, with what its builder passes.

    Args:
        key: where it stands.
        room: the registry.
        cfg: what stands there.
    """
    return Slot(key, room, cfg, _SUPPLIED.get(room.name, ()), _DEFAULTS.get(room.name, ()))


def _data(values: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Every section that names data, and whatever in another one does."""
    for slot in _placed_slots(values):
        reads = slot.registry in (registry.DATASETS, registry.EVALUATIONS)
        if reads and isinstance(slot.cfg, Mapping):
            yield slot.key, slot.cfg


def _mixed(values: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Every source of a mixture."""
    for key, section in _data(values):
        paths = section.get("data_path")
        for number, source in enumerate(paths if isinstance(paths, list | tuple) else ()):
            if isinstance(source, Mapping):
                yield f"{key}.data_path.{number}", source


def _hooks(values: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    default, custom = values.get("default_hooks"), values.get("custom_hooks")
    for key, cfg in default.items() if isinstance(default, Mapping) else ():
        if cfg is not None:  # None switches a default hook off
            yield f"default_hooks.{key}", cfg
    for number, cfg in enumerate(custom if isinstance(custom, list | tuple) else ()):
        yield f"custom_hooks.{number}", cfg


def _evaluations(values: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    listed = values.get("evaluations")
    for number, cfg in enumerate(listed if isinstance(listed, list | tuple) else ()):
        yield f"evaluations.{number}", cfg


def _get(section: Any, key: str) -> Any:
    return section.get(key) if isinstance(section, Mapping) else None
