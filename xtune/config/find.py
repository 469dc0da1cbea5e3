"""Find a config by its name or its path."""

from __future__ import annotations

import re
from difflib import get_close_matches
from pathlib import Path

from xtune.config.foreign_configs import answer_to_config
from xtune.errors import UsageError
from xtune.local_path import not_there
from xtune.names import is_path

__all__ = ["config_root", "find_config", "list_configs", "xtuners_name"]

_PACKAGE = Path(__file__).resolve().parents[1]
_COPY_ONE = "a Python file; xtune copy-cfg custom_sft_lora writes one to edit"
_ROWS = f"{_COPY_ONE}, and data_path in it names your rows"
_NO_CONFIGS = dict.fromkeys((".json", ".jsonl", ".csv", ".parquet", ".txt"), _ROWS)
_NO_CONFIGS |= dict.fromkeys((".yaml", ".yml", ".toml"), _COPY_ONE)
_XTUNERS = re.compile(
    r"(?P<stem>.+?)(_e(?P<epochs>\d+)|(?=_gpu\d|_sp\d))((_gpu|_sp|_z)\d+|_\d+k|_hf)*(\.py)?"
)
_PACKED = "_varlenattn"  # what every run is here: no answer sees another one of its row


def config_root() -> Path:
    """Return the folder of the shipped configs.

    In a built wheel it lies inside the package, in a checkout next to it.
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

    XTuner's names say the epochs, and sometimes the GPUs or the attention of packs:
    internlm_7b_qlora_alpaca_e3, internlm2_chat_7b_dpo_qlora_varlenattn. They are found too; nothing
    of a config is changed by its name, and `render` says what differs.

    Args:
        name_or_path: a path to a Python file, or the name of a shipped config.

    Raises:
        UsageError: neither exists; near names are listed.
    """
    path = Path(name_or_path).expanduser()
    if not str(name_or_path).strip():
        raise UsageError("the config's name is empty; all names: xtune list-cfg")
    if path.is_file():
        if path.suffix in _NO_CONFIGS:
            raise UsageError(
                f"{str(name_or_path)!r} is no config, which is {_NO_CONFIGS[path.suffix]}"
            )
        return path.resolve()
    if path.is_dir() and (path / "config.py").is_file():
        raise UsageError(
            f"{str(name_or_path)!r} is the folder of a run; its config is {path / 'config.py'}"
        )
    known = list_configs()
    name = path.stem if path.suffix == ".py" else path.name
    is_bare_name = path.parent == Path(".")
    if is_bare_name and name in known:
        return known[name]
    if theirs := xtuners_name(name_or_path):
        return known[theirs[0]]
    if path.is_dir():
        raise UsageError(
            f"{str(name_or_path)!r} is a folder; give a config's file, or a name: xtune list-cfg"
        )
    if is_path(str(name_or_path)):
        raise UsageError(f"{not_there(str(name_or_path), 'config file')} All names: xtune list-cfg")
    near = get_close_matches(name, known, n=3, cutoff=0.5)
    near += [other for other in known if name.lower() in other.lower() and other not in near]
    what = "config named" if is_bare_name and path.suffix != ".py" else "config file"
    answer = answer_to_config(path.name, known) if is_bare_name else ""
    near = [] if answer else near
    raise UsageError(
        f"no {what} {str(name_or_path)!r}"
        + (f": {answer}" if answer else "")
        + (f"; near it: {', '.join(near[:5])}" if near else "")
        + ". All names: xtune list-cfg"
    )


def xtuners_name(name_or_path: str | Path) -> tuple[str, int | None] | None:
    """Split a name of XTuner's into what it is called here and the epochs that it says.

    >>> xtuners_name('internlm_7b_qlora_alpaca_e3_gpu8')
    ('internlm_7b_qlora_alpaca', 3)
    >>> xtuners_name('llama3_8b_instruct_orpo_qlora_varlenattn_ultrafeedback_e5')
    ('llama3_8b_instruct_orpo_qlora_ultrafeedback', 5)

    Args:
        name_or_path: as for `find_config`.

    Returns:
        The name of a shipped config, and epochs; None of them in a name that says none. None for
        whatever is no such name: a file that is there, or no config of ours.
    """
    path = Path(name_or_path).expanduser()
    known = list_configs()
    if path.is_file() or path.parent != Path(".") or path.stem in known:
        return None
    name = path.name.replace(_PACKED, "")
    theirs = _XTUNERS.fullmatch(name)
    stem = theirs["stem"] if theirs else name.removesuffix(".py")
    if stem not in known:
        return None
    return stem, int(theirs["epochs"]) if theirs and theirs["epochs"] else None
