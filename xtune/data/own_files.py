"""Which files of code are the user's own, and which files compiled code runs or names."""

from __future__ import annotations

import dis
import functools
import sys
import sysconfig
from collections.abc import Iterator
from contextlib import suppress
from importlib.machinery import PathFinder
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any

import xtune

__all__ = [
    "compiled",
    "file_of",
    "files_named_in",
    "imports_in",
    "is_ours",
    "is_own",
    "named_version",
    "names_in",
    "own_file_of",
    "own_files",
    "said_by",
]

_OURS = Path(xtune.__file__).resolve().parent
_OURS_TO_EDIT = (_OURS / "data" / "map_fns", _OURS / "data" / "templates")
_PYTHONS = tuple(
    Path(path).resolve()
    for name, path in sysconfig.get_paths().items()
    if name in ("stdlib", "platstdlib", "purelib", "platlib")
)
_INSTALLED = {"site-packages", "dist-packages"}
_NO_FILE = Path("built in")  # of modules that Python itself is made of
_IMPORTING = {"import_module", "__import__"}  # functions that take a module's name as text
_LARGEST = 16 * 2**20  # bytes of a file of words; what is larger is data


def file_of(scope: dict[str, Any]) -> Path | None:
    """The file of a module with these globals; None for a config, a notebook or a script."""
    spec = scope.get("__spec__")
    if spec is None or scope.get("__name__") == "__main__":
        return None
    origin = getattr(spec, "origin", None)
    if not getattr(spec, "has_location", False) or not origin:
        return _NO_FILE
    return Path(origin).resolve()


def own_file_of(scope: dict[str, Any]) -> Path | None:
    """`file_of`, if that is the user's own."""
    file = file_of(scope)
    return file if file is not None and is_own(file) else None


@functools.cache
def is_own(file: Path) -> bool:
    """Tell a file of the user's from those of Python, of installed packages, and of xtune."""
    if any(file.is_relative_to(folder) for folder in _OURS_TO_EDIT):
        return True
    if is_ours(file) or not _INSTALLED.isdisjoint(file.parts):
        return False
    return file != _NO_FILE and not any(file.is_relative_to(path) for path in _PYTHONS)


def is_ours(file: Path) -> bool:
    """Whether a file is one of xtune's."""
    return file.is_relative_to(_OURS)


def named_version(value: Any) -> tuple[str, ...]:
    """The name of what is not the user's own, and the version of what it comes with."""
    is_module = isinstance(value, ModuleType)
    module = value.__name__ if is_module else getattr(value, "__module__", None) or ""
    top = sys.modules.get(str(module).partition(".")[0])
    version = getattr(top, "__version__", "")
    name = "" if is_module else getattr(value, "__qualname__", type(value).__qualname__)
    return str(module), str(name), version if isinstance(version, str) else ""


def _flat(code: CodeType) -> Iterator[CodeType]:
    """Code, and the code of the functions inside it."""
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _flat(constant)


def said_by(code: CodeType) -> Iterator[str]:
    """What compiled code does, without where it stands; that of the functions inside it too."""
    for part in _flat(code):
        yield part.co_name
        yield part.co_code.hex()
        yield getattr(part, "co_exceptiontable", b"").hex()
        for names in (part.co_names, part.co_varnames, part.co_freevars, part.co_cellvars):
            yield from names
            yield ""
        for constant in part.co_consts:
            if not isinstance(constant, CodeType):
                yield _constant(constant)


def _constant(value: Any) -> str:
    if isinstance(value, frozenset):  # its order changes from process to process
        return f"frozenset{sorted(map(_constant, value))}"
    if isinstance(value, tuple):
        return f"({', '.join(map(_constant, value))})"
    return repr(value)


