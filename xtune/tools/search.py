"""`search`: in a folder of the user's, offline; or on the web, through the engine that is named."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

from xtune.errors import UsageError, did_you_mean
from xtune.tools.base import ToolError, tool
from xtune.tools.documents import Documents
from xtune.tools.search_engines import ENGINES

__all__ = ["Search"]

_OURS = "xtune:"
# The folders that xtune brings, by name; adapters of before December 2026 note the second name
_FOLDERS = {"notes": "demos/notes", "chat/demo/notes": "demos/notes"}
_LONGEST = 500  # characters of a query


@tool(name="search", seconds=20)
class Search:
    """Search in one place.

    Args:
        folder: of text, Markdown and PDF files, to search offline; 'xtune:notes' is the
            one of the agent demo, within the installed package.
        engine: 'serper', 'bing', 'searxng' or 'duckduckgo', to search the web instead.
        url: of the engine, if it is your own: 'http://localhost:8080' of a SearXNG.
        key: of the engine; default: from the environment, SERPER_API_KEY or BING_API_KEY.
        count: how many results.

    Raises:
        UsageError: both or neither of folder and engine; an unknown engine.
        ToolError: the folder is not there, or the key is not.
    """

    def __init__(
        self,
        *,
        folder: str | None = None,
        engine: str | None = None,
        url: str | None = None,
        key: str | None = None,
        count: int = 4,
    ) -> None:
        if (folder is None) == (engine is None):
            raise UsageError(
                "the tool 'search' needs either a folder to search offline, --tool-options "
                "search.folder=DIR, or an engine, --tool-options search.engine=NAME "
                f"({', '.join(ENGINES)}; with SERPER_API_KEY: serper); "
                "in Python ToolBox(['search'], {'search': "
                "{'folder': DIR}})"
            )
        if engine is not None and engine not in ENGINES:
            raise UsageError(
                f"unknown search engine {engine!r}{did_you_mean(engine, ENGINES) or ';'} "
                f"allowed: {', '.join(ENGINES)}"
            )
        self._count = count
        self._documents = None if folder is None else Documents(_place(folder))
        if engine is not None:
            self._engine = ENGINES[engine]
            self._url = url or self._engine.url
            if not self._url:
                raise UsageError(f"the search engine {engine!r} needs url='http://...'")
            self._key = self._engine.key(key)

    def __call__(self, query: str) -> str:
        """Search for something and return the passages that fit best.

        Args:
            query: a few words that name what is sought.
        """
        query = " ".join(query.split())[:_LONGEST]
        if not query:
            raise ToolError("the query is empty")
        if self._documents is not None:
            found = [(each.where, each.text) for each in self._documents.search(query, self._count)]
        else:
            hits = self._engine.ask(query, self._count, self._url, self._key)[: self._count]
            found = [(f"{hit.title} ({hit.url})", hit.snippet) for hit in hits]
        if not found:
            return f"nothing found for {query!r}"
        return "\n\n".join(f"[{n}] {where}\n{text}" for n, (where, text) in enumerate(found, 1))


def _place(folder: str) -> str:
    """What an adapter's notes name must be found wherever xtune is installed."""
    if not folder.startswith(_OURS):
        return folder
    name = folder.removeprefix(_OURS)
    if name not in _FOLDERS:
        raise UsageError(
            f"xtune brings no folder {name!r} (folder={folder!r}); allowed: 'xtune:notes', or the "
            "path of a folder of yours"
        )
    return str(Path(str(files("xtune"))) / _FOLDERS[name])
