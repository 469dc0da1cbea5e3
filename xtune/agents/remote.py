"""A model behind an OpenAI-compatible URL, as agents see it: to compare ours with a hosted one."""

from __future__ import annotations

import http.client
import json
import os
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from xtune.data.tool_calls import Call
from xtune.errors import ModelError, UsageError
from xtune.generation.reply import Reply
from xtune.generation.settings import GenerationSettings
from xtune.structures import Message

__all__ = [
    "RemoteModel",
    "ServerError",
    "events_of",
    "is_url",
    "open_server",
    "served_models",
]

_SECONDS = 300.0  # without a word from the server
_MOST = 2_000_000  # bytes of an answer


def is_url(name: str) -> bool:
    """Whether a model is named by a URL.

    >>> is_url("http://127.0.0.1:8000/v1"), is_url("internlm/internlm-7b")
    (True, False)
    """
    return name.startswith(("http://", "https://"))


class ServerError(ModelError):
    """A server cannot be reached, or refuses.

    Args:
        message: the whole text for the user.
        status: its HTTP status; None where it was not reached.
        retry_after: the seconds after which it says that one may ask again.
    """

    def __init__(
        self, message: str, *, status: int | None = None, retry_after: float | None = None
    ) -> None:
        super().__init__(message)
        self.status = status
        self.retry_after = retry_after


class RemoteModel:
    """A server's model; see `AgentModel`.

    Args:
        url: up to and without '/chat/completions': 'http://127.0.0.1:8000/v1'.
        model: its name there; '' for the only one that the server has.
        settings: how to sample.
        key: sent as a bearer token; default: $OPENAI_API_KEY, if it is set.

    Attributes:
        model: its name there.
        name: for people.

    Raises:
        UsageError: none was named, and the server has not just one.
        ServerError: it cannot be reached, or refuses.
    """

    native = True
    context: int | None = None

    def __init__(
        self, url: str, model: str, settings: GenerationSettings, *, key: str | None = None
    ) -> None:
        self._url = url.rstrip("/")
        self._settings = settings
        self._key = os.environ.get("OPENAI_API_KEY", "") if key is None else key
        self._limit = "max_tokens"
        self.model = model or self._only_model()
        self.name = f"{self.model} at {self._url}"

    def count_tokens(self, messages: Sequence[Message], tools: Sequence[dict[str, Any]]) -> int:
        """Return 0: only the server knows.

        Args: as `AgentModel.count_tokens`.
        """
        return 0

    def takes_role(self, role: str) -> bool:
        """Return whether it is a role of OpenAI's that needs no call before it."""
        return role in ("system", "user", "assistant")

    def answer(
        self,
        messages: Sequence[Message],
        tools: Sequence[dict[str, Any]],
        on_text: Callable[[str], None],
        *,
        stop: Sequence[str] = (),
    ) -> Reply:
        """Answer a dialogue; see `AgentModel`.

        Args: as `AgentModel.answer`.

        Raises:
            ServerError: the server cannot be reached, or refuses.
            ModelError: it answers with something else.
        """
        body: dict[str, Any] = {
            "model": self.model,
            "messages": [_as_sent(message) for message in messages],
            "stream": True,
            self._limit: self._settings.max_new_tokens,
            "temperature": self._settings.temperature,
            "top_p": self._settings.top_p,
        }
        if self._settings.seed is not None:
            body["seed"] = self._settings.seed
        if tools:
            body["tools"] = list(tools)
        if stop:
            body["stop"] = list(stop)[:4]  # OpenAI takes no more
        content, reason = "", ""
        parts: dict[int, dict[str, str]] = {}
        with self._asked(body) as response:
            for event in events_of(response, self._url):
                choice = (event.get("choices") or [{}])[0]
                delta = choice.get("delta") or {}
                if piece := delta.get("content"):
                    content += piece
                    on_text(piece)
                for part in delta.get("tool_calls") or ():
                    _gather(parts, part)
                reason = choice.get("finish_reason") or reason
        message: Message = {"role": "assistant", "content": content}
        malformed = ""
        calls = []
        for _, part in sorted(parts.items()):
            try:
                arguments = json.loads(part["arguments"] or "{}")
            except (ValueError, RecursionError) as error:
                malformed = f"the arguments of {part['name']} are no JSON: {error}"
                break
            if not isinstance(arguments, dict):
                malformed = f"the arguments of {part['name']} must be an object"
                break
            calls.append(Call(part["name"], arguments, part["id"]).as_message_part())
        if calls and not malformed:
            message["tool_calls"] = calls
        ended = "length" if reason == "length" else "stop"
        return Reply(message, content, malformed=malformed, ended_by=ended)  # type: ignore[arg-type]

    def _asked(self, body: dict[str, Any]) -> http.client.HTTPResponse:
        try:
            return self._open("/chat/completions", body)
        except ServerError as error:
            newer = "max_completion_tokens"  # OpenAI's newer models take no other name
            if error.status != 400 or newer not in str(error) or newer in body:
                raise
        body[newer] = body.pop("max_tokens")  # not _limit, which another thread may have changed
        self._limit = newer
        return self._open("/chat/completions", body)

    def _only_model(self) -> str:
        ids = served_models(self._url, self._key)
        if len(ids) != 1:
            raise UsageError(
                f"{self._url} has {len(ids)} models; name one: --served-model "
                f"{'|'.join(ids[:20]) or 'NAME'}"
            )
        return ids[0]

    def _open(self, path: str, body: dict[str, Any] | None) -> http.client.HTTPResponse:
        return open_server(self._url, path, body, self._key)


