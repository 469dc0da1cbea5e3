"""The code that a function of the user's depends on, followed as far as it is the user's own.

    map_fn --globals, closure, defaults, attributes--> functions, classes, objects, values
           --the file it is in-----------------------> the whole file
                 --its imports, inside functions too-> the files of these, and so on

Own is every file that is not Python's, not installed (site-packages) and not xtune's; of xtune
itself the map_fns and templates, which a contributor edits. For installed packages the name and the
version stand for the rest. A file that the code reads while it runs is seen if a text in the code
is its name, or its path from the code's folder or the working folder; else it is not.
"""

from __future__ import annotations

import copyreg
import functools
import hashlib
import os
import re
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path, PurePath
from types import (
    BuiltinFunctionType,
    CodeType,
    FunctionType,
    GetSetDescriptorType,
    MappingProxyType,
    MemberDescriptorType,
    MethodType,
    ModuleType,
    WrapperDescriptorType,
)
from typing import Any

from xtune.data.own_files import (
    compiled,
    file_of,
    files_named_in,
    imports_in,
    is_ours,
    is_own,
    named_version,
    names_in,
    own_file_of,
    own_files,
    said_by,
)

__all__ = ["OwnCode"]

_PLAIN = (str, bytes, int, float, complex, bool, type(None), type(...))
# Their objects change while they are used, which says nothing of what a function does
_VOLATILE = {
    *("_random", "_thread", "_weakref", "_weakrefset", "logging", "random", "threading", "weakref"),
    *("mmengine.registry.registry", "numpy.random._generator", "numpy.random.mtrand"),
}
# What Python adds to a class, some of it in another order in each process
_ADDED = {
    *("__dict__", "__weakref__", "__doc__", "__module__", "__firstlineno__"),
    *("__static_attributes__", "_abc_impl", "__annotations__", "__annotate_func__"),
}
_DEEPEST_SET = 2  # sets of objects without names, inside sets of such


