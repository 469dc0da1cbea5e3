"""Every error that xtune raises on purpose, with the exit code it ends a command with.

    XtuneError                 1  something failed
    ├── UsageError             2  the command line asks for something that does not exist
    ├── ConfigError            2  the config is wrong; `.problems` holds every one found
    │   └── RegistryError      2  a name that no registry knows
    ├── DataError              1  a file, a row or a data set cannot be used
    │   └── TemplateError      1  a chat template does not fit the messages or the tokenizer
    ├── ModelError             1  a checkpoint, tokenizer or quantization cannot be loaded
    │   ├── AdapterError       1  an adapter belongs to another base model
    │   └── NoSuchModelError   2  a path that leads nowhere was given for a model
    ├── CheckpointError        1  nothing whole to resume from, a full disk, another format version
    └── TrainingError          1  the run cannot go on (NaN loss, a lost worker)

A message says what was given, what is allowed, and what to do next.
"""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

__all__ = [
    "AdapterError",
    "CheckpointError",
    "ConfigError",
    "DataError",
    "ModelError",
    "NoSuchModelError",
    "RegistryError",
    "TemplateError",
    "TrainingError",
    "UsageError",
    "XtuneError",
    "did_you_mean",
]


class XtuneError(Exception):
    """Base class of all errors meant for a user's eyes; printed without a traceback."""

    exit_code = 1


class UsageError(XtuneError):
    """The command line asks for something that does not exist or contradicts itself."""

    exit_code = 2


class ConfigError(XtuneError):
    """The config is wrong.

    Args:
        message: the whole text for the user.
        problems: the single findings behind it, if the config check made them.
    """

    exit_code = 2

    def __init__(self, message: str, problems: Iterable[object] = ()) -> None:
        super().__init__(message)
        self.problems = tuple(problems)


class RegistryError(ConfigError):
    """A name that no registry knows, or a `file.py:name` that cannot be imported."""


class DataError(XtuneError):
    """A file, a row or a whole data set cannot be used."""


class TemplateError(DataError):
    """A chat template does not fit the messages or the tokenizer."""


class ModelError(XtuneError):
    """A checkpoint, tokenizer or quantization cannot be loaded."""


class AdapterError(ModelError):
    """An adapter belongs to another base model."""


class NoSuchModelError(ModelError):
    """A path that leads nowhere was given for a model."""

    exit_code = 2


class CheckpointError(XtuneError):
    """There is nothing whole to resume from, or a checkpoint cannot be written."""


class TrainingError(XtuneError):
    """A run cannot go on."""


def did_you_mean(given: str, allowed: Iterable[str]) -> str:
    """Return `"; did you mean 'x'?"` for the nearest allowed name, or an empty string.

    Args:
        given: the wrong name.
        allowed: the right ones.

    >>> did_you_mean('ChekpointHook', ['CheckpointHook', 'ProgressHook'])
    "; did you mean 'CheckpointHook'?"
    >>> did_you_mean('zzz', ['CheckpointHook'])
    ''
    """
    lowered = {name.lower(): name for name in allowed}
    near = get_close_matches(given.lower(), lowered, n=1, cutoff=0.6)
    return f"; did you mean {lowered[near[0]]!r}?" if near else ""
