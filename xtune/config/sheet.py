"""A rendered config: the flat sheet's text, its values, and where each was set."""

from __future__ import annotations

import ast
import hashlib
import linecache
import re
import shlex
import traceback
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any

from mmengine.config import ConfigDict

from xtune.config.literals import Binding, dict_entries, find, is_set, top_level
from xtune.config.source import Line, Origin, parse, shown_path, text_of
from xtune.errors import ConfigError, UsageError, did_you_mean
from xtune.registry import look_next_to

__all__ = ["Setting", "Sheet", "evaluate", "flat_items"]


@dataclass(frozen=True)
class Setting:
    """A value that was set and then replaced: by a leaf, or by an option."""

    origin: Origin
    source: str


@dataclass(frozen=True, repr=False)
class Sheet:
    """What runs, what `copy-cfg` writes and what `work_dir/config.py` records.

    Printed it is its text. `values` are what the text sets and are not for changing: render the
    sheet with other knobs, or save it and edit the file.

    Attributes:
        path: the config file it was rendered from.
        lines: the text, and where each line was written.
        values: what the text sets, by name: knobs and sections alike.
        replaced: for each name, the settings that no longer hold, oldest first.
        options: dotted keys set on the command line inside a line of a file.
    """

    path: Path
    lines: Sequence[Line]
    values: ConfigDict
    replaced: Mapping[str, Sequence[Setting]] = field(default_factory=dict)
    options: Mapping[str, Origin] = field(default_factory=dict)

    def __str__(self) -> str:
        return self.text

    def __repr__(self) -> str:
        return f"<Sheet {self.name}: {len(self.lines)} lines; print() shows them>"

    def _repr_markdown_(self) -> str:
        """What a notebook shows where a cell ends with the sheet."""
        return f"```python\n{self.text}```"

    @property
    def name(self) -> str:
        """The file's stem, which also names the work_dir."""
        return self.path.stem

    @cached_property
    def text(self) -> str:
        """The flat sheet, ending with a newline."""
        return text_of(self.lines)

    @cached_property
    def tree(self) -> ast.Module:
        """The parsed text."""
        return parse(self.lines)

    @cached_property
    def bindings(self) -> list[Binding]:
        """What the sheet sets at its top level."""
        return top_level(self.tree)

    @property
    def digest(self) -> str:
        """The sha256 of the text, in hexadecimal."""
        return hashlib.sha256(self.text.encode()).hexdigest()

    def save(self, path: str | Path) -> Path:
        """Write the sheet as a config file, to edit it; a file that says the same may be there.

            xtune.render('smollm2_135m_lora_toolcall').save('mine.py')

        Args:
            path: the new file; a folder gets NAME_copy.py. Its `Run:` line says how to run it.

        Returns:
            The file.

        Raises:
            UsageError: another file is there, or it cannot be written.
        """
        file = Path(path).expanduser()
        if file.suffix != ".py":
            file = file / f"{self.name}_copy.py"
        text = _naming(self.text, self.name, shlex.quote(str(file)))
        try:
            if file.is_file() and file.read_text(encoding="utf-8", errors="replace") == text:
                return file
            if not file.parent.exists():
                file.parent.mkdir(parents=True)
            with file.open("x", encoding="utf-8") as opened:
                opened.write(text)
        except FileExistsError:
            raise UsageError(f"{file} exists already: give another name, or delete it") from None
        except OSError as error:
            raise UsageError(f"{file} cannot be written: {error}") from error
        return file

    def origin(self, key: str, *, of_value: bool = True) -> Origin:
        """Return the file and line that set a dotted key.

        `optimizer.lr` of `optimizer = dict(lr=lr)` got its value where `lr` did. A key that does
        not exist was set, if anywhere, where the dict that it would lie in was.

        Args:
            key: the dotted key.
            of_value: follow the name that the value is taken from; else where the key stands.
        """
        return self.chain(key, of_value=of_value)[-1]

    def chain(self, key: str, *, of_value: bool = True) -> list[Origin]:
        """Return where the key stands in the sheet and, name by name, where it comes from.

        Args:
            key: dotted.
            of_value: follow the last name to what it stands for, too.
        """
        found = find(self.bindings, key, through_last=of_value)
        if found is None:
            elsewhere = is_set(self.tree, key.split(".")[0])
            if elsewhere is None:
                return [Origin(shown_path(self.path), 1)]
            return [self.lines[elsewhere.lineno - 1].origin]
        origins: list[Origin] = []
        for name in found.keys:
            if (option := self._option(name)) is not None:
                return [*origins, option]
            here = find(self.bindings, name, through_last=False)
            assert here is not None
            origins.append(self.lines[here.node.lineno - 1].origin)
        return list(dict.fromkeys(origins))

    def _option(self, key: str) -> Origin | None:
        """The option that set this key or a dict it lies in."""
        parts = key.split(".")
        prefixes = (".".join(parts[:end]) for end in range(len(parts), 1, -1))
        return next((self.options[prefix] for prefix in prefixes if prefix in self.options), None)


