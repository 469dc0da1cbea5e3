"""A folder that lacks a file of its tokenizer, or has half of one, says which: none is empty."""

from __future__ import annotations

import base64
import json
import logging
import shutil

import pytest

from tests.tiny import write_tiny_tokenizer
from xtune.errors import ModelError
from xtune.models import load_tokenizer

LLAMA = {"model_type": "llama", "vocab_size": 384}
QWEN = {"model_type": "qwen", "vocab_size": 500}
GLM4 = {"model_type": "chatglm", "vocab_size": 500, "padded_vocab_size": 500}
POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 12\n"
RANKS = "".join(f"{base64.b64encode(bytes([byte])).decode()} {byte}\n" for byte in range(256))
NAMED = json.dumps({"tokenizer_class": "Qwen2Tokenizer", "eos_token": "<|im_end|>"})


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return write_tiny_tokenizer(tmp_path_factory.mktemp("whole"))


@pytest.fixture
def load(tmp_path, whole):
    def loaded(config, **files):
        """With these files; one that is None is that of a whole checkpoint."""
        (tmp_path / "config.json").write_text(json.dumps(config))
        for name, content in files.items():
            name = name.replace("_dot_", ".").replace("_json", ".json")
            if content is None:
                shutil.copyfile(whole / name, tmp_path / name)
            else:
                (tmp_path / name).write_text(content)
        return load_tokenizer(str(tmp_path))

    return loaded


@pytest.mark.parametrize("kind", ["llama", "qwen2", "gpt2", "mistral", "internlm2", "baichuan"])
@pytest.mark.parametrize("files", [{}, {"tokenizer_config_json": NAMED}])
def test_a_folder_without_a_vocabulary(load, kind, files):
    with pytest.raises(ModelError, match="has no vocabulary: copy it from the checkpoint") as error:
        load({"model_type": kind, "vocab_size": 384}, **files)
    assert "tokenizer.model" in str(error.value)


def test_a_family_with_a_file_of_its_own_names_that(load):
    with pytest.raises(ModelError, match=r"has no vocabulary: .*\(qwen\.tiktoken; inside are"):
        load(QWEN)


@pytest.mark.parametrize(
    ("there", "lacking"), [("vocab.json", "merges.txt"), ("merges.txt", "vocab.json")]
)
def test_half_of_a_vocabulary_names_the_other_half(load, there, lacking):
    with pytest.raises(ModelError, match=f"has {there} and no {lacking}.*copy {lacking}, or token"):
        load(LLAMA, **{there.replace(".", "_dot_"): "{}", "tokenizer_config_json": NAMED})


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("tokenizer_json", '{"model": {"vocab": {"a', "not whole JSON .*was it cut short"),
        ("tokenizer_json", "<html>Not found</html>", "not whole JSON"),
        ("tokenizer_json", "", r"not whole JSON .*; 0 bytes\)"),
        ("tokenizer_json", "{}", "has no 'model'"),
        ("tokenizer_json", "[]", "is no JSON object"),
        ("tokenizer_json", POINTER, "is a pointer of Git LFS .*git lfs pull"),
        ("tokenizer_config_json", '{"eos_token": "<', "not whole JSON"),
        ("tokenizer_config_json", POINTER, "is a pointer of Git LFS"),
    ],
)
def test_a_spoilt_file_is_named(load, name, content, said):
    files = {"tokenizer_json": None, "tokenizer_config_json": None, name: content}
    with pytest.raises(ModelError, match=rf"{name.replace('_json', '.json')} .*{said}"):
        load(LLAMA, **files)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("\0garbage", "neither a SentencePiece model nor tiktoken's ranks"),
        ("", "neither a SentencePiece model nor tiktoken's ranks"),
        (POINTER, "a pointer of Git LFS"),
        (RANKS, "a vocabulary of tiktoken, .* how text is split.*copy tokenizer.json and"),
    ],
)
@pytest.mark.parametrize("config", [LLAMA, {"model_type": "internlm2"}])
def test_a_tokenizer_model_of_another_kind(load, content, said, config, capfd):
    with pytest.raises(ModelError, match=rf"tokenizer\.model is {said}"):
        load(config, tokenizer_dot_model=content)
    assert "Falling back" not in capfd.readouterr().err


def test_ranks_alone_are_read_where_the_family_knows_the_rest(load):
    tokenizer = load(QWEN, qwen_dot_tiktoken=RANKS + "SGk= 256\n")
    assert tokenizer.encode("Hi<|im_end|>") == [256, 257 + 2]
    assert tokenizer.eos_token == "<|endoftext|>"
    assert len(tokenizer) == 257 + 3 + 205


@pytest.mark.parametrize("ranks", [RANKS + "SGk= 25", RANKS[:-9], "SGk= 0\n"])
def test_ranks_that_were_cut_short(load, ranks):
    with pytest.raises(ModelError, match=r"qwen\.tiktoken has .* tokens, .*was it cut short"):
        load(QWEN, qwen_dot_tiktoken=ranks)


def test_glm4s_ranks_alone_name_the_file_with_the_special_tokens(load):
    with pytest.raises(ModelError, match=r"what the special tokens are: copy tokenizer_config\.js"):
        load(GLM4, tokenizer_dot_model=RANKS)


def test_a_tokenizer_json_alone_is_read_and_takes_its_ends_from_the_models_config(
    load, whole, caplog
):
    with caplog.at_level(logging.WARNING, "xtune"):
        tokenizer = load({**LLAMA, "bos_token_id": 1, "eos_token_id": [2, 0]}, tokenizer_json=None)
    assert (tokenizer.bos_token, tokenizer.eos_token, tokenizer.pad_token) == (
        "<|im_start|>",
        "<|im_end|>",
        "<|im_end|>",
    )
    assert tokenizer.encode("Hi there") == load_tokenizer(str(whole)).encode("Hi there")
    assert not caplog.records


def test_where_nothing_names_an_end_the_file_that_does_is_told(load, caplog):
    with caplog.at_level(logging.WARNING, "xtune"):
        assert load(LLAMA, tokenizer_json=None).eos_token is None
    assert "no tokenizer_config.json: copy that file too" in caplog.text
