"""A guess at the language of a text: by its script, then by letters and small words.

For the 30 languages that IFEval asks for, and for texts of a sentence or more.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter

__all__ = ["language_of"]

# The first word of a letter's Unicode name
_SCRIPTS = {
    "CJK": "zh",
    "HIRAGANA": "ja",
    "KATAKANA": "ja",
    "HANGUL": "ko",
    "THAI": "th",
    "BENGALI": "bn",
    "TAMIL": "ta",
    "TELUGU": "te",
    "KANNADA": "kn",
    "GUJARATI": "gu",
    "GURMUKHI": "pa",
    "MALAYALAM": "ml",
    "HEBREW": "he",
    "GREEK": "el",
}
# For each language of a script: letters that the others have not, and small words
_SHARED: dict[str, dict[str, tuple[str, str]]] = {
    "ARABIC": {
        "ar": ("ةىأإؤئ", "في من على إلى أن هذا التي الذي ما لا هو و عن مع كان"),
        "fa": ("پچژگ", "و در به از که این را با است برای آن می های یک تا"),
        "ur": ("ٹڈڑںےہھ", "کے میں کی ہے سے کو اور کا ہیں پر نے یہ ایک کہ"),
    },
    "DEVANAGARI": {
        "hi": ("", "है हैं और का की के में को से यह पर नहीं एक था हो"),
        "mr": ("ळ", "आहे आणि या हा ही ते आहेत व च्या मध्ये नाही एक होते साठी"),
        "ne": ("", "छ छन् र को मा हो यो गर्न भएको पनि लाई थियो हुन्छ गर्छ"),
    },
    "CYRILLIC": {
        "ru": ("ыэё", "и в не на что с по как это он из но для от так"),
        "uk": ("іїєґ", "і в не на що з та як це до за від для він але"),
        "bg": ("", "и на в да се от за е с не че са като по това ще"),
    },
    "LATIN": {
        "en": ("", "the of and to in is that it for was with as on are be this you not"),
        "es": ("ñ¿¡", "de la que el en y los se del las un por con no una para es su lo"),
        "pt": ("ãõç", "de a o que e do da em um para com não uma os no se na por mais as"),
        "fr": ("èœûç", "de la le et les des en un du une est que pour qui dans par plus pas au"),
        "de": ("ßäöü", "der die und in den von zu das mit sich des auf für ist im dem nicht ein"),
        "it": ("ò", "di e il la che in un per è del una della sono con non le si da dei"),
        "pl": ("łąęśżźćń", "w i na z do nie się to jest że o jak po przez od dla są ale"),
        "vi": ("ăơưđạảấầẩẫậắằẳẵặẹẻẽếềểễệỉịọỏốồổỗộớờởỡợụủứừửữựỳỵỷỹ", "và của là có các cho không"),
        "sw": ("", "na ya wa kwa ni katika la za cha kuwa hii yake pia au kama hiyo watu"),
        "fi": ("äö", "ja on ei se että oli hän joka mutta ovat kun myös kuin tai sen ole"),
    },
}


def language_of(text: str) -> str | None:
    """Return the likeliest language as two letters of ISO 639-1, or None without any letter.

    Args:
        text: of a sentence or more.
    """
    plain = unicodedata.normalize("NFC", text)
    letters = [letter.lower() for letter in plain if letter.isalpha()]
    scripts = Counter(unicodedata.name(letter, "?").split()[0] for letter in letters)
    if not scripts:
        return None
    script = scripts.most_common(1)[0][0]
    # Japanese has more Chinese characters than its own ones at times
    if script == "CJK" and scripts["HIRAGANA"] + scripts["KATAKANA"] > len(letters) / 10:
        return "ja"
    if script not in _SHARED:
        return _SCRIPTS.get(script)
    return _of_script(plain.lower(), letters, _SHARED[script])


def _of_script(text: str, letters: list[str], languages: dict[str, tuple[str, str]]) -> str:
    """The language whose small words and own letters are the most of a text."""
    words = re.findall(r"[^\s\d.,;:!?\"'()\[\]،؛؟।]+", text)

    def score(language: str) -> float:
        own, small = languages[language]
        common = set(small.split())
        of_words = sum(word in common for word in words) / max(len(words), 1)
        of_letters = sum(letter in own for letter in letters) / len(letters)
        return of_words + 3 * of_letters

    return max(languages, key=score)
