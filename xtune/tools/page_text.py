"""The text of an HTML page: what a reader sees, without scripts, styles and markup."""

from __future__ import annotations

import re
from html.parser import HTMLParser

__all__ = ["page_text"]

_UNSEEN = {"script", "style", "noscript", "template", "svg", "head", "iframe", "object"}
_BLOCKS = frozenset(
    """address article aside blockquote br dd div dl dt figure footer form h1 h2 h3 h4 h5 h6 header
    hr li main nav ol p pre section table tr ul""".split()  # noqa: SIM905
)


def page_text(html: str) -> str:
    """Return a page's title and text, a line for each block.

    >>> page_text("<title>A</title><p>one <b>two</b></p><script>x</script><p>three</p>")
    'A\\n\\none two\\nthree'
    """
    reader = _Reader()
    reader.feed(html)
    reader.close()
    lines = [" ".join(line.split()) for line in "".join(reader.text).splitlines()]
    body = re.sub(r"\n{2,}", "\n", "\n".join(lines)).strip()
    title = " ".join("".join(reader.title).split())
    return f"{title}\n\n{body}" if title else body


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.text: list[str] = []
        self.title: list[str] = []
        self._unseen: list[str] = []
        self._in_title = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "title" and not self.title:
            self._in_title = True
        elif tag == "body":
            self._unseen.clear()  # a head that was never closed
        elif tag in _UNSEEN:
            self._unseen.append(tag)
        if tag in _BLOCKS:
            self.text.append("\n")
        elif tag in ("td", "th"):
            self.text.append(" | ")

    def handle_endtag(self, tag: str) -> None:
        if tag == "title":
            self._in_title = False
        elif tag in self._unseen:
            while self._unseen.pop() != tag:
                pass
        if tag in _BLOCKS:
            self.text.append("\n")

    def handle_data(self, data: str) -> None:
        if self._in_title:
            self.title.append(data)
        elif not self._unseen:
            self.text.append(data)
