"""The written file in llama.cpp itself, by `xllamacpp` (extra `llamacpp`).

The library runs llama.cpp's own server inside the process, on a free port of this machine alone.
Keys and values are kept in F32 here, so that the file is measured and not the cache; a text's
tokens are given as ids, one more at a time, of which the server computes the new one alone.
"""

from __future__ import annotations

import importlib.util
import json
import urllib.error
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from xtune.errors import ModelError
from xtune.export.proof.dialogues import Dialogue
from xtune.export.proof.reference import Reference, Scored, plain_text
from xtune.export.proof.scores import Given

__all__ = ["LlamaCppReader", "is_installed"]

_LISTED = 128  # likeliest tokens of a place
_LEFT = 64  # tokens of room behind the longest text


def is_installed() -> bool:
    """Whether the extra is there."""
    return importlib.util.find_spec("xllamacpp") is not None


class LlamaCppReader:
    """llama.cpp with one file, and an adapter's if one is given.

    Args:
        file: the model.
        longest: tokens of the longest text.
        threads: how many it may use.
        adapter: a LoRA file.

    Attributes:
        early: tokens at which llama.cpp ended an answer by itself, and chat does not: it knows
            the end tokens of many families by their text.

    Raises:
        ModelError: llama.cpp does not load it.
    """

    name = "llama.cpp"

    def __init__(
        self, file: Path, *, longest: int, threads: int = 1, adapter: Path | None = None
    ) -> None:
        import xllamacpp

        params = xllamacpp.CommonParams()
        params.model.path = str(file)
        params.n_ctx = longest + _LEFT
        params.n_parallel = 1
        params.cpuparams.n_threads = params.cpuparams_batch.n_threads = threads
        params.n_gpu_layers = 0
        params.warmup = False
        params.verbosity = 0
        params.use_jinja = True
        params.fit_params = False
        params.cache_type_k = params.cache_type_v = xllamacpp.ggml_type.GGML_TYPE_F32
        if adapter is not None:
            params.lora_adapters = [_lora(xllamacpp, adapter)]
        self.in_16_bits = False
        self.in_8_bits = True
        self.early: set[int] = set()
        try:
            self._server = xllamacpp.Server(params)
        except RuntimeError as error:
            raise ModelError(f"llama.cpp does not load {file.name}: {error}") from error
        self._whole = self._ids("a")[-1]

    def prompt(self, dialogue: Dialogue, *, is_chat: bool) -> list[int]:
        """By `/apply-template`, then `/tokenize` as its chat does.

        Args: as in `Reader`.
        """
        if not is_chat:
            ids = self._ids(plain_text(dialogue))
            return ids[: max(len(ids) // 2, 1)]
        asked: dict[str, Any] = {"messages": [_openai(dict(m)) for m in dialogue.messages]}
        if dialogue.tools:
            asked["tools"] = dialogue.tools
        return self._ids(self._post("/apply-template", asked)["prompt"])

    def lacking_ends(self, reference: Reference) -> list[int]:
        """Each id is forced, and has to end the answer.

        Args: as in `Reader`.
        """
        lacking = []
        for number in reference.end_ids:
            forced = self._post(
                "/completion",
                {
                    "prompt": reference.prompts[0],
                    "n_predict": 2,
                    "temperature": 0,
                    "logit_bias": [[number, 1000.0]],
                },
            )
            if forced["stop_type"] != "eos" or forced["tokens_predicted"] > 1:
                lacking.append(number)
        return lacking

    def given(self, text: Scored) -> list[Given]:
        """The likeliest tokens of each place.

        What is written there is a letter, by force, since the server says nothing of a token that
        is a part of a character; the probabilities are those before it was forced.

        Args: as in `Reader`.
        """
        found = []
        for place in text.places:
            listed = self._listed(text.ids[:place])
            found.append(
                Given(
                    torch.tensor([one["id"] for one in listed]),
                    torch.tensor([one["logprob"] for one in listed], dtype=torch.float64),
                )
            )
        return found

    def greedy(self, text: Scored, reference: Reference) -> list[int]:
        """Written by its own loop, and ended by what ends an answer there.

        Args: as in `Reader`.
        """
        begin, count = text.places[0], len(text.places)
        tokens: list[int] = []
        while len(tokens) < count:
            said = self._post(
                "/completion",
                {
                    "prompt": [*text.ids[:begin], *tokens],
                    "n_predict": count - len(tokens),
                    "temperature": 0,
                    "return_tokens": True,
                    "stop": reference.stop_words,
                },
            )
            tokens += said["tokens"]
            if said["stop_type"] != "eos" or tokens != text.ids[begin : begin + len(tokens)]:
                break
            ending = tokens[-1]  # llama.cpp lists the token that ended it too
            if ending in reference.end_ids:
                break
            self.early.add(ending)
        return tokens

    def _listed(self, ids: list[int]) -> list[dict[str, Any]]:
        said = self._post(
            "/completion",
            {
                "prompt": ids,
                "n_predict": 1,
                "temperature": 0,
                "n_probs": _LISTED,
                "cache_prompt": True,
                "logit_bias": [[self._whole, 1000.0]],
            },
        )
        listed: list[dict[str, Any]] = said["completion_probabilities"][0]["top_logprobs"]
        return listed

    def _ids(self, text: str) -> list[int]:
        said = self._post(
            "/tokenize", {"content": text, "add_special": True, "parse_special": True}
        )
        return list(said["tokens"])

    def _post(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        request = urllib.request.Request(
            self._server.listening_address + path,
            data=json.dumps(body).encode(),
            headers={"Content-Type": "application/json"},
        )
        try:
            with urllib.request.urlopen(request) as answer:
                said: dict[str, Any] = json.loads(answer.read())
        except urllib.error.HTTPError as error:
            raise ModelError(
                f"llama.cpp refuses {path}: {error.read().decode(errors='replace')[:300]}"
            ) from error
        return said


def _openai(message: dict[str, Any]) -> dict[str, Any]:
    """Arguments as text, as OpenAI has them."""
    calls: Sequence[Any] = message.get("tool_calls") or ()
    if not calls:
        return message
    changed = []
    for call in calls:
        function = dict(call["function"])
        if not isinstance(function["arguments"], str):
            function["arguments"] = json.dumps(function["arguments"], ensure_ascii=False)
        changed.append({**call, "function": function})
    return {**message, "tool_calls": changed}


def _lora(xllamacpp: Any, file: Path) -> Any:
    info = xllamacpp.CommonAdapterLoraInfo()
    info.path, info.scale = str(file), 1.0
    return info
