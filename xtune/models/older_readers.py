"""Old names next to the new ones in what transformers 5 writes, for readers built on 4.

    config.json             rope_parameters, dtype     and rope_theta, rope_scaling, torch_dtype
    tokenizer_config.json   TokenizersBackend          but the source's class, or that of 4
                            extra_special_tokens [..]  but additional_special_tokens

A reader that knows the old names alone takes a rotary base of 10,000 in silence, or finds no such
tokenizer. Nothing is written that transformers 5 would read as another config or tokenizer.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import transformers
from huggingface_hub import try_to_load_from_cache
from transformers import AutoConfig, AutoTokenizer

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

__all__ = [
    "TOKENIZER",
    "amend_config",
    "name_as_before",
    "read_json",
    "save_tokenizer",
    "write_json",
]

CONFIG, TOKENIZER = "config.json", "tokenizer_config.json"
# Classes that transformers 5 has and 4 has not
_NEW_CLASSES = ("TokenizersBackend", "PythonBackend", "SentencePieceBackend")
_GENERIC = {"PythonBackend": "PreTrainedTokenizer", "SentencePieceBackend": "PreTrainedTokenizer"}
_ADDED_BY_FLAG = ("add_bos_token", "add_eos_token")
_NAMES = {  # of the rotary base and of the share of a head that is rotated
    "gpt_neox": ("rotary_emb_base", "rotary_pct"),
}
_PHI3_SCALING = ("type", "short_factor", "long_factor")  # Phi3Config refuses further keys


def name_as_before(folder: Path) -> None:
    """Add the old names to a config.json in transformers' own layout."""
    fields = read_json(folder / CONFIG)
    amend_config(folder, _old_names(fields))


def amend_config(folder: Path, changes: Mapping[str, Any], *, differing: str = "") -> bool:
    """Change fields of config.json, if transformers then reads the same config as before.

    Args:
        folder: with a config.json that transformers reads with no code of ours.
        changes: field -> value; a mapping is put into the field's own.
        differing: a field that may be read otherwise.

    Returns:
        Whether the changes stand.
    """
    file = folder / CONFIG
    text = file.read_text(encoding="utf-8")
    fields = json.loads(text)
    before = _as_read(folder)
    for name, value in changes.items():
        inner = isinstance(value, Mapping) and isinstance(fields.get(name), dict)
        fields[name] = fields[name] | value if inner else value
    write_json(file, fields)
    after = _as_read(folder)
    if after is not None and _without(before, differing) == _without(after, differing):
        return True
    file.write_text(text, encoding="utf-8")
    return False


def save_tokenizer(tokenizer: PreTrainedTokenizerBase, folder: Path) -> None:
    """Write a tokenizer whose class transformers 4 has too: the source's where it reads alike.

    Args:
        tokenizer: its `name_or_path` says where it came from; looked up on this disk alone.
        folder: where to.
    """
    tokenizer.save_pretrained(folder)
    file = folder / TOKENIZER
    fields = read_json(file)
    if isinstance(extra := fields.get("extra_special_tokens"), list):
        # 4 takes a mapping under this name, and fails on a list
        fields["additional_special_tokens"] = extra
        del fields["extra_special_tokens"]
    own = fields["tokenizer_class"]
    source = _source_fields(str(tokenizer.name_or_path or ""))
    declared = str(source.get("tokenizer_class") or "")
    generic = own in _NEW_CLASSES
    plain = fields | {
        "tokenizer_class": _GENERIC.get(own, "PreTrainedTokenizerFast") if generic else own
    }
    same_class = generic or declared.removesuffix("Fast") == own.removesuffix("Fast")
    if same_class and declared not in _NEW_CLASSES and hasattr(transformers, declared or "-"):
        # A class of 4 may go by these, and transformers 5 leaves them out
        flags = {flag: source[flag] for flag in _ADDED_BY_FLAG if flag in source}
        as_declared = fields | flags | {"tokenizer_class": declared}
        write_json(file, as_declared)
        if as_declared == plain or _reads_alike(folder, tokenizer):
            return
    write_json(file, plain)


