"""Tokenizers of natively read families give the ids that their own files give."""

from __future__ import annotations

import json

import pytest
import sentencepiece
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from tests.models.families.tokenizer_files import write_sentencepiece
from xtune.models import load_tokenizer

TEXTS = [
    "Give three tips.",
    " one space before",
    "   three",
    "two  between",
    "one after ",
    "",
    " ",
    "上海有哪些地方？ 外滩",
    "🙂 emoji",
    "two\nlines\n\n and a tab\t.",
    "1234 3.14",
    "naïve ŧħ",
]
# model_type, does the vocabulary put a space before a text, legacy
PUBLISHED = {
    "llama1": ("llama", True, None),
    "llama2": ("llama", True, False),
    "yi": ("llama", False, True),
    "mistral-v0.1": ("mistral", True, True),
}


def special(token):
    """As transformers 4 wrote it."""
    settings = {"lstrip": False, "normalized": True, "rstrip": False, "single_word": False}
    return {"__type": "AddedToken", "content": token, **settings}


@pytest.fixture(params=PUBLISHED, ids=str)
def published(request, tmp_path):
    """A folder with tokenizer.model and tokenizer_config.json, and its kind."""
    kind, prefix, legacy = PUBLISHED[request.param]
    folder = write_sentencepiece(tmp_path / "published", vocab=384, add_dummy_prefix=prefix)
    settings = {
        "add_bos_token": True,
        "add_eos_token": False,
        "bos_token": special("<s>"),
        "clean_up_tokenization_spaces": False,
        "eos_token": special("</s>"),
        "pad_token": None,
        "sp_model_kwargs": {},
        "tokenizer_class": "LlamaTokenizer",
        "unk_token": special("<unk>"),
    }
    if legacy is not None:
        settings["legacy"] = legacy
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    (folder / "config.json").write_text(json.dumps({"model_type": kind}))
    return folder


def ids_of_pieces(folder, text):
    pieces = sentencepiece.SentencePieceProcessor(model_file=str(folder / "tokenizer.model"))
    return pieces.encode(text)


@pytest.mark.parametrize("text", TEXTS)
def test_pieces_alone_give_their_ids(published, text):
    tokenizer = load_tokenizer(str(published))
    ids = tokenizer(text)["input_ids"]
    assert ids == [1, *ids_of_pieces(published, text)]
    assert tokenizer(text, add_special_tokens=False)["input_ids"] == ids[1:]
    assert tokenizer.decode(ids, skip_special_tokens=True) == text


def test_special_tokens_in_text_are_found(published):
    tokenizer = load_tokenizer(str(published))
    assert (tokenizer.bos_token_id, tokenizer.eos_token_id, len(tokenizer)) == (1, 2, 384)
    assert tokenizer("a</s>b")["input_ids"].count(2) == 1


def test_saved_it_is_the_same_for_transformers_too(published, tmp_path):
    tokenizer = load_tokenizer(str(published))
    tokenizer.save_pretrained(tmp_path / "saved")
    (tmp_path / "saved/config.json").write_text((published / "config.json").read_text())
    for again in (
        load_tokenizer(str(tmp_path / "saved")),
        AutoTokenizer.from_pretrained(tmp_path / "saved"),
    ):
        for text in TEXTS:
            assert again(text)["input_ids"] == tokenizer(text)["input_ids"]


def write_tokenizer_json(folder, *, prefix):
    """The tokenizer.json that transformers 4 wrote: Prepend and Replace, no pre-tokenizer."""
    tokenizer = load_tokenizer(str(folder))
    fields = json.loads(tokenizer.backend_tokenizer.to_str())
    steps = [{"type": "Replace", "pattern": {"String": " "}, "content": "▁"}]
    if prefix:
        steps.insert(0, {"type": "Prepend", "prepend": "▁"})
    fields["normalizer"] = {"type": "Sequence", "normalizers": steps}
    (folder / "tokenizer.json").write_text(json.dumps(fields))


@pytest.mark.parametrize("text", TEXTS)
def test_a_published_tokenizer_json_gives_their_ids(published, text):
    """Yi's has the prefix that its pieces have not."""
    write_tokenizer_json(published, prefix=True)
    ids = load_tokenizer(str(published))(text)["input_ids"]
    assert ids == [1, *ids_of_pieces(published, text)]


def test_a_tokenizer_json_alone_is_taken_as_it_is(published):
    write_tokenizer_json(published, prefix=True)
    (published / "tokenizer.model").unlink()
    verbatim = PreTrainedTokenizerFast(tokenizer_file=str(published / "tokenizer.json"))
    tokenizer = load_tokenizer(str(published))
    for text in TEXTS:
        expected = verbatim(text, add_special_tokens=False)["input_ids"]
        assert tokenizer(text, add_special_tokens=False)["input_ids"] == expected


def test_a_byte_level_tokenizer_json_by_the_name_of_llama(tmp_path):
    """As DeepSeek LLM and Llama 3 publish it: the class does not fit, the file counts."""
    from tests.tiny import write_tiny_tokenizer

    folder = write_tiny_tokenizer(tmp_path / "published")
    file = folder / "tokenizer_config.json"
    fields = json.loads(file.read_text()) | {"tokenizer_class": "LlamaTokenizerFast"}
    file.write_text(json.dumps(fields))
    (folder / "config.json").write_text(json.dumps({"model_type": "llama"}))
    verbatim = PreTrainedTokenizerFast(tokenizer_file=str(folder / "tokenizer.json"))
    tokenizer = load_tokenizer(str(folder))
    for text in TEXTS:
        assert tokenizer(text)["input_ids"] == verbatim(text)["input_ids"]
        assert tokenizer.decode(tokenizer(text)["input_ids"]) == text