class OwnCode:
    """Hashes a value with everything of the user's own that it reaches.

    The same code gives the same hash in every process and wherever its files lie.

    Args:
        depth: of the sets that it is inside.
    """

    def __init__(self, depth: int = 0) -> None:
        self._hash = hashlib.sha256()
        self._depth = depth
        # With the objects themselves: the id of one that is gone is soon another's.
        self._seen: dict[int, tuple[int, object]] = {}
        self._files: set[Path] = set()

    def digest(self, value: Any) -> str:
        """Return the hash, hexadecimal."""
        waiting = [value]
        while waiting:
            found = list(self._parts(waiting.pop()))
            waiting += reversed(found)
        return self._hash.hexdigest()

    def _without_folder(self, text: str) -> str:
        """A path into the folder of a file that was read, as it is said wherever that has moved."""
        folders = {str(file.parent) for file in self._files}
        around = (one for one in folders if text == one or text.startswith(one + os.sep))
        deepest = max(around, key=len, default="")  # of several, whatever the order of a set
        return f"…{text[len(deepest) :]}" if deepest else text

    def _tell(self, *parts: str | bytes) -> None:
        for part in parts:
            told = part.encode("utf-8", "surrogatepass") if isinstance(part, str) else part
            self._hash.update(b"%d:%b" % (len(told), told))

    def _parts(self, value: Any) -> Iterator[Any]:
        """Hash what a value is in itself, and yield what else belongs to it."""
        if type(value) in _PLAIN:
            if isinstance(value, str):
                value = self._without_folder(value)
            self._tell(type(value).__name__, value if isinstance(value, bytes) else repr(value))
            return
        if isinstance(value, PurePath):
            self._tell("path", self._without_folder(str(value)))
            return
        if isinstance(value, re.Pattern):
            self._tell("pattern", repr(value.pattern), str(value.flags))
            return
        if isinstance(value, _Named):
            yield from self._named(value)
            return
        # Equal ones may be one object in this process and two in the next
        if type(value) in (tuple, frozenset):
            yield from self._contents(value)
            return
        if id(value) in self._seen:
            self._tell("again", str(self._seen[id(value)][0]))
            return
        self._seen[id(value)] = (len(self._seen), value)
        if isinstance(value, FunctionType):
            yield from self._function(value)
        elif isinstance(value, type):
            yield from self._class(value)
        elif isinstance(value, ModuleType):
            self._module(value)
        elif isinstance(value, CodeType):
            self._code(value)
        elif isinstance(value, dict | MappingProxyType | list | tuple | set | frozenset):
            yield from self._contents(value)
        else:
            yield from self._object(value)

    def _contents(self, value: Any) -> Iterator[Any]:
        self._tell(type(value).__name__, str(len(value)))
        if isinstance(value, dict | MappingProxyType):
            for key in value:
                yield key
                yield value[key]
        elif isinstance(value, list | tuple):
            yield from value
        else:
            yield from self._in_order(value)
        if type(value) not in (dict, list, tuple, set, frozenset, MappingProxyType):
            yield type(value)  # and what a class of its own adds
            yield getattr(value, "__dict__", None)

    def _function(self, function: FunctionType) -> Iterator[Any]:
        scope = function.__globals__
        file = file_of(scope)
        is_foreign = file is not None and not is_own(file) and not is_ours(file)
        if file is not None and is_own(file):
            self._source(file, scope)
        self._tell("function", function.__qualname__)
        if is_foreign:  # perhaps a decorator's, around a function of the user's
            self._tell(
                function.__code__.co_name, *named_version(sys.modules.get(scope["__name__"]))
            )
        else:
            yield function.__code__
        yield function.__defaults__
        yield function.__kwdefaults__
        yield vars(function)  # `__wrapped__`, and what was set on it
        for cell in function.__closure__ or ():
            try:
                yield cell.cell_contents
            except ValueError:  # not filled yet
                self._tell("empty cell")
        if is_foreign:
            return
        names = {name for name in names_in(function.__code__) if not name.startswith("__")}
        foreign_to_ours = file is not None and not is_own(file)
        for name in sorted(names & scope.keys()):
            named = scope[name]
            if foreign_to_ours and not isinstance(named, FunctionType):
                self._tell(name, *named_version(named))  # xtune's version stands for its objects
            elif isinstance(named, ModuleType):
                yield _Named(named, frozenset(names))
            else:
                self._tell(name)
                yield named
        if file is None:
            package = scope.get("__package__") or ""
            self._imports(sorted(set(imports_in(function.__code__, package))))
            written_in = scope.get("__file__")
            self._named_files(
                function.__code__, Path(written_in).resolve().parent if written_in else None
            )

    def _named(self, named: _Named) -> Iterator[Any]:
        """A module, and what code that uses these names may take from it."""
        yield named.module
        if own_file_of(vars(named.module)) is None:
            return
        for name in sorted(named.names & vars(named.module).keys()):
            value = vars(named.module)[name]
            if isinstance(value, ModuleType):
                if id(value) not in self._seen:
                    yield _Named(value, named.names)
            else:
                self._tell(name)
                yield value

    def _class(self, made: type) -> Iterator[Any]:
        scope = vars(sys.modules.get(made.__module__, sys))
        if made.__module__ in sys.modules and made.__module__ != "__main__":
            file = own_file_of(scope)
            if file is None:
                self._tell("class", *named_version(made))
                return
            self._source(file, scope)
        self._tell("class", made.__qualname__)
        yield from made.__bases__
        yield type(made)
        for name, value in vars(made).items():
            if name not in _ADDED:
                self._tell(name)
                yield value

    def _object(self, value: Any) -> Iterator[Any]:
        """An object of any other kind: its class, what it wraps, and its state."""
        kind = type(value)
        if isinstance(value, functools.partial):
            self._tell("partial")
            yield from (value.func, value.args, value.keywords)
        elif isinstance(value, MethodType):
            self._tell("method")
            yield from (value.__func__, value.__self__)
        elif isinstance(value, classmethod | staticmethod):
            self._tell(kind.__name__)
            yield value.__func__
        elif isinstance(value, property):
            self._tell("property")
            yield from (value.fget, value.fset)
        elif isinstance(value, functools.cached_property):
            self._tell("cached_property")
            yield value.func
        elif isinstance(
            value,
            BuiltinFunctionType
            | MemberDescriptorType
            | GetSetDescriptorType
            | WrapperDescriptorType,
        ):
            self._tell("builtin", *named_version(value))
            self._compiled(value)
            owner = getattr(value, "__self__", None)
            if not isinstance(owner, ModuleType | type(None)):  # 'abc'.join
                yield owner
        elif hasattr(value, "__wrapped__"):  # functools.lru_cache, and decorators that are objects
            self._tell("wrapper", kind.__qualname__)
            yield value.__wrapped__
            if own_file_of(_scope_of(kind)) is not None or kind.__module__ not in sys.modules:
                yield kind
                yield from _state(value)
        else:
            yield kind
            self._compiled(value)
            if not any(base.__module__ in _VOLATILE for base in kind.__mro__):
                yield from _state(value)

    def _module(self, module: ModuleType) -> None:
        file = own_file_of(vars(module))
        if file is None:
            self._tell("module", *named_version(module))
        else:
            self._source(file, vars(module))

    def _compiled(self, value: Any) -> None:
        """The file of an extension module, where a builtin or its object comes from one."""
        module = sys.modules.get(getattr(value, "__module__", None) or "")
        file = own_file_of(vars(module)) if module is not None else None
        if module is not None and file is not None:
            self._source(file, vars(module))

    def _source(self, file: Path, scope: dict[str, Any]) -> None:
        """A file of the user's own, and those that it imports."""
        package = scope.get("__package__")
        if package is None:
            package = str(scope.get("__name__", "")).rpartition(".")[0]
        self._read(file, package or "")

    def _read(self, file: Path, package: str) -> None:
        if file in self._files:
            return
        self._files.add(file)
        self._tell("file")
        try:
            text = file.read_bytes()
            if file.suffix != ".py":
                self._tell(hashlib.sha256(text).hexdigest())
                return
            code, said, imported = compiled(text, file.name, package)
        except (OSError, SyntaxError, ValueError):  # gone, or broken since it was imported
            self._tell("unreadable")
            return
        self._tell(*said)
        self._imports(imported)
        if not is_ours(file):
            self._named_files(code, file.parent)

    def _code(self, code: CodeType) -> None:
        self._tell(*said_by(code))

    def _imports(self, names: list[str]) -> None:
        for name in names:
            for file, its_package in own_files(name):
                self._read(file, its_package)

    def _named_files(self, code: CodeType, folder: Path | None) -> None:
        for file in files_named_in(code, folder):
            if file in self._files:
                continue
            self._files.add(file)
            with suppress(OSError):
                self._tell("named file", file.name, hashlib.sha256(file.read_bytes()).hexdigest())

    def _in_order(self, values: set[Any] | frozenset[Any]) -> list[Any]:
        """A set's members, in an order that does not change from process to process."""
        by_name: dict[str, list[Any]] = {}
        for value in values:
            by_name.setdefault(_name_of(value), []).append(value)
        ordered: list[Any] = []
        for name in sorted(by_name):
            alike = by_name[name]
            if len(alike) == 1:
                ordered += alike
            elif self._depth >= _DEEPEST_SET:
                self._tell(name, str(len(alike)))
            else:  # told apart by what they are, each hashed by itself
                self._tell(*sorted(OwnCode(self._depth + 1).digest(value) for value in alike))
        return ordered


