"""The tokenizer of a GGUF file gives llama.cpp's ids.

The ids here are llama.cpp's own (xllamacpp 2026.10, `POST /tokenize`), for files with SmolLM2's
vocabulary and each `pre`; those of SentencePiece for a file with the pieces below.
"""

from __future__ import annotations

import json

import pytest

from xtune.errors import ModelError
from xtune.models.gguf import resolve_alias
from xtune.models.gguf_metadata import read_gguf_metadata
from xtune.models.gguf_splits import ADDS_BOS, SPLITS, TAKES_WHOLE_WORDS
from xtune.models.gguf_tokenizer import gguf_tokenizer

SMOLLM = {
    "a\n\n1.": "81 1116 33 30",
    "!\n\n\n1": "17 16506 33",
    "  3": "256 35",
    "I'll don't CAN'T it's 1234  5678 12345678 x1y22z333": (
        "57 3060 1326 982 27190 23 68 357 506 216 33 34 35 36 256 37 38 39 40 216 33 34 "
        "35 36 37 38 39 40 1792 33 105 34 34 106 35 35 35"
    ),
    "了吗？今天天气很好，我们去。123公里": (
        "46025 16357 241 8083 249 15076 228 18614 119 18614 119 177 125 238 29157 226 "
        "48392 138 12831 19805 235 15076 122 44652 136 19076 33 34 35 17086 122 27219 230"
    ),
    "こんにちは カタカナ 한국어": (
        "7365 237 10391 237 41152 7365 111 7365 124 216 10391 121 10391 140 10391 121 "
        "11100 228 216 33085 246 181 130 251 183 240 129"
    ),
    "😀👍🏽 é café naïve Ünï": (
        "10813 242 218 10813 235 231 10813 233 138 297 151 219 37366 15486 46494 5549 246 94 25972"
    ),
    "tabs\t\tx \n y\r\n\r\nz  \n\n  end  ": (
        "100 7366 197 197 104 3717 329 7209 198 106 256 8866 1112 256"
    ),
    "def f(x):\n    return x**2 + 3.14e-5 # $5.00 <b>": (
        "1604 275 24 104 727 472 1003 1792 828 34 1232 216 35 30 33 36 85 29 37 907 1885 "
        "37 30 32 32 2067 82 46"
    ),
    "<|im_start|>user\n1. one\n 2. two<|im_end|>": "1 4093 198 33 30 582 3805 34 30 827 2",
}
CASES = (
    "  3",
    "a\n\n1.",
    "tabs\t\tx \n y\r\n\r\nz  \n\n  end  ",
    "getUserName iPhone HELLOWorld McDonald's ABCdef",
    "def f(x):\n    return x**2 + 3.14e-5 # $5.00 <b>",
)
OTHERS = {
    "gpt-2": [
        "216 216 35",
        "81 198 198 33 30",
        "100 7366 197 197 104 3717 329 7209 198 106 256 8866 1112 256",
        "726 11126 5820 22339 407 4210 6426 11265 29212 506 17638 1604",
        (
            "1604 275 24 104 727 472 1003 1792 828 34 1232 216 35 30 33 36 85 29 37 907 "
            "1885 37 30 32 32 2067 82 46"
        ),
    ],
    "llama-bpe": [
        "216 216 35",
        "81 1116 33 30",
        "100 7366 197 197 104 3717 329 18682 106 256 1116 216 1112 256",
        "726 11126 5820 22339 407 4210 6426 11265 29212 506 17638 1604",
        (
            "1604 275 24 104 727 198 333 1003 1792 828 34 1232 216 35 30 33 36 85 29 37 "
            "907 1885 37 30 32 32 2067 82 46"
        ),
    ],
    "qwen2": [
        "216 216 35",
        "81 1116 33 30",
        "100 7366 197 197 104 3717 329 18682 106 256 1116 216 1112 256",
        "726 11126 5820 22339 407 4210 6426 11265 29212 506 17638 1604",
        (
            "1604 275 24 104 727 198 333 1003 1792 828 34 1232 216 35 30 33 36 85 29 37 "
            "907 1885 37 30 32 32 2067 82 46"
        ),
    ],
    "deepseek-llm": [
        "256 35",
        "81 198 198 33 30",
        ("100 7366 197 197 104 216 198 329 201 198 201 198 106 256 198 198 216 1112 256"),
        "726 11126 5820 22339 407 4210 6426 11265 29212 23 99 17638 1604",
        (
            "1604 275 24 104 727 198 333 1003 1792 828 34 1232 216 35 30 33 36 85 29 37 "
            "907 1885 37 30 32 32 2067 82 46"
        ),
    ],
    "deepseek-coder": [
        "256 35",
        "81 198 198 33 30",
        ("100 7366 197 197 104 216 198 329 201 198 201 198 106 256 198 198 216 1112 256"),
        "726 11126 5820 22339 407 4210 6426 11265 29212 23 99 17638 1604",
        (
            "1604 275 24 104 727 198 333 1003 1792 828 34 1232 216 35 30 33 36 85 29 37 "
            "907 1885 37 30 32 32 2067 82 46"
        ),
    ],
    "deepseek-v3": [
        "256 35",
        "81 1116 33 30",
        "100 7366 197 197 104 3717 329 18682 106 256 1116 216 1112 256",
        "726 11126 5820 22339 407 4210 6426 11265 29212 506 17638 1604",
        (
            "1604 275 24 104 727 198 333 1003 1792 828 34 1232 216 35 30 33 36 85 29 37 "
            "907 1885 37 30 32 32 2067 82 46"
        ),
    ],
    "falcon": [
        "216 216 35",
        "81 198 198 33 30",
        "100 7366 197 197 104 3717 329 7209 198 106 256 8866 1112 256",
        "726 11126 5820 22339 407 4210 6426 11265 29212 23 99 17638 1604",
        (
            "1604 275 24 104 727 472 1003 1792 828 34 216 27 216 35 30 33 36 85 29 37 216 "
            "19 216 20 37 30 32 32 216 44 82 46"
        ),
    ],
    "default": [
        "216 216 35",
        "81 198 198 33 30",
        "100 7366 197 197 104 3717 329 7209 198 106 256 8866 1112 256",
        "726 11126 5820 22339 407 4210 6426 11265 29212 23 99 17638 1604",
        (
            "1604 275 24 104 727 472 1003 1792 828 34 216 27 216 35 30 33 36 85 29 37 216 "
            "19 216 20 37 30 32 32 216 44 82 46"
        ),
    ],
    "bloom": [
        "216 216 35",
        "81 1116 33 30",
        "100 7366 1656 104 3717 329 18682 106 256 8866 1112 256",
        "726 11126 5820 22339 407 4210 6426 11265 29212 506 17638 1604",
        (
            "1604 275 24 104 25 42 472 1003 1792 828 34 1232 216 35 30 33 36 85 29 37 907 "
            "1885 37 30 32 32 2067 82 46"
        ),
    ],
    "viking": [
        "216 216 35",
        "81 1116 33 30",
        "100 7366 1656 104 3717 329 18682 106 256 8866 1112 256",
        "726 11126 5820 22339 407 4210 6426 11265 29212 506 17638 1604",
        (
            "1604 275 24 104 25 42 472 1003 1792 828 34 1232 216 35 30 33 36 85 29 37 907 "
            "1885 37 30 32 32 2067 82 46"
        ),
    ],
    "tekken": [
        "216 216 35",
        "81 1116 33 30",
        "100 7366 197 197 104 3717 329 18682 106 256 1116 216 1112 256",
        "726 11126 5820 2056 17739 407 4210 6426 11265 4139 20214 506 17638 1604",
        (
            "1604 275 24 104 727 198 333 1003 1792 828 34 1232 216 35 30 33 36 85 29 37 "
            "907 1885 37 30 32 32 2067 82 46"
        ),
    ],
    "gpt-4o": [
        "216 216 35",
        "81 1116 33 30",
        "100 7366 197 197 104 3717 329 18682 106 256 1116 216 1112 256",
        "726 11126 5820 2056 17739 407 4210 6426 11265 4139 20214 506 17638 1604",
        (
            "1604 275 24 104 727 198 333 1003 1792 828 34 1232 216 35 30 33 36 85 29 37 "
            "907 1885 37 30 32 32 2067 82 46"
        ),
    ],
    "superbpe": [
        "256 35",
        "81 1116 33 30",
        "100 7366 1656 104 3717 329 18682 106 256 39892 486 256",
        "726 11126 5820 22339 407 4210 6426 11265 29212 506 17638 1604",
        (
            "1604 275 24 104 727 2367 5406 1792 828 34 1232 216 35 30 33 36 85 29 37 907 "
            "1885 37 30 32 32 2067 82 46"
        ),
    ],
    "exaone-moe": [
        "216 216 35",
        "81 1116 33 30",
        "100 7366 197 197 104 3717 329 18682 106 256 1116 216 1112 256",
        "726 11126 5820 22339 407 4210 6426 11265 29212 506 17638 1604",
        (
            "1604 275 24 104 727 198 333 1003 1792 828 34 1232 216 35 30 33 36 85 29 37 "
            "907 1885 37 30 32 32 2067 82 46"
        ),
    ],
}


