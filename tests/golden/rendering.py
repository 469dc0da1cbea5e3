"""The golden files: each template's text of each dialogue, with «» around what is trained.

python -m tests.golden.rendering      writes them anew; read the difference, say why it is right
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from tests.data.tiny_tokenizer import tiny_tokenizer
from tests.golden.dialogues import DIALOGUES
from xtune.data.templates import Template, build_template
from xtune.errors import DataError
from xtune.registry import TEMPLATES, names, resolve
from xtune.structures import Span

FOLDER = Path(__file__).parent
JINJA = sorted(path.stem for path in (FOLDER / "jinja").glob("*.jinja"))


def golden_template(name: str) -> tuple[Template, object]:
    """The template of a golden file and a tokenizer for it: registered, or 'auto' with a jinja."""
    llama3 = name in ("llama3_chat", "llama3_1_chat", "two_ends")
    tokenizer = tiny_tokenizer(bos="<|begin_of_text|>" if llama3 else "<s>", like_llama3=llama3)
    if name in names(TEMPLATES):
        return build_template(name, tokenizer), tokenizer
    tokenizer.chat_template = (FOLDER / "jinja" / f"{name}.jinja").read_text(encoding="utf-8")
    return build_template("auto", tokenizer), tokenizer


def golden_path(name: str) -> Path:
    return FOLDER / f"{name}.txt"


def golden_names() -> list[str]:
    """The names of the templates; a second name of one has no file of its own."""
    return [name for name in names(TEMPLATES) if main_name(name) == name] + JINJA


def main_name(name: str) -> str:
    return resolve(TEMPLATES, name).__name__


def golden_text(template: Template) -> str:
    parts = [f"stop words: {' '.join(template.stop_words)}"]
    for title, conversation in DIALOGUES.items():
        try:
            samples = [marked(spans) for spans in template.samples_of(conversation)]
        except DataError as error:
            samples = [f"REFUSED {error}"]
        for number, text in enumerate(samples, start=1):
            of = f" (sample {number} of {len(samples)})" if len(samples) > 1 else ""
            parts.append(f"======== {title}{of}\n{text}")
    return "\n".join(parts) + "\n"


def marked(spans: Iterable[Span]) -> str:
    return "".join(f"«{span.text}»" if span.trained else span.text for span in spans)


if __name__ == "__main__":
    for golden in golden_names():
        golden_path(golden).write_text(golden_text(golden_template(golden)[0]), encoding="utf-8")
