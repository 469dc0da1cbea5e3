"""One mmengine Registry per room that takes plug-ins, and how a name becomes an object.

A registry scans its folder the first time a name is looked up, so that adding a plug-in is
adding a file. In a config an object may be named in three ways:

    type='AdamW'                     a name registered here
    type='torch.optim.SGD'           a dotted path
    type='my_code/loss.py:MyLoss'    a name in a Python file of the user's own

or be the function or class itself, when the config defines or imports it.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import inspect
import pkgutil
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from mmengine.registry import Registry

from xtune.errors import RegistryError, did_you_mean

__all__ = [
    "ADAPTERS",
    "ADVANTAGES",
    "DATASETS",
    "EVALUATIONS",
    "FAMILIES",
    "HOOKS",
    "MAP_FNS",
    "MODELS",
    "OPTIMIZERS",
    "PAIR_LOSSES",
    "POLICY_LOSSES",
    "REWARDS",
    "REWARD_LOSSES",
    "SCHEDULES",
    "SOURCES",
    "STRATEGIES",
    "TEMPLATES",
    "TOOLS",
    "TRAIN_LOOPS",
    "UNPAIRED_LOSSES",
    "build",
    "look_next_to",
    "names",
    "names_alone",
    "require_whole",
    "resolve",
    "unknown",
]


def _registry(name: str, *scanned: str) -> Registry:
    """A registry whose plug-ins live in the modules, or the modules of the packages, `scanned`."""
    return Registry(name, scope="xtune", locations=list(scanned))


SOURCES = _registry("source", "xtune.data.sources", "xtune.demos")
MAP_FNS = _registry("map_fn", "xtune.data.map_fns")
TEMPLATES = _registry("template", "xtune.data.templates")
DATASETS = _registry("dataset", "xtune.data")
MODELS = _registry("model", "xtune.models", "xtune.models.algorithms")
FAMILIES = _registry("family", "xtune.models.families")
ADAPTERS = _registry("adapter", "xtune.models.adapters")
PAIR_LOSSES = _registry("pair loss", "xtune.losses.preference")
POLICY_LOSSES = _registry("loss of sampled answers", "xtune.losses.policy")
ADVANTAGES = _registry("advantage", "xtune.losses.advantages")
REWARDS = _registry("reward", "xtune.rewards")
REWARD_LOSSES = _registry("reward loss", "xtune.losses.reward")
UNPAIRED_LOSSES = _registry("loss of unpaired answers", "xtune.losses.preference")
OPTIMIZERS = _registry("optimizer", "xtune.optim.optimizers", "xtune.optim.low_rank")
SCHEDULES = _registry("schedule", "xtune.optim.schedules")
STRATEGIES = _registry("strategy", "xtune.engine.strategies")
TRAIN_LOOPS = _registry("loop", "xtune.engine.loops", "xtune.engine.rollout")
HOOKS = _registry("hook", "xtune.engine.hooks", "xtune.eval.evaluate_hook")
EVALUATIONS = _registry("evaluation", "xtune.eval.tasks")
TOOLS = _registry("tool", "xtune.tools")


def names(registry: Registry) -> list[str]:
    """Return every name registered in `registry`, sorted, after scanning its folder."""
    _scan(registry)
    return sorted(registry.module_dict)


def names_alone(registry: Registry, *supplied: str) -> list[str]:
    """Return the names of what can be built without arguments of the user's, sorted.

    Args:
        registry: the registry that takes plug-ins of this kind.
        supplied: arguments that whoever builds it gives.
    """
    return [
        name
        for name in names(registry)
        if not any(
            parameter.default is parameter.empty and parameter.name not in supplied
            for parameter in inspect.signature(registry.module_dict[name]).parameters.values()
        )
    ]


def resolve(registry: Registry, named: str | Callable[..., Any]) -> Callable[..., Any]:
    """Turn a name from a config into the function or class it stands for.

    Args:
        registry: the registry that takes plug-ins of this kind.
        named: a registered name, `package.module.name`, `path/to/file.py:name`, or a callable.

    Raises:
        RegistryError: nothing has that name; the nearest registered name is offered.
    """
    if not isinstance(named, str):
        if callable(named):
            return named
        raise RegistryError(
            f"a {registry.name} is named by a string or is a callable, not {named!r}"
        )
    if ".py:" in named:
        return _from_file(*named.rsplit(":", 1))
    _scan(registry)
    if named in registry.module_dict:
        return registry.module_dict[named]
    if named.endswith(".py"):
        raise RegistryError(f"{named!r} names a file and nothing in it: write '{named}:name'")
    if "." in named:
        return _from_dotted_path(named)
    raise unknown(registry, named, names(registry))


def unknown(registry: Registry, named: str, known: Sequence[str]) -> RegistryError:
    """Return the error that says a name is not `known`, with the nearest that is.

    Args:
        registry: in which it was looked up.
        named: the name.
        known: the names that there are.
    """
    return RegistryError(
        f"unknown {registry.name} {named!r}{did_you_mean(named, known) or '.'} "
        f"Registered: {', '.join(known)}. "
        f"Your own: type='path/to/file.py:{named}'"
    )


def build(registry: Registry, cfg: Mapping[str, Any], **extra: Any) -> Any:
    """Call what `cfg['type']` names with the other keys of `cfg` and with `extra`.

    Nested dicts stay dicts: whoever takes them builds them.

    Args:
        registry: that takes plug-ins of this kind.
        cfg: with `type`.
        extra: further arguments.
    """
    arguments = dict(cfg)
    return resolve(registry, arguments.pop("type"))(**arguments, **extra)


def require_whole(made_by: Callable[..., Any]) -> None:
    """Refuse a class that lacks what its base asks for, before anything is loaded for it.

    Args:
        made_by: a class, or a function, of which nothing is known.

    Raises:
        RegistryError: it is a class with abstract methods left.
    """
    if lacking := sorted(getattr(made_by, "__abstractmethods__", ())):
        raise RegistryError(
            f"{made_by.__name__} does not define {', '.join(lacking)}, which its base class asks "
            "for"
        )


def _scan(registry: Registry) -> None:
    # Registry.import_from_location would do, but it imports mmengine.logging and with it torch,
    # and it does not walk folders.
    if registry._imported:
        return
    registry._imported = True
    for location in registry._locations:
        module = importlib.import_module(location)
        for found in pkgutil.iter_modules(getattr(module, "__path__", [])):
            if not found.ispkg:
                importlib.import_module(f"{location}.{found.name}")


def look_next_to(file: Path) -> None:
    """Let code of the user's import the modules that lie in its folder, as a script may.

    The folder comes last, so that no file in it hides an installed module of that name.
    """
    folder = str(file.resolve().parent)
    if folder not in sys.path:
        sys.path.append(folder)


def _from_file(path: str, name: str) -> Callable[..., Any]:
    file = Path(path).expanduser().resolve()
    if not file.is_file():
        raise RegistryError(f"no file {path!r} (looked for {file}), named by '{path}:{name}'")
    module_name = "xtune_user_" + hashlib.sha256(str(file).encode()).hexdigest()[:12]
    module = sys.modules.get(module_name)
    if module is None:
        spec = importlib.util.spec_from_file_location(module_name, file)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[module_name] = module
        look_next_to(file)
        try:
            spec.loader.exec_module(module)
        except Exception as error:
            del sys.modules[module_name]
            raise RegistryError(f"{file} cannot be imported: {error!r}") from error
    if not hasattr(module, name):
        public = [key for key in vars(module) if not key.startswith("_")]
        raise RegistryError(f"{file} defines no {name!r}{did_you_mean(name, public)}")
    return getattr(module, name)


def _from_dotted_path(path: str) -> Callable[..., Any]:
    module_name, _, name = path.rpartition(".")
    try:
        return getattr(importlib.import_module(module_name), name)
    except (ImportError, AttributeError) as error:
        raise RegistryError(
            f"{path!r} is no registered name and no importable 'package.module.name': {error}"
        ) from error