def numbers(text):
    return [int(number) for number in text.split()]


@pytest.fixture(scope="module")
def metadata():
    return read_gguf_metadata(resolve_alias("smollm2"))


def ids(metadata, text, **changes):
    tokenizer = gguf_tokenizer(
        metadata | {f"tokenizer.ggml.{key}": value for key, value in changes.items()}, "a.gguf"
    )
    return tokenizer(text, add_special_tokens=False)["input_ids"]


def test_smollm2_cuts_digits_one_by_one_and_before_the_rest(metadata):
    assert metadata["tokenizer.ggml.pre"] == "smollm"
    tokenizer = gguf_tokenizer(metadata, "a.gguf")
    expected = {text: numbers(found) for text, found in SMOLLM.items()}
    assert {text: tokenizer(text)["input_ids"] for text in SMOLLM} == expected
    assert [tokenizer.decode(found) for found in expected.values()] == list(SMOLLM)


@pytest.mark.parametrize("pre", OTHERS)
def test_every_other_kind(metadata, pre):
    assert [ids(metadata, text, pre=pre) for text in CASES] == [*map(numbers, OTHERS[pre])]


def test_control_and_user_defined_tokens_are_whole_and_have_their_own_ids(metadata):
    """DeepSeek's are of letters that a byte has no sign for."""
    tokens, types = list(metadata["tokenizer.ggml.tokens"]), [1] * 49152
    tokens[3], types[3] = "<｜begin▁of▁sentence｜>", 3
    tokens[4], types[4] = "<think>", 4
    changes = {"tokens": tokens, "token_type": types, "bos_token_id": 3, "add_bos_token": True}
    changed = metadata | {f"tokenizer.ggml.{key}": value for key, value in changes.items()}
    tokenizer = gguf_tokenizer(changed, "a.gguf")
    assert len(tokenizer) == 49152
    assert tokenizer("<｜begin▁of▁sentence｜><think>Hi there").input_ids == [3, 3, 4, 26843, 665]
    assert tokenizer.decode([3, 4, 26843], skip_special_tokens=True) == "<think>Hi"


