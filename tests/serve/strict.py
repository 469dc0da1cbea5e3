"""Read JSON as a type of OpenAI's own client: what it does not know is an error, what lacks too."""

from __future__ import annotations

from typing import Any, TypeVar

from pydantic import BaseModel

T = TypeVar("T", bound=BaseModel)


def strict(kind: type[T], value: dict[str, Any]) -> T:
    parsed = kind.model_validate(value)
    assert _unknown(parsed) == []
    return parsed


def _unknown(value: Any) -> list[str]:
    if isinstance(value, list):
        return [name for each in value for name in _unknown(each)]
    if not isinstance(value, BaseModel):
        return []
    found = [f"{type(value).__name__}.{name}" for name in value.model_extra or {}]
    return found + [
        name for field in type(value).model_fields for name in _unknown(getattr(value, field))
    ]