def evaluate(lines: Sequence[Line], path: Path) -> dict[str, Any]:
    """Run a sheet and return what it sets: no modules, functions, classes or private names.

    Args:
        lines: of the sheet.
        path: of the config, for messages and for files next to it.

    Raises:
        ConfigError: the sheet fails; names the file and line where the failing line was written.
    """
    text = text_of(lines)
    # A name of its own, so that tracebacks and inspect.getsource (the token cache is keyed by a
    # map_fn's source) read the rendered text and not a file that other options have left behind.
    run_as = f"<config {path.stem} {hashlib.sha256(text.encode()).hexdigest()[:8]}>"
    linecache.cache[run_as] = (len(text), None, text.splitlines(keepends=True), run_as)
    namespace: dict[str, Any] = {"__name__": "__xtune_config__", "__file__": str(path)}
    parse(lines)
    look_next_to(path)
    try:
        exec(compile(text, run_as, "exec"), namespace)
    except Exception as error:
        frames = traceback.extract_tb(error.__traceback__)
        number = next((frame.lineno for frame in reversed(frames) if frame.filename == run_as), 1)
        line = lines[(number or 1) - 1]
        near = ""
        if isinstance(error, NameError) and error.name:
            near = did_you_mean(error.name, [k for k in namespace if not k.startswith("__")])
        elif isinstance(error, ModuleNotFoundError):
            near = (
                f"; one of your own lies next to the config, in {path.resolve().parent}, or in a "
                "folder that PYTHONPATH names"
            )
        elif isinstance(error, TypeError | ValueError):
            near = _no_dict(parse(lines), number or 1, namespace)
        what = f"{type(error).__name__}: {error}{near}"
        raise ConfigError(f"{line.origin}: {line.text.strip()}: {what}") from error
    return {
        name: value
        for name, value in namespace.items()
        if not name.startswith("_") and not isinstance(value, ModuleType | FunctionType | type)
    }


def _naming(text: str, name: str, copy: str) -> str:
    """The sheet whose docstring's `Run:` says how to run the copy, not what it was copied from."""
    docstring = re.match(r'\s*""".*?"""', text, re.S)
    if docstring is None or '"' in copy or "\\" in copy:
        return text
    said = docstring.group()
    said = re.sub(rf"xtune copy-cfg {name} my_run\.py\n\s+", "", said).replace("my_run.py", copy)
    run = re.compile(rf"xtune train {name}(?!\w)")
    return run.sub(lambda _: f"xtune train {copy}", said) + text[docstring.end() :]


def _no_dict(tree: ast.Module, number: int, values: Mapping[str, Any]) -> str:
    """Say which name in the statement at a line should be a dict: `dict(name, lr=1)`; or ''."""
    for statement in tree.body:
        if statement.lineno <= number <= (statement.end_lineno or 0):
            for node in ast.walk(statement):
                for key, value in dict_entries(node) if isinstance(node, ast.expr) else ():
                    if key is not None or not isinstance(value, ast.Name):
                        continue
                    if not isinstance(given := values.get(value.id, {}), Mapping):
                        return f"; {value.id} must be a dict, not {given!r}"
    return ""


def flat_items(value: Any, key: str = "") -> Iterator[tuple[str, Any]]:
    """Yield every dotted key and its value, into dicts and into lists of dicts.

    Args:
        value: of a sheet, or part of it.
        key: its own dotted key; '' for the whole.

    >>> list(flat_items({'a': {'b': 1}, 'hooks': [{'type': 'X'}], 'betas': (0.9, 0.99)}))
    [('a.b', 1), ('hooks.0.type', 'X'), ('betas', (0.9, 0.99))]
    """
    inner: Iterator[tuple[Any, Any]] | None = None
    if isinstance(value, Mapping) and value:
        inner = iter(value.items())
    elif isinstance(value, list | tuple) and any(isinstance(item, Mapping) for item in value):
        inner = iter(enumerate(value))
    if inner is None:
        yield key, value
        return
    for part, item in inner:
        yield from flat_items(item, f"{key}.{part}" if key else str(part))
