"""What is read from source is what the objects themselves say: every plug-in, every PEFT config."""

from __future__ import annotations

import inspect
from typing import Literal, get_type_hints

import peft
import pytest

from xtune import registry
from xtune.config.declared import Declaration, class_attribute, declared, declared_names
from xtune.config.declared_hints import hint_of
from xtune.config.hints import members, misfit_of_type, room_of
from xtune.config.parsed import Module, NotReadable
from xtune.config.signatures import Form
from xtune.registry import names, resolve

PEFT_CONFIGS = sorted(name for name in vars(peft) if name.endswith("Config"))
ROOMS = (
    registry.DATASETS,
    registry.MODELS,
    registry.ADAPTERS,
    registry.OPTIMIZERS,
    registry.SCHEDULES,
    registry.STRATEGIES,
    registry.TRAIN_LOOPS,
    registry.HOOKS,
    registry.EVALUATIONS,
    registry.SOURCES,
)
PROBES = (None, True, 1, 1.5, "x", [1], ["a"], (1, 2), {}, {"a": 1}, object())


def ours(room):
    """The names of xtune's own: other tests register some in the same process."""
    return [name for name in names(room) if resolve(room, name).__module__.startswith("xtune.")]


def everything():
    for room in ROOMS:
        for name in ours(room):
            yield pytest.param(room, name, id=name)
    for name in PEFT_CONFIGS:
        yield pytest.param(registry.ADAPTERS, f"peft.{name}", id=f"peft.{name}")
    path = "xtune.models.tokenizer.load_tokenizer"
    yield pytest.param(registry.MODELS, path, id=path)


def judged(hint):
    """What is said of each probe; `typing` keeps one of `A | B` and `B | A` for both."""
    said = (misfit_of_type(hint, probe) for probe in PROBES)
    return [None if words is None else sorted(words.split(" or ")) for words in said]


def test_there_is_something_to_compare():
    assert len(list(everything())) > 70


@pytest.mark.parametrize(("room", "name"), list(everything()))
def test_what_is_read_is_what_the_object_says(room, name):
    real, read = resolve(room, name), declared(room, name)
    assert read is not None, "import it, or write it in a way that declared.py reads"
    assert read.name == real.__name__
    wanted = inspect.signature(real).parameters.values()
    assert [(one.name, one.kind, one.default is one.empty) for one in read.parameters.values()] == [
        (one.name, one.kind, one.default is one.empty) for one in wanted
    ]
    for argument, hint in Form(real)._hints.items():
        if argument in read.parameters:
            assert judged(read.hints[argument]) == judged(hint), argument
            assert room_of(read.hints[argument]) is room_of(hint), argument
            assert Form(read).takes_list(argument) == Form(real).takes_list(argument)


@pytest.mark.parametrize(
    ("room", "attribute", "values"),
    [
        (registry.DATASETS, "makes", {"dialogues", "pairs", "prompts", "unpaired"}),
        (
            registry.MODELS,
            "learns_from",
            {"dialogues", "pairs", "prompts", "unpaired", None},
        ),  # None: a loader
    ],
)
def test_what_a_class_says_of_itself_is_read_as_it_is(room, attribute, values):
    read = {name: class_attribute(room, name, attribute) for name in ours(room)}
    assert read == {name: getattr(resolve(room, name), attribute, None) for name in ours(room)}
    assert set(read.values()) == values


@pytest.mark.parametrize("room", ROOMS, ids=lambda room: room.name)
def test_the_names_that_are_read_are_those_that_are_registered(room):
    assert [name for name in declared_names(room) if name in ours(room)] == ours(room)


SOURCE = """
from __future__ import annotations
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal, TypedDict
from xtune.errors import ConfigError
from xtune.registry import HOOKS

class Bits(TypedDict, total=False):
    bits: Literal[4, 8]

def real(one: Annotated[Sequence[Mapping[str, Any]], HOOKS] | None, two: Bits | None): ...
def foreign(one: Annotated[int, ConfigError]): ...
def foreign_too(one: Annotated[int, 3]): ...
"""


def test_a_registry_and_the_keys_of_a_dict_are_read_from_an_annotation(tmp_path):
    file = tmp_path / "made.py"
    file.write_text(SOURCE)
    module = Module("made", file)
    arguments = module.definitions["real"].args.args
    read = {one.arg: hint_of(module, one.annotation) for one in arguments}
    assert room_of(read["one"]) is registry.HOOKS
    assert misfit_of_type(read["one"], 3) == "a list or None"
    form = Form(Declaration("made", "real", {}, read))
    assert [placed[:2] for placed in form.placed({"one": [{"type": "A"}, "B"]})] == [
        ("one.0", registry.HOOKS),
        ("one.1", registry.HOOKS),
    ]
    assert get_type_hints(members(read["two"])[0]) == {"bits": Literal[4, 8]}
    for name in ("foreign", "foreign_too"):  # only the object itself can tell
        with pytest.raises(NotReadable):
            hint_of(module, module.definitions[name].args.args[0].annotation)


def test_what_is_not_of_xtune_or_peft_is_not_read():
    assert declared(registry.OPTIMIZERS, "torch.optim.SGD") is None
    assert declared(registry.HOOKS, "my/hooks.py:Mine") is None
    assert declared(registry.ADAPTERS, "peft.LoraConfg") is None
    assert declared(registry.HOOKS, "ChekpointHook") is None
