"""Tokenizers from rank files against the tiktoken package itself."""

from __future__ import annotations

import json
import unicodedata

import pytest
import tiktoken
from hypothesis import example, given, settings
from hypothesis import strategies as st
from transformers import AutoTokenizer

from tests.models.families.tokenizer_files import CORPUS, write_tiktoken
from xtune.errors import ModelError
from xtune.models.families.files import CheckpointFiles
from xtune.models.families.tiktoken_tokenizer import (
    GLM4_SPLIT,
    QWEN_SPLIT,
    glm4_tokenizer,
    qwen_tokenizer,
    read_ranks,
)

TEXTS = [
    "",
    " ",
    "   leading and trailing   ",
    "a\nb\n\n\nc\r\n\td",
    "I'll we'RE they'd",
    "12345 3.14 v2",
    "上海有哪些值得一去的地方？",
    "🙂👩‍👩‍👧 emoji",
    "Cafe\u0301 is caf\u00e9 in NFC",
    "<|im_start|>user\nHi<|im_end|>\n",
    "half <|im_start and <|nothing|>",
    "\x00\x01 control",
    *CORPUS.splitlines(),
]
QWEN_SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
QWEN_SPECIAL += [f"<|extra_{i}|>" for i in range(205)]
GLM4_SPECIAL = ["<|endoftext|>", "[MASK]", "[gMASK]", "[sMASK]", "<sop>", "<eop>", "<|system|>"]
GLM4_SPECIAL += ["<|user|>", "<|assistant|>", "<|observation|>"]


@pytest.fixture(scope="module")
def qwen(tmp_path_factory):
    folder = tmp_path_factory.mktemp("qwen")
    write_tiktoken(folder / "qwen.tiktoken", tokens=340)
    return folder


@pytest.fixture(scope="module")
def glm4(tmp_path_factory):
    folder = tmp_path_factory.mktemp("glm4")
    write_tiktoken(folder / "tokenizer.model", tokens=340)
    decoder = {str(340 + i): {"content": t, "special": True} for i, t in enumerate(GLM4_SPECIAL)}
    config = {"added_tokens_decoder": decoder, "eos_token": "<|endoftext|>"}
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    return folder


def oracle(file, split, special):
    ranks = read_ranks(file)
    numbered = {token: len(ranks) + index for index, token in enumerate(special)}
    return tiktoken.Encoding("x", pat_str=split, mergeable_ranks=ranks, special_tokens=numbered)


@pytest.mark.parametrize("text", TEXTS)
def test_qwen_gives_tiktokens_ids_and_text_back(qwen, text):
    tokenizer = qwen_tokenizer(CheckpointFiles(str(qwen)))
    expected = oracle(qwen / "qwen.tiktoken", QWEN_SPLIT, QWEN_SPECIAL)
    normal = unicodedata.normalize("NFC", text)
    ids = tokenizer(text)["input_ids"]
    assert ids == expected.encode(normal, allowed_special="all")
    assert tokenizer.decode(ids) == normal


@given(text=st.text(max_size=40))
@example(text="<|im_end|>")
@settings(max_examples=150, deadline=None)
def test_qwen_on_any_text(qwen, text):
    tokenizer = _cached(qwen)
    expected = oracle(qwen / "qwen.tiktoken", QWEN_SPLIT, QWEN_SPECIAL)
    normal = unicodedata.normalize("NFC", text)
    # Hypothesis also tries what is written in the sources, "<|im_end|>" for one.
    assert tokenizer(text)["input_ids"] == expected.encode(normal, allowed_special="all")


_TOKENIZERS: dict = {}


def _cached(folder):
    if folder not in _TOKENIZERS:
        _TOKENIZERS[folder] = qwen_tokenizer(CheckpointFiles(str(folder)))
    return _TOKENIZERS[folder]


@pytest.mark.parametrize("text", TEXTS)
def test_glm4_gives_tiktokens_ids_after_its_prefix(glm4, text):
    tokenizer = glm4_tokenizer(CheckpointFiles(str(glm4)))
    expected = oracle(glm4 / "tokenizer.model", GLM4_SPLIT, GLM4_SPECIAL)
    ids = tokenizer(text)["input_ids"]
    assert ids[:2] == [342, 344]  # [gMASK] <sop>
    assert ids[2:] == expected.encode(text, allowed_special="all")
    assert tokenizer(text, add_special_tokens=False)["input_ids"] == ids[2:]
    assert tokenizer.decode(ids[2:]) == text


@pytest.mark.parametrize("which", ["qwen", "glm4"])
def test_saved_and_read_by_transformers_alone(which, request, tmp_path):
    folder = request.getfixturevalue(which)
    make = {"qwen": qwen_tokenizer, "glm4": glm4_tokenizer}[which]
    tokenizer = make(CheckpointFiles(str(folder)))
    tokenizer.save_pretrained(tmp_path)
    again = AutoTokenizer.from_pretrained(tmp_path)
    for text in TEXTS:
        ids = tokenizer(text)["input_ids"]
        assert again(text)["input_ids"] == ids
        assert again.decode(ids) == tokenizer.decode(ids)
    assert again.eos_token == "<|endoftext|>"


def test_without_the_file_there_is_nothing_to_make(tmp_path):
    assert qwen_tokenizer(CheckpointFiles(str(tmp_path))) is None
    assert glm4_tokenizer(CheckpointFiles(str(tmp_path))) is None


def test_a_damaged_file_is_named_with_its_line(tmp_path):
    (tmp_path / "qwen.tiktoken").write_text("IQ== 0\nnonsense\n")
    with pytest.raises(ModelError, match=r"qwen\.tiktoken:2 is not 'base64 rank'"):
        qwen_tokenizer(CheckpointFiles(str(tmp_path)))