@functools.lru_cache(maxsize=1024)
def compiled(text: bytes, name: str, package: str) -> tuple[CodeType, list[str], list[str]]:
    """What a file's text is: its code, what that says, and the modules that it imports, in order.

    Kept, because one data set asks it three times of the same files.

    Args:
        text: of the file.
        name: of the file, without its folder.
        package: that its module is in.

    Raises:
        SyntaxError, ValueError: it is no Python.
    """
    code = compile(text, name, "exec", dont_inherit=True)
    return code, list(said_by(code)), sorted(set(imports_in(code, package)))


def names_in(code: CodeType) -> Iterator[str]:
    """The global names and attributes that a function and the functions inside it use."""
    for part in _flat(code):
        yield from part.co_names
        # `from package import name` names them in a tuple
        yield from (n for c in part.co_consts if isinstance(c, tuple) for n in c if type(n) is str)


def imports_in(code: CodeType, package: str) -> Iterator[str]:
    """The whole names of the modules that code imports, and of what it takes from them.

    Args:
        code: compiled.
        package: of the module it stands in, for relative imports.
    """
    for part in _flat(code):
        before: list[Any] = [0, None]  # what the last two instructions have put on the stack
        for instruction in dis.get_instructions(part):
            if instruction.opname == "IMPORT_NAME":
                level, taken = before[-2:]
                base = _absolute(str(instruction.argval), level, package)
                if base:
                    yield base
                    yield from (f"{base}.{name}" for name in taken or () if name != "*")
            before = [*before[-1:], instruction.argval]
        if not _IMPORTING.isdisjoint(part.co_names):
            for text in _texts(part):
                name = text.lstrip(".")
                if all(word.isidentifier() for word in name.split(".")):
                    base = _absolute(name, len(text) - len(name), package)
                    yield base
                    yield from (f"{base}.{word}" for word in _texts(part) if word.isidentifier())


def files_named_in(code: CodeType, folder: Path | None) -> Iterator[Path]:
    """Yield the files that texts in code name, seen from its folder or from the working folder.

    Args:
        code: of a file or a function, with the functions inside it.
        folder: of the file that it stands in.
    """
    places = [Path.cwd(), *([folder] if folder else [])]
    texts = {text for part in _flat(code) for text in _texts(part)}
    for text in sorted(texts):
        if "." not in text or len(text) > 255 or not text.isprintable():
            continue
        for file in dict.fromkeys((place / text).resolve() for place in places):
            with suppress(OSError):
                if file.suffix != ".py" and file.is_file() and file.stat().st_size <= _LARGEST:
                    yield file


def _texts(code: CodeType) -> Iterator[str]:
    """The texts in the code of one function, those in tuples too."""
    for constant in code.co_consts:
        for one in constant if isinstance(constant, tuple) else (constant,):
            if type(one) is str:
                yield one


def _absolute(name: str, level: Any, package: str) -> str:
    if not isinstance(level, int) or not level:
        return name
    above = package.split(".")[: len(package.split(".")) - level + 1]
    return ".".join([*above, *([name] if name else [])])


def own_files(name: str) -> Iterator[tuple[Path, str]]:
    """Yield the user's own files that an import of this whole name runs, each with its package.

    The module need not be loaded, and is not: that might do anything.
    """
    parts = name.split(".")
    places: Any = None
    for end in range(1, len(parts) + 1):
        whole = ".".join(parts[:end])
        module = sys.modules.get(whole)
        if module is not None:
            file, places = file_of(vars(module)), getattr(module, "__path__", None)
        else:
            try:
                spec = PathFinder.find_spec(whole, places)
            except (ImportError, ValueError, AttributeError):
                spec = None
            if spec is None:  # no module: `from package import a_function`
                return
            places = spec.submodule_search_locations
            file = Path(spec.origin).resolve() if spec.has_location and spec.origin else None
        if file is not None and file != _NO_FILE:  # a folder without __init__.py has none
            if not is_own(file):
                return
            yield file, whole if places is not None else whole.rpartition(".")[0]
        if places is None:
            return
