"""The frame of a page that needs no other file and no network: its head, styles and title."""

from __future__ import annotations

from html import escape
from importlib.resources import files

__all__ = ["document"]

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
