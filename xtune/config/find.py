"""Find a config by its name or its path."""

from __future__ import annotations

from difflib import get_close_matches
from pathlib import Path

from xtune.errors import UsageError

__all__ = ["config_root", "find_config", "list_configs"]

_PACKAGE = Path(__file__).resolve().parents[1]


def config_root() -> Path:
    """Return the folder of the shipped configs.

    In a built wheel it lies inside the package, in a checkout beside it.
    """
    packaged = _PACKAGE / "configs"
    return packaged if packaged.is_dir() else _PACKAGE.parent / "configs"


def list_configs(pattern: str | None = None) -> dict[str, Path]:
    """Return every named config, sorted by name.

    Args:
        pattern: only names that contain this, upper or lower case alike.

    Returns:
        Names (file stems) and their files. `_base_` holds parts, which are no configs.
    """
    root = config_root()
    leaves = {
        path.stem: path
        for path in root.rglob("*.py")
        if "_base_" not in path.relative_to(root).parts and path.stem != "__init__"
    }
    wanted = (pattern or "").lower()
    return {name: leaves[name] for name in sorted(leaves) if wanted in name.lower()}


def find_config(name_or_path: str | Path) -> Path:
    """Turn what a user typed into a config file.

    Args:
        name_or_path: a path to a Python file, or the name of a shipped config.

    Raises:
        UsageError: neither exists; near names are listed.
    """
    path = Path(name_or_path).expanduser()
    if path.is_file():
        return path.resolve()
    known = list_configs()
    name = path.stem if path.suffix == ".py" else path.name
    is_bare_name = path.parent == Path(".")
    if is_bare_name and name in known:
        return known[name]
    near = get_close_matches(name, known, n=3, cutoff=0.5)
    near += [other for other in known if name.lower() in other.lower() and other not in near]
    what = "config named" if is_bare_name and path.suffix != ".py" else "config file"
    raise UsageError(
        f"no {what} {str(name_or_path)!r}"
        + (f"; near it: {', '.join(near[:5])}" if near else "")
        + ". All names: xtune list-cfg"
    )
