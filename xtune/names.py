"""What the name of a model or a data set stands for, told by how it is written and by nothing else.

smollm2                an alias: a file that a package brings
model.gguf             a GGUF file
./x, a/b/c, work_dirs/x    a path
owner/name             on the Hugging Face hub, or a folder of this name that is here
modelscope:owner/name  on ModelScope
toolcall, gpt2         a word: the name of a source, a config, an old model of the hub
"""

from __future__ import annotations

import re
from enum import Enum

__all__ = ["ALIASES", "MODELSCOPE", "Kind", "hub_id_in", "is_hub_id", "is_path", "kind_of"]

ALIASES = ("smollm2",)
MODELSCOPE = "modelscope:"  # before the owner/name of what lies on ModelScope

_HUB_ID = re.compile(r"\w[\w.-]*/[\w.-]+")


class Kind(Enum):
    """What a name can stand for; see above."""

    ALIAS = "alias"
    GGUF = "GGUF file"
    PATH = "path"
    HUB = "hub id"
    MODELSCOPE = "model or data set of ModelScope"
    WORD = "word"


def kind_of(name: str) -> Kind:
    """Return what a name stands for, whether or not there is such a thing.

    >>> names = 'smollm2', 'a/b.gguf', '~/x', 'a/b/c', 'owner/name', 'modelscope:a/b', 'toolcall'
    >>> [kind_of(name).name for name in names]
    ['ALIAS', 'GGUF', 'PATH', 'PATH', 'HUB', 'MODELSCOPE', 'WORD']
    """
    if name in ALIASES:
        return Kind.ALIAS
    if name.startswith(MODELSCOPE):
        return Kind.MODELSCOPE
    if name.endswith(".gguf"):
        return Kind.GGUF
    if "://" in name:
        return Kind.WORD
    if (
        name.startswith((".", "/", "~", "work_dirs/"))
        or name == "work_dirs"
        or name.endswith("/")
        or name.count("/") > 1
    ):
        return Kind.PATH
    return Kind.HUB if _HUB_ID.fullmatch(name) else Kind.WORD


def is_path(name: str) -> bool:
    """Whether a name can only mean something on this disk.

    >>> [is_path(name) for name in ('./x', '../x', '~/x', '/x', 'work_dirs/x', 'a/b/c', 'x/')]
    [True, True, True, True, True, True, True]
    >>> [is_path(name) for name in ('owner/name', 'smollm2', 'modelscope:a/b', 'http://host/v1')]
    [False, False, False, False]
    """
    return kind_of(name) in (Kind.PATH, Kind.GGUF)


def is_hub_id(name: str) -> bool:
    """Whether a name may be a model's or data set's on the hub: owner/name, and no path.

    >>> [is_hub_id(name) for name in ('owner/name', './name', 'work_dirs/x', 'smollm2', 'a/b/c')]
    [True, False, False, False, False]
    """
    return kind_of(name) is Kind.HUB


def hub_id_in(name: str) -> str | None:
    """Return the owner/name of what lies on the hub or on ModelScope; None for any other name.

    >>> hub_id_in('modelscope:owner/name'), hub_id_in('owner/name'), hub_id_in('modelscope:x')
    ('owner/name', 'owner/name', None)
    """
    bare = name.removeprefix(MODELSCOPE)
    return bare if is_hub_id(bare) else None
