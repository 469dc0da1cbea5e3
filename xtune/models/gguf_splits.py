r"""How each `tokenizer.ggml.pre` cuts a text before byte pairs are merged.

A GGUF has no pre-tokenizer in it, only the name of one of those that are built into llama.cpp.
Merges never cross a cut, so another cut gives other ids:

    text "a\n\n1."      smollm  a | \n\n | 1 | .      GPT-2's  a | \n | \n1 | .

A split is a pattern; what it matches becomes a piece, and so does what lies between two matches.
Several are applied one after the other, each to the pieces of the one before it.

Where llama.cpp only comes near to the pattern that a model was trained with (capitals in `youtu`
and `tiny_aya`, blanks before a number in the latter), here is the model's own.
"""

from __future__ import annotations

from xtune.models.families.tiktoken_tokenizer import GLM4_SPLIT, QWEN_SPLIT

__all__ = ["ADDS_BOS", "SPLITS", "TAKES_WHOLE_WORDS"]

_GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
_SHORT = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)"  # contractions, in any case of letters
_FRONT = r"[^\r\n\p{L}\p{N}]?"  # one blank or mark that goes with the word behind it
_MARKS = r" ?[^\s\p{L}\p{N}]+"
_BLANKS = r"\s+(?!\S)|\s+"
_LINES = rf"\s*[\r\n]+|{_BLANKS}"
_DIGIT, _DIGITS, _THOUSANDS = r"\p{N}", r"\p{N}+", r"\p{N}{1,3}"

# Words are cut where small letters end and capitals begin.
_CAPITALS, _SMALL = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]", r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"
_CASED = [rf"{_FRONT}{_CAPITALS}*{_SMALL}+", rf"{_FRONT}{_CAPITALS}+{_SMALL}*"]
_CASED_SHORT = "|".join(f"{word}{_SHORT}?" for word in _CASED)
_TEKKEN = rf"{'|'.join(_CASED)}|{_DIGIT}|{_MARKS}[\r\n/]*|{_LINES}"
_GPT4O = rf"{_CASED_SHORT}|{_THOUSANDS}|{_MARKS}[\r\n/]*|{_LINES}"
_YOUTU = rf"{_CASED_SHORT}|{_DIGIT}|{_MARKS}[\r\n/]*|{_LINES}"

_QWEN35 = (
    rf"{_SHORT}|{_FRONT}[\p{{L}}\p{{M}}]+|{_DIGIT}| ?[^\s\p{{L}}\p{{M}}\p{{N}}]+[\r\n]*|{_LINES}"
)
_BAILING = rf"{_SHORT}|{_FRONT}\p{{L}}+|{_DIGIT}|{_MARKS}[\r\n]*|\s*[\r\n]|{_BLANKS}"
_SEED = rf"{_SHORT}|{_FRONT}\p{{L}}+|{_DIGIT}| ?[^\s\p{{L}}\p{{N}}\r\n]+|{_LINES}"
_MINICPM5 = rf"{_SHORT}|{_FRONT}\p{{L}}+|{_DIGITS}|{_MARKS}[\r\n]*|{_LINES}"
_EXAONE_MOE = (
    rf"{_SHORT}|{_FRONT}(?:\p{{L}}\p{{M}}*(?: \p{{L}}\p{{M}}*)*)+|{_DIGIT}"
    rf"|{_MARKS}[\r\n/]?|\s*[\r\n]|{_BLANKS}"
)

# Scripts without blanks between words; kana in the newer ones only.
_CJK_AND_KANA = "[\u4e00-\u9fa5\u3040-\u309f\u30a0-\u30ff]+"
_CJK_OF_CODER = "[\u4e00-\u9fa5\u0800-\u4e00\uac00-\ud7ff]+"
_YOUTU_CJK = (
    "[\uac00-\ud7a3\u3131-\u318e]+"
    "|[\uff01\u2026\u201c\u201d\u2018\u2019\u2014\uff1a\uff1b\uff0c\u3001-\u303f\ufe30-\ufe4f]+"
    rf"|[\u3105-\u312f]+|{_CJK_AND_KANA}"
)
# Letters with case, without those of Armenian's and Georgian's later blocks and what came after.
_LETTERS_OF_DEEPSEEK = (
    r"[[\p{Lu}\p{Ll}\p{Lt}]&&[^\x{560}-\x{588}\x{10c7}-\x{10ff}\x{1c80}-\x{1c88}"
    r"\x{2d00}-\x{2d2d}\x{a790}-\x{ab68}\x{10570}-\x{105bc}\x{16e40}-\x{1df1e}]]"
)
_DEEPSEEK_MARKS = "[!-/:-~\uff01-\uff0f\uff1a-\uff5e\u2018-\u201f\u3000-\u3002]"
_ASCII_MARK = r"[!\"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~]"
_DEEPSEEK_3 = (
    rf"{_ASCII_MARK}[A-Za-z]+|[^\r\n\p{{L}}\p{{P}}\p{{S}}]?[\p{{L}}\p{{M}}]+"
    r"| ?[\p{P}\p{S}]+"
)
_BLOOM = " ?[^(\\s|.,!?\u2026\u3002\uff0c\u3001\u0964\u06d4\u060c)]+"

