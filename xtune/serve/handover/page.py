"""The README.md of a hand-over: install, run, what was checked, and what is otherwise."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from xtune.serve.handover.given import Given

__all__ = ["write_page"]


def write_page(
    given: Given,
    folder: Path,
    program: str,
    *,
    install: str,
    commands: Sequence[str],
    checked: Sequence[str],
    notices: Sequence[str],
    why_apart: str = "",
) -> str:
    """Write it, and return the commands.

    Args:
        given: what is handed over.
        folder: to write into.
        program: its name, for people.
        install: commands that install it.
        commands: what runs it, in order.
        checked: sentences.
        notices: what is not handed over, or otherwise than in chat.
        why_apart: why it has an environment of its own.
    """
    from xtune import __version__

    shell = "\n".join(commands)
    stops = ", ".join(f"`{word}`" for word in given.stop_words)
    lines = [
        *given.notices,
        *notices,
        "xtune makes control texts such as `<|im_end|>` plain where they stand within a question; "
        f"{program} does not",
        "`xtune chat` samples with temperature 0.1, top_p 0.75 and top_k 40: send these to compare "
        "the two, or temperature 0 to both",
    ]
    text = f"""# {given.name} for {program}

{why_apart}

```bash
{install}
```

```bash
{shell}
```

## Checked

{_list([*checked, f"what ends an answer in xtune chat: {stops}"])}

{program} itself was not run here.

## Not handed over, or otherwise

{_list(lines)}

Written by xtune {__version__}.
"""
    (folder / "README.md").write_text(text.replace("\n\n\n", "\n\n"), encoding="utf-8")
    return shell


def _list(lines: Sequence[str]) -> str:
    return "\n".join(f"- {line}" for line in lines)
