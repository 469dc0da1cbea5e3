"""Names in an adapter's settings, matched against the modules that the model has.

PEFT asks that some name matches and ignores the rest. Here each name must match: an entry of a
list, a regex and each alternative in it, a pattern of ranks, the number of a layer.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NamedTuple

from peft import LoraConfig
from peft.tuners.tuners_utils import check_target_module_exists
from peft.utils.transformers_weight_conversion import (
    convert_peft_config_for_transformers,
    get_model_conversion_mapping,
)
from torch import nn
from transformers.pytorch_utils import Conv1D

from xtune.errors import did_you_mean
from xtune.models.head import score_head
from xtune.models.tied import embedding_and_head, saved_whole

if TYPE_CHECKING:
    from peft import PeftConfig
    from transformers import PreTrainedModel

__all__ = ["Misnamed", "linear_names", "misnamed", "taken_by_their_ends"]

_SHOWN = 24  # names of modules in a message


class Misnamed(NamedTuple):
    """A name that matches nothing: the argument it stands in, what is wrong, what there is."""

    argument: str
    message: str
    hint: str = ""


def misnamed(config: PeftConfig, llm: PreTrainedModel) -> list[Misnamed]:
    """Return every name in an adapter's settings that matches nothing in the model.

    Args:
        config: as it goes to PEFT; 'all-linear' for every linear layer.
        llm: with weights or on 'meta', without an adapter.
    """
    return list(_Model(llm).misnamed(config))


def linear_names(llm: PreTrainedModel) -> list[str]:
    """Return the last parts of the names of all linear layers but the head, sorted."""
    head = llm.get_output_embeddings() or score_head(llm)
    return sorted(
        {
            path.rpartition(".")[2]
            for path, module in llm.named_modules()
            if isinstance(module, nn.Linear | Conv1D) and module is not head
        }
    )


def taken_by_their_ends(config: PeftConfig, llm: PreTrainedModel) -> dict[str, list[str]]:
    """Return, for entries of `modules_to_save`, modules that PEFT takes besides those so called.

    PEFT compares ends of whole names there, so that 'norm' is input_layernorm too.

    Args:
        config: as it goes to PEFT.
        llm: with weights or on 'meta', without an adapter.
    """
    surprises = {}
    for entry in getattr(config, "modules_to_save", None) or ():
        others = {
            path.rpartition(".")[2]
            for path, _ in llm.named_modules()
            if saved_whole(path, [entry]) and not _is_called(path, entry)
        }
        if others:
            surprises[entry] = sorted(others)
    return surprises


class _Model:
    """The names of a model's modules and parameters, and what is not among them."""

    def __init__(self, llm: PreTrainedModel) -> None:
        self.llm = llm
        named = [(path, module) for path, module in llm.named_modules() if path]
        self.modules = [path for path, _ in named]
        self.parameters = [path for path, _ in llm.named_parameters(remove_duplicate=False)]
        # What a user is likely to mean: modules with weights of their own
        self.ends = list(
            dict.fromkeys(
                path.rpartition(".")[2]
                for path, module in named
                if next(module.parameters(recurse=False), None) is not None
            )
        )

    def misnamed(self, config: Any) -> Iterator[Misnamed]:
        get: Callable[[str], Any] = lambda name: getattr(config, name, None)  # noqa: E731
        renamed = self._renamed(config)
        for argument in ("target_modules", "feedforward_modules", "exclude_modules"):
            entries = get(argument)
            if isinstance(entries, str) and entries.lower() != "all-linear":
                yield from self._regex(argument, entries, re.fullmatch)
            elif not isinstance(entries, str):
                known = renamed if argument == "target_modules" else set()
                yield from self._entries(argument, set(entries or ()) - known, _is_called)
        whole = get("modules_to_save") or ()
        if isinstance(whole, str):  # PEFT would take every letter for a name
            yield Misnamed("modules_to_save", f"{whole!r} is no list", f": write [{whole!r}]")
        else:
            yield from self._entries(
                "modules_to_save", whole, lambda path, entry: saved_whole(path, [entry])
            )
        for entry in sorted(get("target_parameters") or ()):
            if not any(_is_called(path, entry) for path in self.parameters):
                yield self._wrong("target_parameters", entry, "parameter", self.parameters)
        yield from self._tokens(get)
        targeted = self._targeted(config)
        for argument in ("rank_pattern", "alpha_pattern"):
            for pattern in get(argument) or {}:
                yield from self._pattern(argument, pattern, targeted)
        yield from self._layers(get, targeted)

    def _entries(
        self, argument: str, entries: Iterable[str], matches: Callable[[str, str], bool]
    ) -> Iterator[Misnamed]:
        for entry in sorted(entries):
            if not any(matches(path, entry) for path in self.modules):
                yield self._wrong(argument, entry)

    def _regex(
        self, argument: str, pattern: str, match: Callable[[str, str], object]
    ) -> Iterator[Misnamed]:
        try:
            dead = _dead(pattern, lambda one: any(match(one, path) for path in self.modules))
        except re.error as error:
            yield Misnamed(argument, f"{pattern!r} is no regular expression: {error}")
            return
        if dead == pattern:
            words = re.findall(r"[\w.]+", pattern)
            if len(words) > 1 and all(any(_is_called(p, w) for p in self.modules) for w in words):
                yield Misnamed(
                    argument,
                    f"the text {pattern!r} is a regular expression and matches no module of "
                    f"{self.llm.name_or_path!r}",
                    f"; write a list: {words}",
                )
                return
        if dead:
            yield self._wrong(argument, dead)

    def _pattern(self, argument: str, pattern: str, targeted: list[str]) -> Iterator[Misnamed]:
        def matches(one: str, paths: list[str]) -> bool:
            return any(re.match(rf"(.*\.)?({one})$", path) for path in paths)

        try:
            dead = _dead(pattern, lambda one: matches(one, targeted))
        except re.error as error:
            yield Misnamed(argument, f"{pattern!r} is no regular expression: {error}")
            return
        if dead and matches(dead, self.modules):
            yield Misnamed(argument, f"{dead!r} is a module that the adapter is not on")
        elif dead:
            yield self._wrong(argument, dead)

    def _layers(self, get: Callable[[str], Any], targeted: list[str]) -> Iterator[Misnamed]:
        patterns = get("layers_pattern") or ()
        for pattern in [patterns] if isinstance(patterns, str) else patterns:
            if not any(re.match(rf"(?:^|.*?\.){pattern}\.\d+\.", path) for path in self.modules):
                yield self._wrong("layers_pattern", pattern)
        layers = get("layers_to_transform")
        named = [layers] if isinstance(layers, int) else layers or ()
        empty = [
            str(layer)
            for layer in named
            if not any(f".{layer}." in f".{path}" for path in targeted)
        ]
        if empty:
            count = self.llm.config.get_text_config().num_hidden_layers
            yield Misnamed(
                "layers_to_transform",
                f"no target module lies in layer {', '.join(empty)}",
                f"; {self.llm.name_or_path!r} has {count} layers, numbered from 0",
            )

    def _tokens(self, get: Callable[[str], Any]) -> Iterator[Misnamed]:
        given = get("trainable_token_indices") or {}
        vocabulary = embedding_and_head(self.llm)
        if not isinstance(given, Mapping):
            given = {next(iter(vocabulary)): given}
        rows = self.llm.get_input_embeddings().weight.shape[0]  # type: ignore[index]
        for name, numbers in given.items():
            if not any(saved_whole(path, [name]) for path in self.modules):
                yield self._wrong("trainable_token_indices", name)
            elif beyond := [number for number in numbers if not 0 <= number < rows]:
                yield Misnamed(
                    "trainable_token_indices",
                    f"token {beyond[0]} has no row",
                    f"; {self.llm.name_or_path!r} has {rows}, numbered from 0",
                )

    def _targeted(self, config: Any) -> list[str]:
        """The modules and parameters that the adapter will be on."""
        names: list[str] = []
        if getattr(config, "target_modules", None) is None:
            pass
        elif str(config.target_modules).lower() == "all-linear":
            ends = set(linear_names(self.llm))
            names = [path for path in self.modules if path.rpartition(".")[2] in ends]
        else:
            with suppress(re.error):
                names = [p for p in self.modules if check_target_module_exists(config, p)]
        wanted = getattr(config, "target_parameters", None) or ()
        return names + [p for p in self.parameters if any(_is_called(p, e) for e in wanted)]

    def _renamed(self, config: Any) -> set[str]:
        """Targets by names that transformers 4 had, which PEFT translates."""
        if not isinstance(config, LoraConfig) or not isinstance(config.target_modules, set | list):
            return set()
        translated = copy.deepcopy(config)
        with suppress(ValueError):  # PEFT says so when it attaches the adapter
            convert_peft_config_for_transformers(
                translated, self.llm, get_model_conversion_mapping(self.llm)
            )
        return set(config.target_modules) - set(translated.target_modules or ())

    def _wrong(
        self, argument: str, entry: str, what: str = "module", known: Iterable[str] = ()
    ) -> Misnamed:
        ends = list(dict.fromkeys(path.rpartition(".")[2] for path in known)) or self.ends
        near = did_you_mean(entry.rpartition(".")[2], ends) or did_you_mean(
            entry, known or self.modules
        )
        more = f" and {len(ends) - _SHOWN} more" if len(ends) > _SHOWN else ""
        return Misnamed(
            argument,
            f"{entry!r} matches no {what} of {self.llm.name_or_path!r}",
            f"{near}{'' if near.endswith('?') else ';'} it has {', '.join(ends[:_SHOWN])}{more}",
        )


def _is_called(path: str, name: str) -> bool:
    return path == name or path.endswith(f".{name}")


def _dead(pattern: str, matches: Callable[[str], bool]) -> str:
    """The part of a regex that matches nothing: all of it, or one of its alternatives; or ''."""
    re.compile(pattern)
    if not matches(pattern):
        return pattern
    for group in re.finditer(r"\((?:\?:)?([^()]*\|[^()]*)\)", pattern):
        start, end = group.span(1)
        for one in group.group(1).split("|"):
            if one and not matches(pattern[:start] + one + pattern[end:]):
                return one
    whole = pattern.split("|")
    if not re.search(r"[()\[]", pattern):
        return next((one for one in whole if one and not matches(one)), "")
    return ""
