"""Markdown to nodes: what it knows, as it grows, and that nothing else comes of it."""

from __future__ import annotations

import pytest

RENDER = """async (texts) => {
  const { markdown, Growing } = await import("/page/markdown.js");
  const words = { copy: "Copy", copied: "Copied" };
  const plain = (place) => {
    for (const head of place.querySelectorAll(".code-head")) head.remove();
    return place.innerHTML;
  };
  return texts.map((text) => {
    const whole = document.createElement("div");
    whole.append(...markdown(text, words));
    const grown = document.createElement("div");
    const growing = new Growing(grown, words);
    for (let end = 1; end <= text.length; end += 1) growing.show(text.slice(0, end));
    const tags = [...whole.querySelectorAll("*")].flatMap((node) =>
      [node.tagName, ...[...node.attributes].map(({ name, value }) => `${name}=${value}`)]);
    return { html: plain(whole), grown: plain(grown), text: whole.textContent, tags };
  });
}"""

LINK = 'target="_blank" rel="noopener noreferrer"'
CASES = {
    "two\nlines\n\nand a *second*, __strong__": (
        "<p>two<br>lines</p><p>and a <em>second</em>, <strong>strong</strong></p>"
    ),
    "# One\n### Three ###\n####### none": "<h3>One</h3><h5>Three</h5><p>####### none</p>",
    "text\n#tag": "<p>text<br>#tag</p>",
    "***both*** **a *b* c** snake_case_name 2 * 3 * 4": (
        "<p><em><strong>both</strong></em> <strong>a <em>b</em> c</strong> snake_case_name "
        "2 * 3 * 4</p>"
    ),
    "**“引用”**之后，~~删~~": "<p><strong>“引用”</strong>之后，<del>删</del></p>",
    "**half open and *so on": "<p>**half open and *so on</p>",
    "`a < b` and `` `tick` `` and ` half": (
        "<p><code>a &lt; b</code> and <code>`tick`</code> and ` half</p>"
    ),
    r"\*no\* and \(x^2\)": r"<p>*no* and \(x^2\)</p>",
    "```py\nif x:\n\n  <b>\n```\nafter": (
        '<div class="code"><pre><code>if x:\n\n  &lt;b&gt;</code></pre></div><p>after</p>'
    ),
    "~~~\n```\nhalf open": '<div class="code"><pre><code>```\nhalf open</code></pre></div>',
    "- a\n- b\n  - c\n\n1. one\n2. two": (
        "<ul><li>a</li><li>b<ul><li>c</li></ul></li></ul><ol><li>one</li><li>two</li></ol>"
    ),
    "3. three\n\n4. four\n\n   more": (
        '<ol start="3"><li><p>three</p></li><li><p>four</p><p>more</p></li></ol>'
    ),
    "1. a\n   ```\n   x\n     y\n   ```": (
        '<ol><li>a<div class="code"><pre><code>x\n  y</code></pre></div></li></ol>'
    ),
    "* a\n\n---\n> q\n> > r": (
        "<ul><li>a</li></ul><hr><blockquote><p>q</p><blockquote><p>r</p></blockquote></blockquote>"
    ),
    "| a | b |\n|:-:|--:|\n| `x|y` | \\| |\n| **c** |": (
        '<div class="table"><table><thead><tr><th class="middle">a</th><th class="right">b</th>'
        '</tr></thead><tbody><tr><td class="middle"><code>x|y</code></td><td class="right">|</td>'
        '</tr><tr><td class="middle"><strong>c</strong></td><td class="right"></td></tr></tbody>'
        "</table></div>"
    ),
    "a | b, no table": "<p>a | b, no table</p>",
    "[*x*](https://a.example/b_(c) 'title') <mailto:a@b.example>": (
        f'<p><a href="https://a.example/b_(c)" {LINK}><em>x</em></a> '
        f'<a href="mailto:a@b.example" {LINK}>mailto:a@b.example</a></p>'
    ),
    "(see https://a.example/x_y_z). 见https://a.example/中，": (
        f'<p>(see <a href="https://a.example/x_y_z" {LINK}>https://a.example/x_y_z</a>). '
        f'见<a href="https://a.example/中" {LINK}>https://a.example/中</a>，</p>'
    ),
    "![a picture](https://a.example/p.png)": (
        f'<p><a href="https://a.example/p.png" {LINK}>a picture</a></p>'
    ),
}

