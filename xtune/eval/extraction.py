r"""What an answer in words says: a letter, a number, a formula, a program. None where it says none.

Models write answers in many ways; each rule here is tested on how they really do, in English and
Chinese. Full-width letters, digits and brackets are read as plain ones.

    letter_in('As an AI, I would say the answer is (C).', 'ABCD')   'C'
    letter_in('答案：Ｂ', 'ABCD')                                     'B'
    last_number('So she pays $1,250.50 in all.')                    '1250.50'
    boxed_in(r'Thus \boxed{\frac{1}{2}}.')                          r'\frac{1}{2}'
"""

from __future__ import annotations

import re
import unicodedata

__all__ = [
    "after_answer_is",
    "boxed_in",
    "code_in",
    "final_answer_in",
    "last_number",
    "letter_in",
    "letters_in",
    "without_thought",
]

_CUE = re.compile(
    r"(?:正确)?答案(?:应该|应当|应)?(?:是|为|选)?|(?:应该|应|故|因此|所以|我)选(?:择)?|选项?(?:是|为)"
    r"|(?:answer|option|choice)(?:s?\b[^.:\n]{0,40}? (?:is|are|should be|would be|must be)\b|:)"
    r"|\\boxed(?=\{)",
    re.IGNORECASE,
)
# Between a cue and its letter: marks, brackets, 'option', LaTeX around a letter
_BETWEEN = r"(?:[\s:\"'`*_$(\[{<]|\\text|\\mathrm|\\textbf|\\boxed|option|choice|选项|选择|选|是)*"
_LONE_BEFORE = r"(?<![A-Za-z0-9'’\\])"
# No word goes on behind the letter; and 'A dog', 'I think' begin with words
_NO_WORD = (
    r"(?![A-Za-z0-9'’])"
    r"(?!(?<=A)[ ]+(?!(?:is|was|because|since|and|or|would|seems)\b)[a-z])"
    r"(?!(?<=I)[ ]+(?!(?:is|because)\b)[a-z])"
)
_NUMBER = re.compile(r"(?<![\w.])-?\d{1,3}(?:,\d{3})+(?:\.\d+)?|-?(?:\d+(?:\.\d+)?|\.\d+)")
# As LaTeX and typographers part thousands: 9{,}500, 9\\,500, a no-break or a thin blank
_THOUSANDS = re.compile(r"(?<=\d)(?:\{,\}|\\[,!;:]|[\u00a0\u2009\u202f])(?=\d{3}(?!\d))")
_FENCE = re.compile(r"```[ \t]*([\w+-]*)[^\n]*\n(.*?)(?:\n[ \t]*```|\Z)", re.DOTALL)


def without_thought(text: str) -> str:
    """Return what stands behind a model's thoughts; '' if it has not come out of them.

    Args:
        text: with `<think>…</think>` in front, or without.
    """
    _, closed, after = text.rpartition("</think>")
    if closed:
        return after.lstrip()
    return "" if "<think>" in text else text


def letter_in(text: str, letters: str) -> str | None:
    """Return the option that an answer names.

    In this order: behind the last 'the answer is', 'Answer:', '答案是', boxed; a lone letter at the
    beginning; the last lone capital. Never the first capital of a text: 'As an AI' is no A, and
    neither is the article in 'A dog'.

    Args:
        text: an answer, without thoughts.
        letters: of the options, as 'ABCD'.
    """
    plain = unicodedata.normalize("NFKC", text).strip()
    lone = rf"([{letters}]){_NO_WORD}"
    behind = re.compile(rf"{_BETWEEN}{lone}")
    small = re.compile(rf"[\s:*]*\(?([{letters.lower()}])\)")  # 'the answer is (b)'
    for cue in reversed(list(_CUE.finditer(plain))):
        if found := behind.match(plain, cue.end()) or small.match(plain, cue.end()):
            return found[1].upper()
    if found := re.match(rf"[\s\"'`*_$(\[]*(?:option |选项?)?{lone}", plain):
        return found[1]
    all_lone: list[str] = re.findall(_LONE_BEFORE + lone, plain)
    return all_lone[-1] if all_lone else None


