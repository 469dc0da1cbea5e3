"""Ask the Hugging Face hub or ModelScope once, before their libraries ask again and again.

They repeat each of several requests five times, over minutes, where there is no network. One
request without a repetition tells first whether a model or data set can be had.
"""

from __future__ import annotations

import functools
import os
from pathlib import Path
from typing import Literal

from xtune.names import Kind, is_hub_id, kind_of

__all__ = [
    "TIMEOUT",
    "WITHOUT_NETWORK",
    "cached_config",
    "cached_folder",
    "fetch_it_first",
    "why_not",
    "why_not_modelscope",
]

TIMEOUT = 10.0  # seconds; an address that is blocked may never answer

_ANYWAY = (
    "set HF_ENDPOINT=https://… to a mirror; write modelscope:owner/name to fetch it from "
    "ModelScope; HF_HUB_OFFLINE=1 asks for what is cached only"
)
WITHOUT_NETWORK = (
    f"Without the hub: give a folder or a .gguf file that is here, or 'smollm2'; {_ANYWAY}; "
    "`xtune tiny-model CONFIG OUT` writes a tiny random model to try a config with. See "
    "docs/en/offline.md"
)
_DATA_WITHOUT_NETWORK = (
    "Without the hub: give a json, jsonl, csv or parquet file, or a folder of these, that is here; "
    f"{_ANYWAY}; `xtune tiny-model CONFIG OUT` writes rows of the config's form to try it with. "
    "See docs/en/offline.md"
)
_LOG_IN = (
    "Ask for access on its page, then log in with `hf auth login`, or set HF_TOKEN to a token of "
    "yours. See docs/en/offline.md"
)


@functools.cache  # the answer stays for a process: tokenizer, config and weights ask alike
def why_not(name: str, kind: Literal["model", "dataset"] = "model") -> str | None:
    """Return why a model or data set cannot be had from the hub, or None if it can.

    Args:
        name: 'owner/name'.
        kind: what it is.
    """
    import huggingface_hub

    if huggingface_hub.is_offline_mode():
        return None  # its libraries look at the cache only, at once
    what = "data set" if kind == "dataset" else "model"
    ways_out = _DATA_WITHOUT_NETWORK if kind == "dataset" else WITHOUT_NETWORK
    try:
        url = huggingface_hub.hf_hub_url(
            name, "config.json" if kind == "model" else "README.md", repo_type=kind
        )
        host, token = url.split("/")[2], huggingface_hub.get_token()
        answer = huggingface_hub.get_session().head(
            url,
            headers={"Authorization": f"Bearer {token}"} if token else {},
            timeout=TIMEOUT,
            follow_redirects=False,
        )
    except Exception as error:  # what a name and a network can do is of any type
        return f"the hub cannot be reached ({_said(error)}). {ways_out}"
    code = answer.headers.get("X-Error-Code", "")
    if code == "GatedRepo" or answer.status_code == 403:
        return f"the {what} is gated: {host} lets in only whom its owners allow. {_LOG_IN}"
    if code == "RepoNotFound" or answer.status_code == 401:
        return (
            f"{host} has no {what} of this name that you may see: check the spelling. If it is "
            f"private or gated: {_LOG_IN}"
        )
    if answer.status_code == 404 and code != "EntryNotFound":
        return f"{host} has no {what} of this name: check the spelling. {ways_out}"
    if answer.status_code >= 500:
        return f"{host} answers {answer.status_code}, try later. {ways_out}"
    return None


@functools.cache
def why_not_modelscope() -> str | None:
    """Return why ModelScope cannot be reached, or None if it answers, whatever it says."""
    import huggingface_hub

    domain = os.environ.get("MODELSCOPE_DOMAIN") or "modelscope.cn"
    endpoint = os.environ.get("MODELSCOPE_ENDPOINT") or f"https://{domain}"
    try:
        huggingface_hub.get_session().head(endpoint, timeout=TIMEOUT, follow_redirects=False)
    except Exception as error:  # what a name and a network can do is of any type
        return (
            f"{endpoint} cannot be reached ({_said(error)}). Without it: give a folder or a file "
            "that is here; or owner/name, to fetch it from the Hugging Face hub. See "
            "docs/en/offline.md"
        )
    return None


def _said(error: Exception) -> str:
    if "timeout" in type(error).__name__.lower():
        return f"no answer within {TIMEOUT:.0f} s"
    return (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(". ")


def cached_config(name: str) -> Path | None:
    """Return the config.json of a model that was fetched from the hub before, or None.

    Args:
        name: any; only a hub id, or a word such as 'gpt2', can have been fetched.
    """
    from huggingface_hub import try_to_load_from_cache

    if kind_of(name) not in (Kind.HUB, Kind.WORD):
        return None
    try:
        found = try_to_load_from_cache(name, "config.json")
    except ValueError:  # no name that a hub would give
        return None
    return Path(found) if isinstance(found, str) else None


def cached_folder(name: str) -> str | None:
    """Return the folder of a model that was fetched from the hub before, or None."""
    from huggingface_hub import snapshot_download

    if cached_config(name) is None:
        return None
    return snapshot_download(name, local_files_only=True)


def fetch_it_first(given: str) -> str:
    """Return what to type for an adapter on the hub, as the end of a message; '' for no such name.

    >>> fetch_it_first('owner/name')
    '. One on the hub is fetched first: hf download owner/name --local-dir adapters/name'
    >>> fetch_it_first('./adapter')
    ''
    """
    if not is_hub_id(given):
        return ""
    local = f"adapters/{given.split('/')[1]}"
    return f". One on the hub is fetched first: hf download {given} --local-dir {local}"
