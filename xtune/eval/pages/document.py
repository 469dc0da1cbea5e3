"""What pages share that need no other file and no network: frame, cards of numbers, pictures."""

from __future__ import annotations

import base64
from html import escape
from importlib.resources import files

__all__ = ["card", "document", "image"]

_ROOM = "xtune.eval.pages"


def document(title: str, body: str, *, further_styles: str = "") -> str:
    """Return a whole HTML page that begins with its title.

    Args:
        title: any text.
        body: markup, below the title.
        further_styles: a package whose page.css comes after the one of all pages; '': none.
    """
    styles = "".join(
        files(room).joinpath("page.css").read_text(encoding="utf-8")
        for room in filter(None, (_ROOM, further_styles))
    )
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{escape(title)}</title>
<style>
{styles}</style>
</head>
<body>
<h1>{escape(title)}</h1>
{body}</body>
</html>
"""


def card(name: str, number: str, more: str) -> str:
    """Return one of the numbers on top of a page.

    Args:
        name: of what; markup, as the others are.
        number: large.
        more: small, below it.
    """
    return f"""<div class="head"><div>{name}</div>
<div class="number">{number}</div>
<div class="soft">{more}</div></div>"""


def image(png: bytes, *, alt: str) -> str:
    """Return a picture that stands in the page itself.

    Args:
        png: its bytes.
        alt: what it shows, in words.
    """
    data = base64.b64encode(png).decode()
    return f'<div class="wide"><img alt="{escape(alt)}"\n src="data:image/png;base64,{data}"></div>'