def letters_in(text: str, letters: str) -> frozenset[str] | None:
    """Return all options that an answer names, where several may be right.

    Args:
        text: an answer, without thoughts: 'The answers are A and C', '答案：ＡＣＤ', 'BD'.
        letters: of the options.
    """
    plain = unicodedata.normalize("NFKC", text).strip()
    run = rf"[{letters}](?:(?:[\s,;、/&()]|and|和|与|及)*[{letters}])*{_NO_WORD}"
    for cue in reversed(list(_CUE.finditer(plain))):
        found = re.compile(rf"{_BETWEEN}({run})").match(plain, cue.end())
        if found:
            return frozenset(re.findall(rf"[{letters}]", found[1]))
    if found := re.match(rf"[\s(\[*]*({run})", plain):
        return frozenset(re.findall(rf"[{letters}]", found[1]))
    one = letter_in(plain, letters)
    return frozenset({one}) if one else None


def last_number(text: str) -> str | None:
    """Return the last number of a text, without what parts its thousands.

    A minus behind a digit or a letter is none of its sign: '10-5' ends with 5.

    Args:
        text: an answer.
    """
    # before blanks of other widths become plain ones, which may part two numbers
    plain = unicodedata.normalize("NFKC", _THOUSANDS.sub(",", text)).replace("\u2212", "-")
    found = None
    for match in _NUMBER.finditer(plain):
        number = match[0]
        before = plain[match.start() - 1 : match.start()]
        if number.startswith("-") and (before.isalnum() or before in (")", "]", "}")):
            number = number[1:]
        found = number
    return None if found is None else found.replace(",", "")


def boxed_in(text: str) -> str | None:
    r"""Return what stands in the last `\boxed{…}` or `\fbox{…}`, whose braces must close.

    Args:
        text: an answer in LaTeX; `\boxed 5` is read too.
    """
    for match in reversed(list(re.finditer(r"\\(?:boxed|fbox)\s*", text))):
        rest = text[match.end() :]
        if not rest.startswith("{"):
            bare = re.match(r"[^\s$.,]+", rest)
            if bare:
                return bare[0]
            continue
        depth = 0
        for at, letter in enumerate(rest):
            escaped = at > 0 and rest[at - 1] == "\\"
            depth += (letter == "{" and not escaped) - (letter == "}" and not escaped)
            if depth == 0:
                return rest[1:at]
    return None


def final_answer_in(text: str) -> str | None:
    """Return what stands in Minerva's last sentence, 'Final Answer: The final answer is X.'.

    Args:
        text: an answer; 'I hope it is correct.' may follow, or the text may end there.
    """
    parts = re.split(r"(?i)final answer is:?", text)
    if len(parts) == 1:
        return None
    said = re.split(r"\.?\s*I hope it is correct", parts[-1])[0].split("\n")[0].strip()
    return said.removesuffix(".").strip() or None


def after_answer_is(text: str) -> str:
    """Return a short Chinese answer without its opening words: '答案是北京。' gives '北京'.

    Args:
        text: an answer.
    """
    said = re.split(r"答案(?:是|为|[:：])", text)[-1] if "答案" in text else text
    said = said.strip().split("\n")[0].strip()
    return said.lstrip(":：").strip().rstrip("。.").strip().strip("\"'“”‘’「」『』")


def code_in(text: str) -> str | None:
    """Return the program of an answer: its longest fenced block of Python, or of no language.

    Args:
        text: an answer; a block that the length limit has cut counts up to there.
    """
    blocks = [
        code
        for language, code in _FENCE.findall(text)
        if language.lower() in ("", "python", "py", "python3")
    ]
    return max(blocks, key=len, default=None)