NASTY = [
    "<img src=x onerror=alert(1)>",
    "<script>alert(1)</script>",
    "<svg/onload=alert(1)>",
    "<a href='javascript:alert(1)'>x</a>",
    "[x](javascript:alert(1))",
    "[x](JaVaScRiPt:alert(1))",
    "[x](java\tscript:alert(1))",
    "[x](&#106;avascript:alert(1))",
    "[x](data:text/html,<script>alert(1)</script>)",
    "[x](vbscript:msgbox)",
    "![x](javascript:alert(1))",
    '![x](https://a.example/"onerror="alert(1))',
    "<javascript:alert(1)>",
    '[x](https://a.example "t" onclick="alert(1)")',
    '[x](https://a.example/?q="><img/src=x/onerror=alert(1)>)',
    "```<img src=x onerror=alert(1)>\n<img src=x onerror=alert(1)>",
    "`<img src=x onerror=alert(1)>",
    "```\nhalf open\n</code></pre><img src=x onerror=alert(1)>",
    "| <img src=x onerror=alert(1)> |\n|---|\n| <script>alert(1)</script> |",
    "# <img src=x onerror=alert(1)>",
    "> - 1. <iframe srcdoc='<script>alert(1)</script>'>",
    "[<img src=x onerror=alert(1)>](https://a.example)",
    "[a [b](javascript:alert(1)) c](https://a.example)",
    "<style>*{display:none}</style><base href=//a.example><meta http-equiv=refresh content=0>",
    "</div></article></main><h1>outside</h1>",
    "\u202e\u0000\ufffe<img src=x onerror=alert(1)>",
]
TAGS = {
    *("P", "BR", "EM", "STRONG", "DEL", "CODE", "PRE", "A", "UL", "OL", "LI", "BLOCKQUOTE", "HR"),
    *("TABLE", "THEAD", "TBODY", "TR", "TH", "TD", "DIV", "H3", "H4", "H5", "H6", "SPAN", "BUTTON"),
}
ATTRIBUTES = {
    *("class=code", "class=code-head", "class=table", "class=quiet", "class=middle"),
    *("class=right", "type=button", "target=_blank", "rel=noopener noreferrer"),
}


@pytest.fixture
def render(api, visit):
    page = visit.open(api)
    return lambda texts: page.evaluate(RENDER, list(texts))


def test_what_is_written_is_what_is_shown_and_so_it_is_as_it_grows(render):
    for (text, html), found in zip(CASES.items(), render(CASES), strict=True):
        assert found["html"] == html, text
        assert found["grown"] == html, text


def test_html_stays_text_and_no_link_runs_anything(render):
    for text, found in zip(NASTY, render(NASTY), strict=True):
        for each in found["tags"]:
            name, _, value = each.partition("=")
            if name == "href":
                assert value.startswith("https://a.example"), text
            else:
                assert each in TAGS | ATTRIBUTES, text
        assert found["grown"] == found["html"], text
    assert "<img src=x onerror=alert(1)>" in render([NASTY[0]])[0]["text"]


def test_what_is_deep_or_never_closed_is_shown_all_the_same(render, visit):
    """None of these may take longer with the square of its length: then it would not come back."""
    size = 20_000
    marks = [
        "*a ",
        "_a ",
        "**",
        "[",
        "![",
        "](",
        "`",
        "> ",
        "- ",
        "* ",
        "| ",
        "<",
        "\\",
        "~~",
        "# ",
        "h",
    ]
    texts = [mark * (size // len(mark)) for mark in marks]
    texts += [f"# {' ' * size}x", f"```{' ' * size}`", f"https://a.example/{'.' * size}x"]
    texts += [f"https://a.example/{')' * size}", "".join(f"{'`' * n} " for n in range(200))]
    page = visit.context.pages[0]
    whole = """async (texts) => {
      const { markdown } = await import("/page/markdown.js");
      const place = document.createElement("div");
      return texts.map((text) => {
        place.replaceChildren(...markdown(text, {}));
        return place.textContent.length;
      });
    }"""
    lengths = page.evaluate(whole, texts)
    assert len(lengths) == len(texts)
    assert lengths[0] == size // 3 * 3 - 1  # each mark is there; the last blank is not
