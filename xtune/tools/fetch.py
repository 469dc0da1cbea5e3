"""`fetch`: a web page as text. Works only where it is named, and reaches only public addresses."""

from __future__ import annotations

from collections.abc import Sequence

from xtune.tools.base import ToolError, tool
from xtune.tools.documents import pdf_text
from xtune.tools.page_text import page_text
from xtune.tools.web import request

__all__ = ["Fetch"]

_PAGE = 3500  # characters that one call returns


@tool(name="fetch", seconds=25)
class Fetch:
    """Pages of the public web.

    A model that reads pages and can fetch may be talked into sending what it knows to an address:
    leave it out of conversations that hold secrets.

    Args:
        allow_hosts: 'host' or 'host:port' that may be reached although their addresses are private.
    """

    def __init__(self, *, allow_hosts: Sequence[str] = ()) -> None:
        self._allow_hosts = tuple(allow_hosts)

    def __call__(self, url: str, start: int = 0) -> str:
        """Read a web page as text.

        Args:
            url: its address, with http:// or https://.
            start: from which character of the text on, to read on in a long page.
        """
        response = request(url, public_only=True, allowed_hosts=self._allow_hosts)
        if response.status >= 400:
            raise ToolError(f"{response.url[:200]} answered {response.status}")
        if response.content_type in ("text/html", "application/xhtml+xml"):
            text = page_text(response.text())
        elif response.content_type == "application/pdf":
            text = "\n".join(pdf_text(response.body))
        elif response.content_type.startswith("text/") or "json" in response.content_type:
            text = response.text()
        else:
            raise ToolError(f"{response.url[:200]} is {response.content_type}, which is no text")
        start = max(0, start)
        piece = text[start : start + _PAGE]
        if not piece:
            raise ToolError(f"the text has {len(text)} characters; nothing is after {start}")
        left = len(text) - start - len(piece)
        return f"{piece}\n[{left} more characters: start={start + _PAGE}]" if left > 0 else piece
