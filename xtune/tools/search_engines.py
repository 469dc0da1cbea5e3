"""Web search by key or address: Serper, Bing, SearXNG, DuckDuckGo, each made the same few hits."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from html import unescape
from typing import Any
from urllib.parse import parse_qs, urlencode, urljoin, urlsplit

from xtune.tools.base import ToolError
from xtune.tools.web import get_json, request

__all__ = ["ENGINES", "Engine", "Hit"]


@dataclass(frozen=True)
class Hit:
    """One result: title, address, and what the engine shows of it."""

    title: str
    url: str
    snippet: str


@dataclass(frozen=True)
class Engine:
    """How a search engine is asked.

    Attributes:
        ask: takes query, number of hits, address and key.
        url: its address; '' if the user has to name one.
        key_from: the environment variable with its key; '' if it needs none.
    """

    ask: Callable[[str, int, str, str], list[Hit]]
    url: str
    key_from: str = ""

    def key(self, given: str | None) -> str:
        """Return the key: the one given, else the environment's.

        Raises:
            ToolError: it needs one, and there is none.
        """
        key = given or os.environ.get(self.key_from, "") if self.key_from else ""
        if self.key_from and not key:
            raise ToolError(f"it needs a key: set {self.key_from} in the environment")
        return key


def _serper(query: str, count: int, url: str, key: str) -> list[Hit]:
    found = get_json(url, headers={"X-API-KEY": key}, send={"q": query, "num": count})
    answer = _mapping(found.get("answerBox"))
    text = answer.get("answer") or answer.get("snippet")
    first = [Hit(str(answer.get("title", "Answer")), str(answer.get("link", "")), str(text))]
    return (first if text else []) + _hits(found.get("organic"), "title", "link", "snippet")


def _bing(query: str, count: int, url: str, key: str) -> list[Hit]:
    asked = f"{url}?{urlencode({'q': query, 'count': count})}"
    found = get_json(asked, headers={"Ocp-Apim-Subscription-Key": key})
    return _hits(_mapping(found.get("webPages")).get("value"), "name", "url", "snippet")


def _searxng(query: str, count: int, url: str, key: str) -> list[Hit]:
    asked = (
        f"{urljoin(url.rstrip('/') + '/', 'search')}?{urlencode({'q': query, 'format': 'json'})}"
    )
    return _hits(get_json(asked).get("results"), "title", "url", "content")[:count]


def _duckduckgo(query: str, count: int, url: str, key: str) -> list[Hit]:
    page = request(f"{url}?{urlencode({'q': query})}")
    if page.status >= 400:
        raise ToolError(f"duckduckgo answered {page.status}")
    hits = []
    for piece in re.split(r'class="result__a"', page.text())[1:]:
        link = re.search(r'href="([^"]*)"[^>]*>(.*?)</a>', piece, re.S)
        snippet = re.search(r'class="result__snippet"[^>]*>(.*?)</a>', piece, re.S)
        if link:
            address = unescape(link[1])
            # Links lead through //duckduckgo.com/l/?uddg=ADDRESS
            address = parse_qs(urlsplit(address).query).get("uddg", [address])[0]
            hits.append(Hit(_plain(link[2]), address, _plain(snippet[1]) if snippet else ""))
    return hits[:count]


def _hits(found: Any, title: str, url: str, snippet: str) -> list[Hit]:
    rows = [row for row in found if isinstance(row, Mapping)] if isinstance(found, list) else []
    return [Hit(*(str(row.get(key) or "") for key in (title, url, snippet))) for row in rows]


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _plain(html: str) -> str:
    return " ".join(unescape(re.sub(r"<[^>]*>", "", html)).split())


ENGINES = {
    "serper": Engine(_serper, "https://google.serper.dev/search", "SERPER_API_KEY"),
    "bing": Engine(_bing, "https://api.bing.microsoft.com/v7.0/search", "BING_API_KEY"),
    "searxng": Engine(_searxng, ""),
    "duckduckgo": Engine(_duckduckgo, "https://html.duckduckgo.com/html/"),
}
