"""One function an instruction of IFEval: does an answer follow it?

    follows("length_constraints:number_words", answer, {"num_words": 300, "relation": "at least"})

The rules are those of the published checkers (Zhou et al. 2023, Instruction-Following Evaluation
for Large Language Models), where they say anything; sentences and languages are told by
`sentences.py` and `language.py`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from xtune.errors import DataError, did_you_mean
from xtune.eval.instructions.language import language_of
from xtune.eval.instructions.sentences import sentences_of, words_of

__all__ = ["INSTRUCTIONS", "follows", "loose_forms", "require_instruction"]

_FIXED_ANSWERS = ("My answer is yes.", "My answer is no.", "My answer is maybe.")

Check = Callable[..., bool]


def follows(instruction: str, answer: str, settings: Mapping[str, Any]) -> bool:
    """Whether an answer follows one instruction; an empty one follows none.

    Args:
        instruction: its id, a key of `INSTRUCTIONS`.
        answer: as it was given.
        settings: of the row's `kwargs`; what is None in there is not set.
    """
    given = {name: value for name, value in settings.items() if value not in (None, "", [])}
    return bool(answer.strip()) and INSTRUCTIONS[instruction][0](answer, **given)


def loose_forms(answer: str) -> list[str]:
    """Return the eight forms of which one must follow, where a check is loose.

    As it is, without its first line, its last, and both; each with and without asterisks.

    Args:
        answer: as it was given.
    """
    lines = answer.split("\n")
    parts = [answer, *("\n".join(some).strip() for some in (lines[1:], lines[:-1], lines[1:-1]))]
    return [*parts, *(part.replace("*", "") for part in parts)]


def require_instruction(instruction: str, settings: Mapping[str, Any], where: str) -> None:
    """Refuse an instruction that there is no check for, or one that lacks a setting.

    Args:
        instruction: its id.
        settings: of the row.
        where: the row stands.

    Raises:
        DataError: names file and line.
    """
    if instruction not in INSTRUCTIONS:
        raise DataError(
            f"{where}: there is no instruction {instruction!r}"
            f"{did_you_mean(instruction, list(INSTRUCTIONS)) or ''}"
        )
    lacking = [each for each in INSTRUCTIONS[instruction][1] if settings.get(each) is None]
    if lacking:
        raise DataError(f"{where}: {instruction} needs {', '.join(lacking)} in its kwargs")


def _fits(count: int, threshold: int, relation: str) -> bool:
    """'less than' or 'at least', as the rows have it."""
    return count < threshold if relation == "less than" else count >= threshold


def _keywords(answer: str, *, keywords: Sequence[str]) -> bool:
    return all(re.search(re.escape(each), answer, re.IGNORECASE) for each in keywords)


def _keyword_frequency(answer: str, *, keyword: str, frequency: int, relation: str) -> bool:
    found = re.findall(re.escape(keyword.strip()), answer, re.IGNORECASE)
    return _fits(len(found), frequency, relation)


def _forbidden(answer: str, *, forbidden_words: Sequence[str]) -> bool:
    return not any(
        re.search(rf"\b{re.escape(each)}\b", answer, re.IGNORECASE) for each in forbidden_words
    )


def _letters(answer: str, *, letter: str, let_frequency: int, let_relation: str) -> bool:
    return _fits(answer.lower().count(letter.strip().lower()), let_frequency, let_relation)


def _language(answer: str, *, language: str) -> bool:
    return language_of(answer) in (None, language)  # of digits alone nobody can tell


def _sentences(answer: str, *, num_sentences: int, relation: str) -> bool:
    return _fits(len(sentences_of(answer)), num_sentences, relation)


def _paragraphs(answer: str, *, num_paragraphs: int) -> bool:
    """Parted by '***'; an empty one may stand at the beginning or the end alone."""
    parts = re.split(r"\s?\*\*\*\s?", answer)
    if any(not part.strip() for part in parts[1:-1]):
        return False
    return sum(bool(part.strip()) for part in parts) == num_paragraphs


def _words(answer: str, *, num_words: int, relation: str) -> bool:
    return _fits(len(words_of(answer)), num_words, relation)


def _first_word(answer: str, *, num_paragraphs: int, nth_paragraph: int, first_word: str) -> bool:
    parts = answer.split("\n\n")
    count = sum(bool(part.strip()) for part in parts)
    if nth_paragraph > count or not parts[nth_paragraph - 1].strip():
        return False
    word = parts[nth_paragraph - 1].split()[0].lstrip("'").lstrip('"')
    return count == num_paragraphs and re.split(r"[.,?!'\"]", word)[0].lower() == first_word.lower()


def _placeholders(answer: str, *, num_placeholders: int) -> bool:
    return len(re.findall(r"\[.*?\]", answer)) >= num_placeholders


def _postscript(answer: str, *, postscript_marker: str) -> bool:
    known = {"P.P.S": r"p\.\s?p\.\s?s", "P.S.": r"p\.\s?s\."}
    marker = postscript_marker.strip()
    return re.search(known.get(marker) or re.escape(marker.lower()), answer.lower()) is not None


def _bullets(answer: str, *, num_bullets: int) -> bool:
    """Lines that begin with '*', not '**', or with '-'."""
    return len(re.findall(r"^\s*(?:\*[^*]|-).*$", answer, re.MULTILINE)) == num_bullets


def _fixed_answer(answer: str) -> bool:
    return any(each in answer for each in _FIXED_ANSWERS)


def _highlights(answer: str, *, num_highlights: int) -> bool:
    """'*so*' and '**so**'; the latter counts where the former does not see it already."""
    single = re.findall(r"\*[^\n*]*\*", answer)
    double = re.findall(r"\*\*[^\n*]*\*\*", answer)
    count = sum(bool(each.strip("*").strip()) for each in single)
    count += sum(bool(each[2:-2].strip()) for each in double)
    return count >= num_highlights


def _sections(answer: str, *, section_spliter: str, num_sections: int) -> bool:
    mark = rf"\s?{re.escape(section_spliter.strip())}\s?\d+\s?"
    return len(re.findall(mark, answer)) >= num_sections


def _json(answer: str) -> bool:
    text = answer.strip()
    for fence in ("```json", "```Json", "```JSON", "```"):
        text = text.removeprefix(fence)
    try:
        json.loads(text.removesuffix("```").strip())
    except (ValueError, RecursionError):
        return False
    return True


def _title(answer: str) -> bool:
    found = re.findall(r"<<[^\n]+>>", answer)
    return any(each.lstrip("<").rstrip(">").strip() for each in found)


def _two_responses(answer: str) -> bool:
    parts = answer.split("******")
    if any(not part.strip() for part in parts[1:-1]):
        return False
    said = [part.strip() for part in parts if part.strip()]
    return len(said) == 2 and said[0] != said[1]


def _repeated(answer: str, *, prompt_to_repeat: str) -> bool:
    return answer.strip().lower().startswith(prompt_to_repeat.strip().lower())


def _end(answer: str, *, end_phrase: str) -> bool:
    return answer.strip().strip('"').lower().endswith(end_phrase.strip().lower())


def _capital_words(answer: str, *, capital_frequency: int, capital_relation: str) -> bool:
    """Words with hyphens or apostrophes inside are one; digits alone are none."""
    words = re.findall(r"\w+(?:['’.-]\w+)*", answer)
    return _fits(sum(word.isupper() for word in words), capital_frequency, capital_relation)


def _all_capital(answer: str) -> bool:
    return answer.isupper() and language_of(answer) == "en"


def _all_small(answer: str) -> bool:
    return answer.islower() and language_of(answer) == "en"


def _no_comma(answer: str) -> bool:
    return "," not in answer


def _quoted(answer: str) -> bool:
    text = answer.strip()
    return len(text) > 1 and text[0] == text[-1] == '"'


# Each instruction's check, and the settings that a row must give it
INSTRUCTIONS: Mapping[str, tuple[Check, tuple[str, ...]]] = {
    "keywords:existence": (_keywords, ("keywords",)),
    "keywords:frequency": (_keyword_frequency, ("keyword", "frequency", "relation")),
    "keywords:forbidden_words": (_forbidden, ("forbidden_words",)),
    "keywords:letter_frequency": (_letters, ("letter", "let_frequency", "let_relation")),
    "language:response_language": (_language, ("language",)),
    "length_constraints:number_sentences": (_sentences, ("num_sentences", "relation")),
    "length_constraints:number_paragraphs": (_paragraphs, ("num_paragraphs",)),
    "length_constraints:number_words": (_words, ("num_words", "relation")),
    "length_constraints:nth_paragraph_first_word": (
        _first_word,
        ("num_paragraphs", "nth_paragraph", "first_word"),
    ),
    "detectable_content:number_placeholders": (_placeholders, ("num_placeholders",)),
    "detectable_content:postscript": (_postscript, ("postscript_marker",)),
    "detectable_format:number_bullet_lists": (_bullets, ("num_bullets",)),
    "detectable_format:constrained_response": (_fixed_answer, ()),
    "detectable_format:number_highlighted_sections": (_highlights, ("num_highlights",)),
    "detectable_format:multiple_sections": (_sections, ("section_spliter", "num_sections")),
    "detectable_format:json_format": (_json, ()),
    "detectable_format:title": (_title, ()),
    "combination:two_responses": (_two_responses, ()),
    "combination:repeat_prompt": (_repeated, ("prompt_to_repeat",)),
    "startend:end_checker": (_end, ("end_phrase",)),
    "startend:quotation": (_quoted, ()),
    "change_case:capital_word_frequency": (
        _capital_words,
        ("capital_frequency", "capital_relation"),
    ),
    "change_case:english_capital": (_all_capital, ()),
    "change_case:english_lowercase": (_all_small, ()),
    "punctuation:no_comma": (_no_comma, ()),
}
