"""Hashes of what tokens depend on: map_fn, tokenizer, template. Equal hash, equal tokens."""

from __future__ import annotations

import functools
import hashlib
import json
import re
from collections.abc import Callable, Iterator
from types import CodeType, FunctionType
from typing import TYPE_CHECKING, Any

import xtune

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

__all__ = ["FORMAT_VERSION", "cache_key", "fingerprint_function", "fingerprint_tokenizer"]

FORMAT_VERSION = 5  # of the cache's files and of what is written into them

_PLAIN = (str, bytes, int, float, bool, type(None), re.Pattern)


def cache_key(**parts: Any) -> str:
    """Return a hash over named strings and numbers, the format and xtune's version."""
    parts |= {"format": FORMAT_VERSION, "xtune": xtune.__version__}
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:32]


def fingerprint_function(function: Callable[..., Any]) -> str:
    """Hash what a function does: its code, and that of what it calls in its own package.

    The compiled code is hashed, not the source text: a function out of a config has no file in
    which `inspect` would find it reliably, and a comment need not cost a new tokenisation.
    Constants, defaults, closures and the plain global values that it names are part of it.
    """
    digest = hashlib.sha256()
    for part in _parts(function, seen=set()):
        digest.update(part.encode("utf-8", "surrogatepass") + b"\0")
    return digest.hexdigest()


def fingerprint_tokenizer(tokenizer: PreTrainedTokenizerBase) -> str:
    """Hash how a tokenizer splits text, and its special tokens."""
    if tokenizer.is_fast:
        serialised = tokenizer.backend_tokenizer.to_str()
        # Before this stand truncation and padding, which any call of the tokenizer may set.
        state = serialised[serialised.index('"added_tokens"') :]
    else:
        state = json.dumps(sorted(tokenizer.get_vocab().items()))
    special = json.dumps(tokenizer.special_tokens_map, sort_keys=True, default=str)
    return hashlib.sha256(f"{type(tokenizer).__name__}\0{special}\0{state}".encode()).hexdigest()


def _parts(value: Any, seen: set[int]) -> Iterator[str]:
    if id(value) in seen:
        return
    if isinstance(value, functools.partial):
        yield from _parts(value.func, seen)
        yield from _parts((value.args, value.keywords), seen)
    elif isinstance(value, FunctionType):
        seen.add(id(value))
        yield from _code_parts(value.__code__)
        yield from _parts((value.__defaults__, value.__kwdefaults__), seen)
        for cell in value.__closure__ or ():
            yield from _parts(cell.cell_contents, seen)
        for name in sorted(_names(value.__code__)):
            named = value.__globals__.get(name)
            if not isinstance(named, FunctionType) or _package(named) == _package(value):
                yield from _parts(named, seen)
    elif isinstance(value, dict):
        seen.add(id(value))
        for key in value:
            yield from _parts(key, seen)
            yield from _parts(value[key], seen)
    elif isinstance(value, set | frozenset):
        yield from sorted(map(repr, value))
    elif isinstance(value, list | tuple):
        if isinstance(value, list):  # a tuple may be a passing one, whose id is soon another's
            seen.add(id(value))
        for item in value:
            yield from _parts(item, seen)
    elif isinstance(value, _PLAIN):
        yield repr(value)
    elif isinstance(call := vars(type(value)).get("__call__"), FunctionType):
        # An object that is called like a function: its method and its state.
        yield from _parts(call, seen)
        yield from _parts(vars(value), seen)
    else:  # a module, a class, a builtin: its name must do
        yield f"{getattr(value, '__module__', '')}.{getattr(value, '__qualname__', type(value))}"


def _package(function: FunctionType) -> str:
    return (function.__module__ or "").partition(".")[0]


def _code_parts(code: CodeType) -> Iterator[str]:
    yield code.co_code.hex()
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _code_parts(constant)
        elif isinstance(constant, frozenset):  # its order changes from process to process
            yield from sorted(map(repr, constant))
        else:
            yield repr(constant)


def _names(code: CodeType) -> set[str]:
    """The global names that a function and the functions inside it use."""
    nested = (c for c in code.co_consts if isinstance(c, CodeType))
    return set(code.co_names).union(*map(_names, nested))