def open_server(
    url: str, path: str, body: dict[str, Any] | None, key: str
) -> http.client.HTTPResponse:
    """Ask a server; the answer is to be read, and closed.

    Args:
        url: up to and without the path.
        path: '/models'.
        body: sent as JSON; None: nothing is.
        key: sent as a bearer token; '' for none.

    Raises:
        ServerError: it cannot be reached, or refuses.
    """
    headers = {"Content-Type": "application/json"}
    if key:
        headers["Authorization"] = f"Bearer {key}"
    request = urllib.request.Request(
        url + path, data=None if body is None else json.dumps(body).encode(), headers=headers
    )
    try:
        return urllib.request.urlopen(request, timeout=_SECONDS)
    except urllib.error.HTTPError as error:
        said = error.read(2000).decode(errors="replace").strip()
        wait = error.headers.get("Retry-After", "").strip()
        raise ServerError(
            f"{url}{path} answered {error.code} {error.reason}: {said[:400]}"
            + (" Set OPENAI_API_KEY." if error.code == 401 else ""),
            status=error.code,
            retry_after=float(wait) if wait.isascii() and wait.isdigit() else None,
        ) from error
    except (OSError, http.client.HTTPException) as error:
        reason = getattr(error, "reason", error)
        raise ServerError(f"{url} cannot be reached: {reason}") from error


def served_models(url: str, key: str) -> list[str]:
    """Return the names of the models that a server has.

    Args:
        url: up to and without '/models'.
        key: as for `open_server`.

    Raises:
        ServerError: it cannot be reached, or refuses.
        ModelError: it answers with something else.
    """
    with open_server(url, "/models", None, key) as response:
        try:
            return [str(each["id"]) for each in json.loads(response.read(_MOST))["data"]]
        except (ValueError, KeyError, TypeError) as error:
            raise ModelError(f"{url}/models does not list models: {error}") from error


def _as_sent(message: Message) -> dict[str, Any]:
    """A message as OpenAI's API takes it: arguments as text, nothing of our own."""
    sent: dict[str, Any] = {"role": message["role"], "content": message["content"]}
    if message.get("tool_calls"):
        sent["tool_calls"] = [
            {
                **part,
                "function": {
                    "name": part["function"]["name"],
                    "arguments": json.dumps(part["function"]["arguments"], ensure_ascii=False),
                },
            }
            for part in message["tool_calls"]
        ]
    if "tool_call_id" in message:
        sent["tool_call_id"] = message["tool_call_id"]
    return sent


def events_of(response: http.client.HTTPResponse, url: str) -> Iterator[dict[str, Any]]:
    """Give the JSON objects of a stream of server-sent events, or the one of a plain answer.

    Args:
        response: of a chat completion, or another kind.
        url: for messages.

    Raises:
        ModelError: an event is none, or says that there was an error.
    """
    read = 0
    try:
        if "event-stream" not in response.headers.get("Content-Type", ""):
            whole = json.loads(response.read(_MOST))
            for choice in whole.get("choices", ()):
                choice["delta"] = choice.pop("message", {})
            yield whole
            return
        for line in response:
            read += len(line)
            if read > _MOST:
                raise ModelError(f"{url} answered with more than {_MOST} bytes")
            if not line.startswith(b"data:"):
                continue
            data = line[5:].strip()
            if data == b"[DONE]":
                return
            event = json.loads(data)
            if not isinstance(event, dict):
                raise ValueError(f"not an object: {data[:80]!r}")
            if "error" in event:
                raise ModelError(f"{url}: {event['error']}")
            yield event
    except (ValueError, AttributeError, OSError, http.client.HTTPException) as error:
        raise ModelError(f"{url} answered with no chat completion: {error}") from error


def _gather(parts: dict[int, dict[str, str]], part: dict[str, Any]) -> None:
    """Put a piece of a call where it belongs: the name comes once, arguments bit by bit."""
    place = part.get("index", len(parts))
    gathered = parts.setdefault(place, {"id": "", "name": "", "arguments": ""})
    function = part.get("function") or {}
    gathered["id"] = part.get("id") or gathered["id"]
    gathered["name"] += function.get("name") or ""
    gathered["arguments"] += function.get("arguments") or ""
