"""Needle in a haystack: one sentence with a number somewhere in a long text; which number is it?

Form: completion or chat. Shots: none. Scoring: exact_match: the number stands in the answer. A
grid of lengths and depths is asked, each cell as often as `samples`; the report's picture has a
heat map of it, and `needle_grid.json` next to the results the share found in each. The numbers
have seven digits, as RULER's, so that no knowledge helps.

Source: any text of yours: the file is repeated where it is shorter than a length. Lengths count
characters, or tokens where a tokenizer is named. Nothing is downloaded; equal settings give equal
questions.

After: G. Kamradt 2023, LLMTest_NeedleInAHaystack; Hsieh et al. 2024, RULER.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from xtune.errors import UsageError
from xtune.eval.extraction import without_thought
from xtune.eval.grid import grid_of
from xtune.eval.tasks.base import Form, Generation, Item, Prompt, Response, Score, Task
from xtune.eval.tasks.generated import answer_notes, checked_tokens, shares, texts_of
from xtune.local_path import not_there
from xtune.registry import EVALUATIONS

__all__ = ["Needle"]

_CITIES = [
    "Oslo",
    "Lima",
    "Cairo",
    "Kyoto",
    "Perth",
    "Quito",
    "Tunis",
    "Delhi",
    "Milan",
    "Dakar",
    "Riga",
    "Hanoi",
]
_ENDS = re.compile(r"[.!?。！？]\s*|\n+")  # where a sentence may be put in


@EVALUATIONS.register_module()
class Needle(Task):
    """A grid of questions made from a text of yours; see the module.

    Args:
        data_path: a text file, UTF-8.
        lengths: of the haystack, the needle included.
        depths: how many places from the beginning (0 %) to the end (100 %).
        samples: questions for each length and depth, with other numbers.
        tokenizer: a model's name or folder, by whose tokens lengths count; None: characters.
        max_new_tokens: of an answer; None: 32.

    Raises:
        UsageError: there is no such file, it is empty, or a setting is out of range.
    """

    name = "needle"
    scoring = "exact_match"
    headline = "found"

    def __init__(
        self,
        *,
        data_path: str | None = None,
        lengths: Sequence[int] = (1000, 2000, 4000, 8000),
        depths: int = 11,
        samples: int = 1,
        tokenizer: str | None = None,
        max_new_tokens: int | None = None,
    ) -> None:
        file = Path(data_path or ".").expanduser()
        if data_path is None or file.is_dir():
            raise UsageError(
                "needle needs a text file to hide it in: --task-options needle.data_path=TEXT.txt "
                "(in a config: data_path='TEXT.txt')"
            )
        if not file.is_file():
            raise UsageError(f"needle: {not_there(data_path, 'text file')}")
        if depths < 2 or samples < 1:
            raise UsageError(
                f"needle: depths={depths}, samples={samples}; allowed: depths 2 or more, samples 1 "
                "or more"
            )
        if not lengths or min(lengths) < 100:
            raise UsageError(f"needle: lengths={list(lengths)}; allowed: 100 or more each")
        try:
            self._filler = file.read_text(encoding="utf-8").strip()
        except UnicodeDecodeError as error:
            raise UsageError(f"needle: {data_path!r} is no UTF-8 text: {error}") from error
        if not self._filler:
            raise UsageError(f"needle: {data_path!r} is empty")
        self.file, self.lengths, self.depths, self.samples = file.name, lengths, depths, samples
        self.tokenizer = tokenizer
        self.max_new_tokens = checked_tokens(self.name, max_new_tokens, 32)

    def items(self) -> Sequence[Item]:
        """Return a question for each length, depth and sample; see `Task`."""
        return self._items

    @cached_property
    def _items(self) -> list[Item]:
        cut = _by_tokens(self.tokenizer) if self.tokenizer else _by_characters
        found = []
        for length in self.lengths:
            for step in range(self.depths):
                depth = round(100 * step / (self.depths - 1))
                for sample in range(self.samples):
                    dice = random.Random(f"{length} {depth} {sample}")
                    city, number = dice.choice(_CITIES), str(dice.randrange(1_000_000, 10_000_000))
                    needle = f"The secret number of {city} is {number}."
                    hay = cut(self._filler, length, needle)
                    found.append(
                        Item(
                            id=f"{length}/{depth}/{sample}",
                            question=_hidden(hay, needle, depth),
                            gold=number,
                            group=str(length),
                            where=f"{self.file}, {depth} %",
                            fields={"city": city, "length": length, "depth": depth},
                        )
                    )
        return found

    def ask(self, item: Item, form: Form) -> Generation:
        """Return the text and the question; a completion begins the answer's sentence too.

        Args: as `Task.ask`.
        """
        city = item.fields["city"]
        question = f"{item.question}\n\nWhat is the secret number of {city}? Answer from the text."
        if form == "completion":
            question += f"\nThe secret number of {city} is"
        stop = ("\n",) if form == "completion" else ()
        return Generation(Prompt(question), stop=stop, max_new_tokens=self.max_new_tokens)

    def score(self, item: Item, response: Response) -> Score:
        """Return 'found'.

        Args: as `Task.score`.
        """
        (answer,) = texts_of(response)
        text = without_thought(answer.text).strip()
        plain = re.sub(r"(?<=\d)[,\s](?=\d)", "", text)  # 1,234,567
        return Score(
            metrics={"found": float(item.gold in plain)},
            got=text,
            expected=item.gold,
            unanswered=not re.search(r"\d", text),
            notes={**answer_notes([answer]), "cell": _cell(item)},
        )

    def overall(self, items: Sequence[Item], scores: Sequence[Score]) -> dict[str, float]:
        """Return the shares of cut and of empty answers.

        Args: as `Task.overall`.
        """
        return shares(scores)

    def attachments(self, items: Sequence[Item], scores: Sequence[Score]) -> dict[str, Any]:
        """Return the share found at each length (rows) and depth (columns).

        Args: as `Task.attachments`.
        """
        found = grid_of(
            [_cell(item) for item in items], [score.metrics["found"] for score in scores]
        )
        assert found is not None
        grid = {"lengths": found.rows, "depths": found.columns, "found": found.means}
        return {"needle_grid.json": grid}

    def settings(self) -> dict[str, Any]:
        """Return the grid, and what lengths count; see `Task`."""
        return {
            "text": self.file,
            "lengths": list(self.lengths),
            "lengths_count": f"tokens of {self.tokenizer}" if self.tokenizer else "characters",
            "depths": self.depths,
            "samples": self.samples,
            "max_new_tokens": self.max_new_tokens,
        }


def _cell(item: Item) -> dict[str, int]:
    return {"length": item.fields["length"], "depth, %": item.fields["depth"]}


def _by_characters(filler: str, length: int, needle: str) -> str:
    """So much of the filler that it is `length` characters long with the needle."""
    wanted = length - len(needle) - 1
    return (f"{filler}\n" * (wanted // len(filler) + 1))[:wanted]


def _by_tokens(name: str) -> Callable[[str, int, str], str]:
    """The same by a tokenizer's tokens, give or take one where the needle is put in."""
    from xtune.models import load_tokenizer  # imports torch

    tokenizer = load_tokenizer(name)

    def cut(filler: str, length: int, needle: str) -> str:
        wanted = length - len(tokenizer.encode(f" {needle}", add_special_tokens=False))
        ids: list[int] = tokenizer.encode(f"{filler}\n", add_special_tokens=False)
        ids = (ids * (wanted // len(ids) + 1))[:wanted]
        text = tokenizer.decode(ids, skip_special_tokens=False, clean_up_tokenization_spaces=False)
        return str(text).rstrip("\ufffd")

    return cut


def _hidden(hay: str, needle: str, depth: int) -> str:
    """The needle behind the sentence that ends last before the depth, in percent."""
    if depth == 100:
        return f"{hay} {needle}"
    place = 0
    for end in _ENDS.finditer(hay, 0, len(hay) * depth // 100):
        place = end.end()
    before, after = hay[:place], hay[place:]
    blank = "" if not before or before[-1].isspace() else " "
    return f"{before}{blank}{needle} {after}"
