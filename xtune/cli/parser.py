"""The parser of a verb's arguments: flags of other tools are known, misspelt ones get the nearest.

`--work_dir` is `--work-dir`. What means nothing here (torchrun's --local-rank) is left out, with a
notice; every other flag that is not ours is answered, all at once.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from difflib import get_close_matches
from typing import NoReturn

from xtune.cli.foreign_flags import hint, meaningless

__all__ = ["VerbParser"]


class VerbParser(argparse.ArgumentParser):
    """An `ArgumentParser` for one verb.

    Args:
        verb: as it is typed after `xtune`.
        description: of `--help`.
    """

    def __init__(self, verb: str, description: str | None) -> None:
        super().__init__(
            prog=f"xtune {verb}",
            description=description,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        self.verb = verb
        self.add_argument("--debug", action="store_true", help="show the traceback of an error")

    def parse_args(  # type: ignore[override]
        self, args: Sequence[str] | None = None, namespace: None = None
    ) -> argparse.Namespace:
        """Parse the words after the verb.

        Args:
            args: the words; None: those of the process.
            namespace: must be None.

        Raises:
            SystemExit: 2, with the reason on stderr; 0 after --help.
        """
        words = self._without_foreign(list(sys.argv[1:] if args is None else args))
        parsed, extra = self.parse_known_args(words)
        if extra:
            self.error("\n  ".join(dict.fromkeys(self._about(word, None) for word in extra)))
        return parsed

    def error(self, message: str) -> NoReturn:
        """Say what is wrong, and how the verb is called if something is missing; end with 2."""
        lines = [f"{self.prog}: {self._about_values(message)}"]
        if "required" in message:
            lines.append(f"usage: {self._call()}")
        self.exit(2, "\n".join([*lines, f"{self.prog} --help says more", ""]))

    def _about_values(self, message: str) -> str:
        """Add what a flag takes to what argparse says of one without a value."""
        flag = message.removeprefix("argument ").partition(": expected ")[0].split("/")[-1]
        action = self._option_string_actions.get(flag)
        if action is None or action.choices is None:
            return message
        return f"{message}: {', '.join(map(str, action.choices))}"

    def _call(self) -> str:
        shown = []
        for action in self._actions:
            if not action.option_strings:
                name = str(action.metavar or action.dest).upper()
                shown.append(f"[{name}]" if action.nargs == "?" else name)
        return " ".join([self.prog, *shown, "[options]"])

    def _without_foreign(self, words: list[str]) -> list[str]:
        """The words with our spelling of our flags, and without flags that mean nothing here."""
        known = self._option_string_actions
        ours: list[str] = []
        wrong: list[str] = []
        position = 0
        while position < len(words):
            word = words[position]
            position += 1
            if word == "--":
                return [*ours, word, *words[position:]]
            flag, equals, value = word.partition("=")
            if not flag.startswith("--") or " " in flag:
                ours.append(word)
                continue
            dashed = flag.replace("_", "-")
            if dashed in known:
                ours.append(dashed + equals + value)
                continue
            if any(name.startswith(flag) for name in known):  # argparse's abbreviations
                ours.append(word)
                continue
            following = words[position : position + 1]
            has_value = not equals and bool(following) and not following[0].startswith("-")
            given = value if equals else following[0] if has_value else None
            if why := meaningless(self.verb, dashed):
                says, takes_value = why
                position += has_value and takes_value
                if os.environ.get("RANK", "0") == "0":  # torchrun gives it to every process
                    print(f"{self.prog}: left out {flag}: {says}", file=sys.stderr)
            else:
                wrong.append(self._about(flag, given))
        if wrong:
            self.error("\n  ".join(dict.fromkeys(wrong)))
        return ours

    def _about(self, word: str, value: str | None) -> str:
        if not word.startswith("-"):
            return self._about_word(word)
        if said := hint(self.verb, word.replace("_", "-"), value, self._option_string_actions):
            return f"there is no {word}: {said}"
        near = get_close_matches(word, self._option_string_actions, n=1)
        return f"there is no {word}" + (f"; did you mean {near[0]}?" if near else "")

    def _about_word(self, word: str) -> str:
        name, equals, _ = word.partition("=")
        is_option = equals and name.replace(".", "").isidentifier()
        if is_option and "--cfg-options" in self._option_string_actions:
            return f"write --cfg-options before {word}"
        return f"{word!r} is one word too many"