class _Named:
    """A module, and the names that code which can reach it uses."""

    def __init__(self, module: ModuleType, names: frozenset[str]) -> None:
        self.module = module
        self.names = names


def _name_of(value: Any) -> str:
    """What a set's member is called, the same in every process."""
    kind = type(value)
    if kind in _PLAIN:
        return f"{kind.__name__} {value!r}"
    module, name = (getattr(value, key, "") for key in ("__module__", "__qualname__"))
    return f"{kind.__module__}.{kind.__qualname__} {module}.{name}"


def _state(value: Any) -> Iterator[Any]:
    """What an object holds: what pickle would keep of it, or else its attributes."""
    try:
        reduced = value.__reduce_ex__(4)
    except Exception:  # a lock, a file, a generator; or a class that forbids it
        attributes = getattr(value, "__dict__", None)
        yield sorted(attributes) if attributes else None
        return
    if isinstance(reduced, str):
        yield reduced
        return
    made_by, arguments, *rest = reduced
    if made_by not in (copyreg.__newobj__, copyreg._reconstructor):  # type: ignore[attr-defined]
        yield made_by
    yield arguments
    yield from (list(part) if isinstance(part, Iterator) else part for part in rest)


def _scope_of(made: type) -> dict[str, Any]:
    module = sys.modules.get(made.__module__)
    return {} if module is None else vars(module)
