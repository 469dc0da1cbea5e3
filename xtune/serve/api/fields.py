"""The fields of a request: each is taken by name and kind, and what nobody has taken is refused."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from xtune.errors import did_you_mean
from xtune.serve.api.errors import ApiError, unsupported

__all__ = ["Fields", "parsed_body"]

# They say who asks or how it is booked, and nothing about the answer.
_WITHOUT_EFFECT = (
    *("user", "metadata", "store", "service_tier", "safety_identifier"),
    *("prompt_cache_key", "prompt_cache_retention"),
)
# Fields that others honour, with the values of which each means what happens anyway
_NEUTRAL: Mapping[str, tuple[Any, ...]] = {
    "best_of": (1,),
    "echo": (False,),  # of a dialogue; /v1/completions takes it
    "functions": ([],),
    "modalities": (["text"],),
    "suffix": ("",),
}
_INSTEAD = {
    "audio": "only text is answered",
    "best_of": "only 1 is; use n, and choose yourself",
    "echo": "only /v1/completions echoes; /apply-template says what the model reads",
    "functions": "use tools",
    "function_call": "use tool_choice",
    "modalities": 'only ["text"] is',
    "prediction": "not honoured",
    "reasoning_effort": "a model reasons as its template and its training say",
    "web_search_options": "give the model a tool",
}
_KINDS: Mapping[str, tuple[type, ...]] = {
    "a string": (str,),
    "true or false": (bool,),
    "an integer": (int,),
    "a number": (int, float),
    "an object": (dict,),
    "a list": (list,),
}


class Fields:
    """The fields of one object of a request; null is as good as absent.

    Args:
        body: the object.
        within: what it is a part of: 'stream_options.'.
    """

    def __init__(self, body: Mapping[str, Any], within: str = "") -> None:
        self._rest = {name: value for name, value in body.items() if value is not None}
        self._known: list[str] = []
        self._within = within

    def take(self, name: str, kind: str, default: Any = None) -> Any:
        """Return a field's value.

        Args:
            name: of the field.
            kind: 'a string', 'an integer', … as the refusal says it.
            default: where it is absent or null.

        Raises:
            ApiError: it is of another kind.
        """
        self._known.append(name)
        if name not in self._rest:
            return default
        value = self._rest.pop(name)
        allowed = _KINDS[kind]
        if not isinstance(value, allowed) or (isinstance(value, bool) and bool not in allowed):
            raise self.refusal(name, f"must be {kind}, not {_shown(value)}")
        return value

    def take_any(self, name: str) -> Any:
        """Return a field's value, of whatever kind; None where it is absent."""
        self._known.append(name)
        return self._rest.pop(name, None)

    def within(self, name: str) -> Fields:
        """Return the fields of the object that a field is; none where it is absent."""
        return Fields(self.take(name, "an object", {}), f"{self._within}{name}.")

    def require(self, name: str, kind: str) -> Any:
        """Return the value of a field that must be there.

        Args: as `Fields.take`.
        """
        value = self.take(name, kind)
        if value is None:
            raise ApiError(
                400,
                f"{self._within}{name} is missing: give {kind}",
                param=f"{self._within}{name}",
                code="missing_required_parameter",
            )
        return value

    def refusal(self, name: str, why: str) -> ApiError:
        """Return the refusal of a field's value.

        Args:
            name: of the field.
            why: what is wrong with it.
        """
        full = f"{self._within}{name}"
        return ApiError(400, f"{full} {why}", param=full, code="invalid_value")

    def refuse_rest(self) -> None:
        """Refuse what was not taken: a field is honoured, or named, and never ignored.

        Raises:
            ApiError: names the first such field.
        """
        for name, value in self._rest.items():
            if not self._within and name in _WITHOUT_EFFECT:
                continue
            if not self._within and value in _NEUTRAL.get(name, ()):
                continue
            why = _INSTEAD.get(name) or "this server does not honour it"
            near = did_you_mean(name, self._known) if name not in _INSTEAD else ""
            raise unsupported(f"{self._within}{name}", f"{why}{near}")


def parsed_body(body: bytes) -> dict[str, Any]:
    """Return the object that a body is.

    Raises:
        ApiError: it is none.
    """
    try:
        parsed = json.loads(body, parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        raise ApiError(400, f"the body is no JSON: {error}", code="invalid_json") from None
    if not isinstance(parsed, dict):
        raise ApiError(400, f"the body must be a JSON object, not {_shown(parsed)}")
    return parsed


def _refuse(constant: str) -> Any:
    raise ValueError(f"{constant} is none")


def _shown(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else f"{text[:60]}…"