_GROUPS: dict[tuple[str, ...], str] = {
    (GLM4_SPLIT,): "llama3 llama-v3 llama-bpe falcon3 falcon-h1 pixtral midm-2.0 lfm2 "
    "jina-v5-nano dbrx smaug-bpe glm4 chatglm-bpe",
    (
        QWEN_SPLIT,
    ): "qwen2 deepseek-r1-qwen kormo f2llmv2 megrez stablelm2 hunyuan solar-open grok-2",
    (_QWEN35,): "qwen35",
    (_DIGIT, _GPT2): "smollm starcoder refact command-r codeshell exaone minerva-7b mellum2",
    (_GPT2,): "gpt-2 phi-2 gigachat a.x-4.0 mellum modern-bert mpt olmo jais trillion exaone4 "
    "granite-docling jina-es jina-de jina-v2-es jina-v2-de jina-v1-en jina-v2-code roberta-bpe",
    (r"[\p{P}$+<=>^~|`]+", _GPT2, "[0-9][0-9][0-9]"): "falcon",
    (r"[\p{P}$+<=>^~|]+", _GPT2, _DIGITS, "[0-9][0-9][0-9]"): "default",
    (
        r"[\r\n]",
        rf"\s?{_LETTERS_OF_DEEPSEEK}+",
        rf"\s?{_DEEPSEEK_MARKS}+",
        r"\s+$",
        _CJK_OF_CODER,
        _DIGITS,
    ): "deepseek-llm",
    (r"[\r\n]", r"\s?\p{L}+", r"\s?\p{P}+", _CJK_OF_CODER, _DIGIT): "deepseek-coder",
    (
        _THOUSANDS,
        _CJK_AND_KANA,
        rf"{_DEEPSEEK_3}[\r\n]*|{_LINES}",
    ): "deepseek-v3 hunyuan-dense joyai-llm",
    (
        _THOUSANDS,
        _CJK_AND_KANA,
        rf"{_DEEPSEEK_3}|[\r\n]|{_BLANKS}",
        _DIGIT,
    ): "spark2_5",
    (_BLOOM,): "bloom poro-chat gpt3-finnish",
    (_BLOOM, _DIGIT): "viking",
    (_TEKKEN,): "tekken",
    (_GPT4O,): "gpt-4o llama4 kanana2 talkie minimax-m2 granite-embed-multi-97m",
    (r"\d{1,3}(?=(?:\d{3})*\b)", _GPT4O): "tiny_aya cohere2moe",
    (_YOUTU_CJK, _YOUTU): "youtu",
    (_BAILING,): "bailingmoe bailingmoe2 llada-moe",
    (_SEED,): "seed-coder",
    (_DIGITS, r"(?=(\d{3})+(?!\d))"): "superbpe",
    (_THOUSANDS, _MINICPM5): "minicpm5",
    (r"[^\n]+|\n+", QWEN_SPLIT): "laguna",
    (_EXAONE_MOE,): "exaone-moe",
    (
        "<sentinel:[0-9]+>",
        "(IMGIMG)((A|B|C|D|E|F|G|H|I){1,4})Z",
        r"([\t\n]|    |  )",
        _DIGIT,
        r"[\p{P}!-/:-@\[-`{-~]",
        _GPT2,
    ): "chameleon",
}

#: `tokenizer.ggml.pre` -> the patterns, in the order in which they are applied.
SPLITS: dict[str, tuple[str, ...]] = {
    name: splits for splits, names in _GROUPS.items() for name in names.split()
}
_LIKE_LLAMA3 = (
    "llama3 llama-v3 llama-bpe falcon3 falcon-h1 pixtral midm-2.0 lfm2 jina-v5-nano tekken"
)
#: A word that is a token is taken whole, whether or not the merges lead to it.
TAKES_WHOLE_WORDS = frozenset(f"{_LIKE_LLAMA3} youtu minicpm5 granite-embed-multi-97m".split())
#: A beginning-of-text token comes first, unless the file says otherwise.
ADDS_BOS = frozenset(f"{_LIKE_LLAMA3} chameleon".split())
