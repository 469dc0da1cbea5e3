"""How an answer is to be written, from the fields that all kinds of completions share."""

from __future__ import annotations

import dataclasses
import secrets
from dataclasses import dataclass

from xtune.errors import UsageError
from xtune.generation.settings import GenerationSettings
from xtune.serve.api.errors import ApiError, unsupported
from xtune.serve.api.fields import Fields

__all__ = ["Sampling", "limit_of", "sampling_of", "stops_of", "stream_of"]

_MOST_STOPS = 16
_MOST_ANSWERS = 32
_MOST_TRIED = 64
_MOST_BIASES = 1024
_ALPHA, _TOP_K = 0.6, 4  # of contrastive search, where nothing is said


@dataclass(frozen=True, slots=True)
class Sampling:
    """How answers are written.

    Attributes:
        settings: of the first; the seed of the next is one more.
        n: how many answers.
        stop: strings that end them.
        stop_ids: tokens that do: vLLM's `stop_token_ids`.
        penalty_alpha: of contrastive search; None: no such search.
        bias: tokens, and what is added to the logit of each.
        notices: what was taken for something else.
    """

    settings: GenerationSettings
    n: int
    stop: tuple[str, ...]
    stop_ids: tuple[int, ...]
    penalty_alpha: float | None
    bias: tuple[tuple[int, float], ...]
    notices: tuple[str, ...]

    def settings_of(self, number: int) -> GenerationSettings:
        """Return the settings of one of the answers.

        Args:
            number: of the answer, from 0.
        """
        seed = ((self.settings.seed or 0) + number) % 2**63
        return dataclasses.replace(self.settings, seed=seed)


def sampling_of(fields: Fields, limit: int | None, notices: list[str], *, rows: int) -> Sampling:
    """Read how answers are to be written; OpenAI's defaults where nothing is said.

    Args:
        fields: of the request.
        limit: tokens of an answer; None: as many as there is room for.
        notices: of what was read before.
        rows: of the model's embedding: token ids are below it.

    Raises:
        ApiError: a value out of range.
    """
    n = fields.take("n", "an integer", 1)
    if not 1 <= n <= _MOST_ANSWERS:
        raise fields.refusal("n", f"is {n}; allowed: 1 to {_MOST_ANSWERS}")
    seed = fields.take("seed", "an integer")
    alpha = _contrastive(fields, notices)
    top_k = fields.take("top_k", "an integer", 0 if alpha is None else _TOP_K)
    values = {
        "temperature": fields.take("temperature", "a number", 1.0),
        "top_p": fields.take("top_p", "a number", 1.0),
        "top_k": max(top_k, 0) if top_k >= -1 else top_k,  # vLLM writes -1 for all
        "repetition_penalty": fields.take("repetition_penalty", "a number", 1.0),
        "presence_penalty": fields.take("presence_penalty", "a number", 0.0),
        "frequency_penalty": fields.take("frequency_penalty", "a number", 0.0),
    }
    try:
        settings = GenerationSettings(
            max_new_tokens=2**31 if limit is None else limit,
            seed=secrets.randbits(62) if seed is None else seed % 2**63,
            **values,
        )
    except UsageError as error:
        name = str(error).split(" ", 1)[0]
        shown, more = name, ""
        if name == "max_new_tokens":
            shown, more = "max_tokens", "; leave it out for as many as there is room for"
        said = str(error).replace(name, shown, 1) + more
        raise ApiError(400, said, param=shown, code="invalid_value") from None
    if alpha is not None and not 1 <= settings.top_k <= _MOST_TRIED:
        raise fields.refusal(
            "top_k", f"is {top_k}; with contrastive search allowed: 1 to {_MOST_TRIED}"
        )
    stop_ids = fields.take("stop_token_ids", "a list", [])
    if not all(type(each) is int and each >= 0 for each in stop_ids):
        raise fields.refusal("stop_token_ids", "must be a list of token ids")
    bias = _bias(fields, rows)
    return Sampling(settings, n, stops_of(fields), tuple(stop_ids), alpha, bias, tuple(notices))


def limit_of(fields: Fields, notices: list[str], *names: str) -> int | None:
    """Return how many tokens an answer may have, by the first of the names that says it.

    Args:
        fields: of the request.
        notices: gets one where the old name is used.
        names: of the field, the newest first.
    """
    given = [fields.take(name, "an integer") for name in names]
    old = fields.take("max_length", "an integer")
    if old is not None:
        notices.append(f"max_length is read as {names[0]}")
    return next((value for value in (*given, old) if value is not None), None)


def stops_of(fields: Fields) -> tuple[str, ...]:
    """Return the strings that end an answer: one, or a list."""
    stop = fields.take_any("stop")
    stops = [stop] if isinstance(stop, str) else (stop or [])
    if not isinstance(stops, list) or not all(isinstance(each, str) and each for each in stops):
        raise fields.refusal("stop", "must be a string or a list of strings, none of them empty")
    if len(stops) > _MOST_STOPS:
        raise fields.refusal("stop", f"has {len(stops)} strings; allowed: {_MOST_STOPS}")
    return tuple(stops)


def stream_of(fields: Fields) -> tuple[bool, bool]:
    """Return whether the answer is streamed, and whether its usage is told at the end."""
    streams = fields.take("stream", "true or false", False)
    options = fields.within("stream_options")
    usage = options.take("include_usage", "true or false", False)
    options.take("include_obfuscation", "true or false", False)  # padding, which says nothing
    options.refuse_rest()
    if usage and not streams:
        raise unsupported("stream_options", "goes with stream: true")
    return streams, usage


def _bias(fields: Fields, rows: int) -> tuple[tuple[int, float], ...]:
    """Token ids, which JSON has as strings, with numbers from -100 to 100."""
    given = fields.take("logit_bias", "an object", {})
    if len(given) > _MOST_BIASES:
        raise fields.refusal("logit_bias", f"has {len(given)} tokens; allowed: {_MOST_BIASES}")
    for token, more in given.items():
        if not (token.isascii() and token.isdecimal() and int(token) < rows):
            raise fields.refusal(
                "logit_bias", f"has {token[:40]!r}; a token's id goes, from 0 to {rows - 1}"
            )
        if isinstance(more, bool) or not isinstance(more, int | float) or abs(more) > 100:
            raise fields.refusal("logit_bias", f"gives {token} {more!r}; allowed: -100 to 100")
    return tuple((int(token), float(more)) for token, more in given.items())


def _contrastive(fields: Fields, notices: list[str]) -> float | None:
    """The penalty of contrastive search, where the older field `decoder` asks for that."""
    decoder = fields.take("decoder", "a string")
    alpha = fields.take("penalty_alpha", "a number")
    if decoder not in (None, "sample", "contrastive"):
        raise fields.refusal("decoder", f"is {decoder!r}; allowed: sample, contrastive")
    if decoder is not None:
        notices.append(f"decoder={decoder} is an older name, which OpenAI's API does not have")
    if decoder == "sample" or (decoder is None and not alpha):
        return None
    alpha = _ALPHA if alpha is None else alpha
    if not 0 <= alpha <= 1:
        raise fields.refusal("penalty_alpha", f"is {alpha}; allowed: 0 to 1")
    return float(alpha)