@pytest.mark.parametrize(
    ("pre", "said"),
    [
        ("brandnew", "a.gguf names the pre-tokenizer 'brandnew', which xtune does not know"),
        (None, "a.gguf names no pre-tokenizer"),
    ],
)
def test_an_unknown_or_missing_pre_is_said(metadata, pre, said, caplog):
    without = {key: v for key, v in metadata.items() if key != "tokenizer.ggml.pre"}
    gguf_tokenizer(without | ({"tokenizer.ggml.pre": pre} if pre else {}), "a.gguf")
    assert [said in record.getMessage() for record in caplog.records] == [True]


def test_a_known_pre_says_nothing(metadata, caplog):
    gguf_tokenizer(metadata, "a.gguf")
    assert not caplog.records


def test_whole_words_and_the_first_token_come_with_the_kind():
    assert set(SPLITS) >= ADDS_BOS | TAKES_WHOLE_WORDS
    small = {
        "general.architecture": "llama",
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.tokens": ["<s>", "a", "b", "c", "abc"],  # no merge leads to 'abc'
        "tokenizer.ggml.token_type": [3, 1, 1, 1, 1],
        "tokenizer.ggml.merges": [],
        "tokenizer.ggml.bos_token_id": 0,
    }
    found = {
        pre: gguf_tokenizer(small | {"tokenizer.ggml.pre": pre}, "a.gguf")("abc").input_ids
        for pre in ("llama-bpe", "qwen2")
    }
    assert found == {"llama-bpe": [0, 4], "qwen2": [1, 2, 3]}