def read_json(file: Path) -> dict[str, Any]:
    """Return the object in a file that transformers or this room wrote."""
    fields: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return fields


def write_json(file: Path, fields: Mapping[str, Any]) -> None:
    """Write an object as transformers does.

    Args:
        file: whose name decides the order of the keys.
        fields: the object.
    """
    text = json.dumps(fields, indent=2, ensure_ascii=False, sort_keys=file.name == TOKENIZER)
    file.write_text(text + "\n", encoding="utf-8")


def _old_names(fields: Mapping[str, Any]) -> dict[str, Any]:
    """What transformers 4 calls the rotary settings and the number format of a config."""
    old: dict[str, Any] = {}
    if fields.get("dtype"):
        old["torch_dtype"] = fields["dtype"]
    kind = str(fields.get("model_type") or "")
    base, share = _NAMES.get(kind, ("rope_theta", "partial_rotary_factor"))
    rope = fields.get("rope_parameters") or {}
    if isinstance(local := rope.get("sliding_attention"), dict) and "full_attention" in rope:
        old["rope_local_base_freq"] = local.get("rope_theta")  # as Gemma 3 has it
        rope = rope["full_attention"]
    if "rope_theta" in rope:
        old[base] = rope["rope_theta"]
        if rope.get("partial_rotary_factor", 1.0) != 1.0:
            old[share] = rope["partial_rotary_factor"]
        if rope.get("rope_type", "default") != "default":
            apart = ("rope_theta", "partial_rotary_factor")
            scaling = {name: value for name, value in rope.items() if name not in apart}
            if kind == "phi3" and all(name in scaling for name in _PHI3_SCALING):
                scaling = {name: scaling[name] for name in _PHI3_SCALING}
            old["rope_scaling"] = scaling
    for part in ("text_config",):
        if isinstance(inner := fields.get(part), dict):
            old[part] = _old_names(inner)
    return old


def _as_read(folder: Path) -> dict[str, Any] | None:
    try:
        read: dict[str, Any] = AutoConfig.from_pretrained(folder).to_dict()
    except Exception:  # whatever the class checks: then the change does not fit it
        return None
    return read


def _without(fields: dict[str, Any] | None, name: str) -> dict[str, Any]:
    return {key: value for key, value in (fields or {}).items() if key != name}


def _source_fields(name_or_path: str) -> dict[str, Any]:
    """The tokenizer_config.json of a folder or, from the cache, of a hub id; nothing elsewhere."""
    file = Path(name_or_path).expanduser() / TOKENIZER
    try:
        if not name_or_path or not file.is_file():
            cached = try_to_load_from_cache(name_or_path, TOKENIZER) if name_or_path else None
            if not isinstance(cached, str):
                return {}
            file = Path(cached)
        return read_json(file)
    except (OSError, ValueError):  # a name that is no hub id; a file that is no JSON
        return {}


def _reads_alike(folder: Path, tokenizer: PreTrainedTokenizerBase) -> bool:
    try:
        read = AutoTokenizer.from_pretrained(folder)
    except Exception:  # whatever a class checks
        return False
    if type(read) is not type(tokenizer) or _facts(read) != _facts(tokenizer):
        return False
    return not tokenizer.is_fast or _state(read) == _state(tokenizer)


def _facts(tokenizer: PreTrainedTokenizerBase) -> list[Any]:
    special = dict(tokenizer.special_tokens_map)
    return [special, sorted(tokenizer.all_special_tokens), tokenizer.get_vocab()]


def _state(tokenizer: PreTrainedTokenizerBase) -> str:
    # Truncation and padding stand before; any call may have set them.
    text = str(tokenizer.backend_tokenizer.to_str())
    return text[text.index('"added_tokens"') :]
