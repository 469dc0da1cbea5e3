"""Refusals in OpenAI's form: `{"error": {"message", "type", "param", "code"}}`, whatever fails."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from starlette.responses import JSONResponse

from xtune.serve.engine.questions import Busy, Closed

__all__ = ["ApiError", "as_api_error", "error_response", "unsupported"]

_TYPES = {401: "authentication_error", 403: "permission_error", 429: "rate_limit_error"}


class ApiError(Exception):
    """A request is refused, or has failed.

    Args:
        status: of HTTP.
        message: what was given, what is allowed, what to do next.
        param: the field that it is about.
        code: for programs.
        headers: further ones of the answer.
    """

    def __init__(
        self,
        status: int,
        message: str,
        *,
        param: str | None = None,
        code: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.param = param
        self.code = code
        self.headers = dict(headers or {})

    @property
    def body(self) -> dict[str, Any]:
        """The JSON of the answer."""
        kind = "server_error" if self.status >= 500 else "invalid_request_error"
        error = {
            "message": self.message,
            "type": _TYPES.get(self.status, kind),
            "param": self.param,
            "code": self.code,
        }
        return {"error": error}


def unsupported(name: str, why: str) -> ApiError:
    """Return the refusal of a field that this server does not honour.

    Args:
        name: of the field.
        why: not, and what to do.
    """
    return ApiError(400, f"{name}: {why}", param=name, code="unsupported_parameter")


def as_api_error(error: Busy | Closed) -> ApiError:
    """Return what a client is told where an engine does not take its question."""
    if isinstance(error, Busy):
        return ApiError(
            429,
            str(error),
            code="queue_full",
            headers={"Retry-After": str(error.retry_after)},
        )
    return ApiError(503, str(error), code="not_ready", headers={"Retry-After": "5"})


def error_response(error: ApiError) -> JSONResponse:
    """Return the answer to a request that is refused."""
    return JSONResponse(error.body, status_code=error.status, headers=error.headers)