PIECES = {
    "general.architecture": "llama",
    "tokenizer.ggml.model": "llama",
    "tokenizer.ggml.tokens": ["<unk>", "<s>", "</s>", "▁", "H", "i", "Hi", "▁Hi"],
    "tokenizer.ggml.token_type": [2, 3, 3, 1, 1, 1, 1, 1],
    "tokenizer.ggml.scores": [0.0, 0.0, 0.0, -4.0, -5.0, -6.0, -1.0, -2.0],
    "tokenizer.ggml.bos_token_id": 1,
    "tokenizer.ggml.eos_token_id": 2,
}


def test_pieces_have_one_blank_before_a_text_or_none():
    texts = ("Hi", " Hi", "Hi Hi", "</s>Hi")
    with_prefix = gguf_tokenizer(PIECES, "a.gguf")
    assert [with_prefix(text).input_ids for text in texts] == [
        [1, 7],
        [1, 3, 7],
        [1, 7, 7],
        [1, 2, 7],
    ]
    off = {"tokenizer.ggml.add_space_prefix": False, "tokenizer.ggml.add_bos_token": False}
    without = gguf_tokenizer(PIECES | off, "a.gguf")
    assert [without(text).input_ids for text in texts] == [[6], [7], [6, 7], [2, 6]]


def test_the_rest_of_a_file_is_kept(metadata):
    tokenizer = gguf_tokenizer(
        metadata | {"tokenizer.chat_template.tool_use": "{{ tools }}"}, "a.gguf"
    )
    assert (tokenizer.bos_token, tokenizer.eos_token) == ("<|im_start|>", "<|im_end|>")
    assert set(tokenizer.chat_template) == {"default", "tool_use"}
    assert json.loads(tokenizer.backend_tokenizer.to_str())["normalizer"] is None


def test_gemmas_are_left_to_transformers():
    assert gguf_tokenizer(PIECES | {"general.architecture": "gemma2"}, "a.gguf") is None


def test_an_id_outside_of_the_vocabulary():
    with pytest.raises(ModelError, match="a.gguf sets tokenizer.ggml.eos_token_id to 99, of 8"):
        gguf_tokenizer(PIECES | {"tokenizer.ggml.eos_token_id": 99}, "a.gguf")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"no gguf at all", "it begins with b'no g'"),
        (b"GGUF\x03\x00\x00\x00", "cut off or damaged"),
        (b"GGUF\x09\x00\x00\x00" + bytes(16), "GGUF version 9"),
        (
            b"GGUF\x03\x00\x00\x00" + bytes(8) + b"\x01" + bytes(7) + b"\xff" * 8,
            "cut off or damaged",
        ),
    ],
)
def test_a_damaged_file(tmp_path, content, said):
    (tmp_path / "a.gguf").write_bytes(content)
    with pytest.raises(ModelError, match=said):
        read_gguf_metadata(tmp_path / "a.gguf")
