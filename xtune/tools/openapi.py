"""`openapi`: the operations of an HTTP service that an OpenAPI document describes, as tools."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode, urljoin

from xtune.errors import UsageError, did_you_mean
from xtune.tools.base import Tool, ToolError, tool
from xtune.tools.spec import ToolSpec
from xtune.tools.web import request

__all__ = ["OpenAPI"]

_METHODS = ("get", "post", "put", "patch", "delete")
_SECONDS = 25.0
_DEEPEST = 8  # levels to which references in a schema are written out
_MOST = 64  # operations


@tool(name="openapi", alone=True)
class OpenAPI:
    """A tool for each operation of an OpenAPI 3 document, named by its operationId.

    Args:
        document: path or address of the document, JSON or YAML.
        operations: only these, by operationId; default: all, up to 64.
        server: the service's address; default: the document's first server.
        headers: sent with each call; '$NAME' stands for an environment variable, so that a key
            need not be written down.

    Raises:
        UsageError: the document cannot be read, or it has no such operation.
    """

    def __init__(
        self,
        *,
        document: str,
        operations: Sequence[str] | None = None,
        server: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        self._document = _read(document)
        self._headers = {name: os.path.expandvars(value) for name, value in (headers or {}).items()}
        found = dict(self._operations())
        for name in operations or ():
            if name not in found:
                raise UsageError(
                    f"{document} has no operation {name!r}{did_you_mean(name, found) or ';'} "
                    f"it has: {', '.join(found)}"
                )
        wanted = list(operations or found)
        if len(wanted) > _MOST:
            raise UsageError(
                f"{document} has {len(wanted)} operations, more than a model can choose from; "
                f"name at most {_MOST} in operations=[...]: {', '.join(wanted)[:2000]}"
            )
        servers = self._document.get("servers") or [{"url": "/"}]
        self._server = server or urljoin(document, str(servers[0].get("url", "/")))
        if not self._server.startswith(("http://", "https://")):
            raise UsageError(f"{document} names no server; give server='http://...'")
        self._tools = [self._tool(name, *found[name]) for name in wanted]

    def tools(self) -> list[Tool]:
        """Return the operations."""
        return self._tools

    def _operations(self) -> Iterator[tuple[str, tuple[str, str, Mapping[str, Any]]]]:
        for path, item in self._document.get("paths", {}).items():
            for method in _METHODS:
                if method in item:
                    shared = item.get("parameters", [])
                    operation = dict(item[method])
                    operation["parameters"] = [*shared, *operation.get("parameters", [])]
                    name = operation.get("operationId") or f"{method} {path.strip('/')}"
                    name = re.sub(r"[^a-zA-Z0-9_-]+", "_", name).strip("_")[:64]
                    yield name, (method.upper(), path, operation)

    def _tool(self, name: str, method: str, path: str, operation: Mapping[str, Any]) -> Tool:
        properties: dict[str, Any] = {}
        required: list[str] = []
        places: dict[str, tuple[str, str]] = {}  # argument -> (where it goes, its name there)
        for given in operation["parameters"]:
            parameter = self._inlined(given, 0)
            argument = parameter["name"]
            schema = dict(parameter.get("schema") or {"type": "string"})
            if parameter.get("description"):
                schema["description"] = " ".join(str(parameter["description"]).split())
            properties[argument] = schema
            places[argument] = (parameter["in"], argument)
            if parameter.get("required") or parameter["in"] == "path":
                required.append(argument)
        body = self._inlined(operation.get("requestBody") or {}, 0)
        sent: Any = _mapping(_mapping(body.get("content")).get("application/json")).get("schema")
        flat = isinstance(sent, Mapping) and sent.get("properties")
        if flat and not set(sent["properties"]) & set(properties):
            for argument, of in sent["properties"].items():
                properties[argument] = of
                places[argument] = ("body", argument)
            required += sent.get("required", [])
        elif sent is not None:
            properties["body"] = sent
            places["body"] = ("whole body", "body")
            required += ["body"] if body.get("required") else []
        said = operation.get("description") or operation.get("summary") or f"{method} {path}"
        parameters: dict[str, Any] = {"type": "object", "properties": properties}
        if required:
            parameters["required"] = list(dict.fromkeys(required))

        def call(**arguments: Any) -> str:
            return self._call(method, path, places, arguments)

        return Tool(ToolSpec(name, " ".join(str(said).split())[:1000], parameters, _SECONDS), call)

    def _call(
        self,
        method: str,
        path: str,
        places: Mapping[str, tuple[str, str]],
        arguments: Mapping[str, Any],
    ) -> str:
        query: list[tuple[str, str]] = []
        headers = {"Accept": "application/json", **self._headers}
        body: Any = None
        for argument, value in arguments.items():
            place, name = places[argument]
            if place == "path":
                if str(value) in (".", ".."):  # would name another path
                    raise ToolError(f"{argument} cannot be {value!r}")
                path = path.replace(f"{{{name}}}", quote(_text(value), safe=""))
            elif place == "query":
                several = value if isinstance(value, list) else [value]
                query += [(name, _text(each)) for each in several]
            elif place == "header":
                headers[name] = re.sub(r"[\r\n]", "", _text(value))
            elif place == "cookie":
                headers["Cookie"] = f"{name}={quote(_text(value))}"
            elif place == "whole body":
                body = value
            else:
                body = {**(body or {}), name: value}
        url = self._server.rstrip("/") + path + (f"?{urlencode(query)}" if query else "")
        content = None if body is None else json.dumps(body).encode()
        if content is not None:
            headers["Content-Type"] = "application/json"
        response = request(url, method=method, headers=headers, body=content)
        if response.status >= 400:
            raise ToolError(f"the service answered {response.status}: {response.text()[:500]}")
        return response.text() or f"done ({response.status})"

    def _inlined(self, node: Any, depth: int) -> Any:
        """Write out the references in a part of the document, down to a depth."""
        if isinstance(node, Mapping):
            target = node.get("$ref")
            if isinstance(target, str):
                if depth >= _DEEPEST:
                    return {}
                found: Any = self._document if target.startswith("#/") else {}
                for key in target[2:].split("/"):
                    found = _mapping(found).get(key.replace("~1", "/").replace("~0", "~"))
                return self._inlined(found or {}, depth + 1)
            return {key: self._inlined(value, depth) for key, value in node.items()}
        if isinstance(node, list):
            return [self._inlined(each, depth) for each in node]
        return node


def _read(document: str) -> Mapping[str, Any]:
    try:
        if document.startswith(("http://", "https://")):
            response = request(document)
            if response.status >= 400:
                raise ToolError(f"it answered {response.status}")
            text = response.text()
        else:
            text = Path(document).expanduser().read_text("utf-8")
        if text.lstrip().startswith("{"):
            read = json.loads(text)
        else:
            import yaml

            read = yaml.safe_load(text)
    except (OSError, ValueError, RecursionError, ToolError) as error:
        raise UsageError(f"the OpenAPI document {document!r} cannot be read: {error}") from None
    except Exception as error:  # YAML's own errors derive from Exception
        raise UsageError(f"the OpenAPI document {document!r} cannot be read: {error}") from None
    if not isinstance(read, Mapping) or not str(read.get("openapi", "")).startswith("3"):
        raise UsageError(f"{document!r} is no OpenAPI 3 document")
    return read


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return json.dumps(value) if isinstance(value, dict | list) else str(value)
