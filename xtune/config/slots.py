"""The places of a sheet: what stands in each, and what may be said there.

A slot is a dict with a `type` that is looked up in one registry. The dicts without a `type` have
their arguments written down here as functions, so that both kinds are checked alike.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from typing import Any, Literal, NamedTuple

from mmengine.registry import Registry

from xtune import registry
from xtune.config.declared import declared, declared_names
from xtune.config.signatures import Form
from xtune.errors import RegistryError

__all__ = [
    "REQUIRED_KEYS",
    "SHEET_KEYS",
    "Named",
    "Slot",
    "defaults",
    "form_of",
    "named",
    "plain",
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
    """

    key: str
    registry: Registry
    cfg: Any
    supplied: tuple[str, ...] = ()
    defaults: tuple[str, ...] = ()
    apart: tuple[str, ...] = ()

    def form(self) -> Form:
        """Return what its type may be given.

        Raises:
            RegistryError: the type is unknown.
        """
        return Form(_target(self.registry, self.cfg["type"]), self.supplied, self.defaults)


def _target(room: Registry, named: Any) -> Any:
    """What a name stands for; its declaration alone where this says enough."""
    if isinstance(named, str):
        read = room.module_dict.get(named) or declared(room, named)
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


def train_dataloader(*, batch_size: int, num_workers: int = 0, shuffle: bool = True) -> None:
    """Micro-batches of `batch_size` packs on each device."""


def mixture_source(
    *,
    data_path: Any,
    map_fn: Any = None,
    split: str = "train",
    max_rows: int | None = None,
    epochs: float | None = None,
    weight: float | None = None,
    seed: int = 0,
) -> None:
    """One source of a mixture; see xtune/data/mixture.py."""


def vocabulary(
    *, init: Literal["subtokens", "mean"] = "subtokens", pad_to_multiple_of: int | None = None
) -> None:
    """How the rows of added tokens begin, and what the number of rows is a multiple of."""


def clip_grad(*, max_norm: float) -> None:
    """Gradients are scaled down to this norm."""


def paramwise_cfg(*, custom_keys: dict[str, dict[str, float]]) -> None:
    """Per part of a parameter's name: `lr_mult`, `decay_mult`."""


def parallel(*, sequence_parallel_size: int = 1) -> None:
    """How many processes share each row of tokens; 1: each has rows of its own."""


def env_cfg(*, hang_timeout: float | None = 600.0) -> None:
    """Seconds that one process of several may stand still before all end; None: for ever."""


def randomness(*, seed: int) -> None:
    """The one seed of data order, adapter weights and dropout."""


# Sections of a sheet whose dict has no `type`
_PLAIN: dict[str, Callable[..., None] | str] = {
    "tokenizer": "xtune.models.tokenizer.load_tokenizer",
    "model.vocabulary": vocabulary,
    "train_dataloader": train_dataloader,
    "clip_grad": clip_grad,
    "paramwise_cfg": paramwise_cfg,
    "parallel": parallel,
    "randomness": randomness,
    "env_cfg": env_cfg,
}

_DATA = ("train_dataset", "val_dataset", "test_cfg")

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
    "test_cfg",
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
    """Yield every slot of a sheet that holds something."""
    model = values.get("model")
    if model is not None:
        yield Slot(
            "model", registry.MODELS, model, apart=("adapter", "adapter_folder", "vocabulary")
        )
    for key, inner in model.items() if isinstance(model, Mapping) else ():
        if key == "adapter" and inner is not None:
            yield Slot("model.adapter", registry.ADAPTERS, inner)
        elif isinstance(inner, Mapping) and "type" in inner:
            yield Slot(f"model.{key}", registry.MODELS, inner, supplied=("device",))
    for key in ("train_dataset", "val_dataset"):
        if values.get(key) is not None:
            yield Slot(key, registry.DATASETS, values[key], supplied=("tokenizer",))
    for key, its_registry, supplied in (
        ("optimizer", registry.OPTIMIZERS, ("params",)),
        ("param_scheduler", registry.SCHEDULES, ()),
        ("train_cfg", registry.TRAIN_LOOPS, ()),
        ("strategy", registry.STRATEGIES, ()),
        ("test_cfg", registry.EVALUATIONS, ()),
    ):
        if values.get(key) is not None:
            yield Slot(key, its_registry, values[key], supplied=supplied)
    for key, cfg in _hooks(values):
        yield Slot(key, registry.HOOKS, cfg)
    for key, data in _data(values):
        map_fn = data.get("map_fn")
        if isinstance(map_fn, Mapping):
            yield Slot(f"{key}.map_fn", registry.MAP_FNS, map_fn, supplied=("row",))
        source = data.get("data_path")
        if isinstance(source, Mapping):
            yield Slot(f"{key}.data_path", registry.SOURCES, source, defaults=("split",))


def named(values: Mapping[str, Any]) -> Iterator[Named]:
    """Yield every map_fn and every template that a sheet names."""
    for key, data in _data(values):
        map_fn, template = data.get("map_fn"), data.get("template")
        by_name = not isinstance(map_fn, Mapping) and (map_fn != "auto" or key == "test_cfg")
        if map_fn is not None and by_name:
            yield Named(f"{key}.map_fn", registry.MAP_FNS, map_fn)
        if template not in (None, "auto"):
            yield Named(f"{key}.template", registry.TEMPLATES, template)


def plain(values: Mapping[str, Any]) -> Iterator[tuple[str, Any, Form]]:
    """Yield the sections without a `type` that hold something, with what they may say."""
    for key, target in _PLAIN.items():
        section: Any = values
        for part in key.split("."):
            section = _get(section, part)
        if section is not None:
            yield key, section, Form(_target(registry.MODELS, target))
    for key, data in _data(values):
        if key not in _DATA:
            yield key, data, Form(mixture_source)


def form_of(values: Mapping[str, Any], owner: Mapping[str, Any]) -> Form | None:
    """Return what may be said in the very dict `owner` of a sheet, or None when nobody knows.

    `values` must hold the sheet's own objects, so that a knob `lora` is known for the dict that
    stands in `model.adapter`.
    """
    for slot in slots(values):
        if slot.cfg is owner and "type" in owner:
            try:
                return slot.form()
            except RegistryError:  # the check says so
                return None
    return next((form for _, cfg, form in plain(values) if cfg is owner), None)


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


def _data(values: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Every section that names data, and every source of a mixture."""
    for key in _DATA:
        section = values.get(key)
        if not isinstance(section, Mapping):
            continue
        yield key, section
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


def _get(section: Any, key: str) -> Any:
    return section.get(key) if isinstance(section, Mapping) else None
