"""`xtune expand-vocab`: what is counted, what is written; old text is spelled as before."""

from __future__ import annotations

import json

import pytest
import torch
from sentencepiece import SentencePieceProcessor
from transformers import AutoModelForCausalLM, AutoTokenizer

from tests.models.families.cases import internlm
from tests.models.families.tokenizer_files import write_sentencepiece
from tests.tiny import write_tiny_llama
from xtune.cli.entry import main
from xtune.models import load_model, load_tokenizer
from xtune.models.sentencepiece_merge import merge_sentencepiece, read_sentencepiece

ENGLISH = "The quick brown fox jumps over the lazy dog. Give three tips for staying healthy."
CHINESE = "今天天气很好，我们去公园吧。公园里有很多人，天气很好。上海的公园，上海的天气。"
IDS = torch.tensor([[5, 6, 7, 8]])


@pytest.fixture(scope="module")
def llama(tmp_path_factory):
    """A base in Llama's published form: tokenizer.model, and no tokenizer.json."""
    folder = tmp_path_factory.mktemp("base") / "llama"
    write_tiny_llama(folder, vocab=384, tied=False)
    (folder / "tokenizer.json").unlink()
    (folder / "tokenizer_config.json").write_text(
        json.dumps(
            {
                "tokenizer_class": "LlamaTokenizer",
                "bos_token": "<s>",
                "eos_token": "</s>",
                "unk_token": "<unk>",
                "add_bos_token": True,
                "legacy": False,
            }
        )
    )
    return write_sentencepiece(folder, vocab=384, add_dummy_prefix=True)


@pytest.fixture(scope="module")
def chinese(tmp_path_factory):
    """A model of Chinese pieces, some of which the base has: <unk>, <s>, </s>, the bytes, …"""
    folder = tmp_path_factory.mktemp("pieces")
    write_sentencepiece(
        folder, vocab=310, sentence_iterator=iter([CHINESE] * 4), character_coverage=1.0
    )
    return folder / "tokenizer.model"


def expand(*words):
    return main(["expand-vocab", *map(str, words)])


def test_tokens_from_a_file_are_counted_and_none_is_lost(tmp_path, capsys):
    base = write_tiny_llama(tmp_path / "base")
    (tmp_path / "words").write_text("<|im_end|>\nkilometre\n公园\nkilometre\n<call>\n")
    capsys.readouterr()  # DeepSpeed speaks when it is first imported, as transformers saves
    assert expand(base, "--tokens", tmp_path / "words", tmp_path / "out") == 0
    out = capsys.readouterr().out
    assert [line.strip() for line in out.splitlines()][:5] == [
        "5 given",
        "2 of them in the base already",
        "1 given more than once",
        "2 added: the tokenizer has 386 tokens now, 384 before",
        "386 rows in embedding and head, 384 before",
    ]
    tokenizer = load_tokenizer(str(tmp_path / "out"))
    assert len(tokenizer) == 386
    assert tokenizer.decode(tokenizer.encode("a 公园 b")) == "a 公园 b"
    before = load_model(str(base), dtype="fp32")
    after = AutoModelForCausalLM.from_pretrained(tmp_path / "out", dtype=torch.float32)
    with torch.no_grad():
        torch.testing.assert_close(after(IDS).logits[..., :384], before(IDS).logits, rtol=0, atol=0)


def test_pieces_are_counted_as_the_chinese_llama_projects_did(llama, chinese):
    """Their script: append each piece whose text is not among the base's; 32,000 + new."""
    base, more = read_sentencepiece(llama / "tokenizer.model"), read_sentencepiece(chinese)
    texts = {piece.piece for piece in base.pieces}
    theirs = [piece.piece for piece in more.pieces if piece.piece not in texts]
    merged = merge_sentencepiece(base, more)
    assert merged.added == tuple(theirs)
    assert merged.given == 310
    assert merged.known == 310 - len(theirs) > 259
    assert len(base.pieces) + len(theirs) == 384 + 310 - merged.known


def test_pieces_are_merged_into_a_sentencepiece_base(llama, chinese, tmp_path, capsys):
    out = tmp_path / "out"
    assert expand(llama, "--sentencepiece", chinese, out, "--pad-to-multiple-of", 64) == 0
    assert "310 given" in capsys.readouterr().out
    before, after = load_tokenizer(str(llama)), load_tokenizer(str(out))
    assert after.encode(ENGLISH) == before.encode(ENGLISH)
    assert len(after.encode(CHINESE)) < len(before.encode(CHINESE)) / 2
    for text in (CHINESE, ENGLISH, "mixed 公园 text\n  🦜", " leading"):
        ids = after.encode(text, add_special_tokens=False)
        assert after.decode(ids) == before.decode(before.encode(text, add_special_tokens=False))
    # tokenizer.model, which others read, says the same
    pieces = SentencePieceProcessor(model_file=str(out / "tokenizer.model"))
    assert pieces.get_piece_size() == len(after)
    for text in (CHINESE, ENGLISH, "mixed 公园 text 上海的天气"):
        assert pieces.encode(text) == after.encode(text, add_special_tokens=False)
    assert AutoTokenizer.from_pretrained(out).encode(CHINESE) == after.encode(CHINESE)
    llm = load_model(str(out), dtype="fp32")
    assert llm.config.vocab_size % 64 == 0
    base = load_model(str(llama), dtype="fp32")
    with torch.no_grad():
        torch.testing.assert_close(llm(IDS).logits[..., :384], base(IDS).logits, rtol=0, atol=0)
    number = after.convert_tokens_to_ids("公园")
    spelled = before.backend_tokenizer.model.tokenize("公园")
    rows = base.get_input_embeddings().weight[[found.id for found in spelled]]
    torch.testing.assert_close(llm.get_input_embeddings().weight[number], rows.mean(0))
    # Once more: nothing is new
    assert expand(out, "--sentencepiece", chinese, tmp_path / "again") == 2
    assert "has all pieces" in capsys.readouterr().err


def test_a_base_without_sentencepiece_says_the_way_out(tmp_path, chinese, capsys):
    base = write_tiny_llama(tmp_path / "base")
    assert expand(base, "--sentencepiece", chinese, tmp_path / "out") == 1
    assert "--tokens" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "cannot be read"),
        ("", "is empty"),
        ("a\n \nb", ":2: an empty line"),
        ("<|im_end|>\n", "has all of these"),
    ],
)
def test_a_bad_file_of_tokens_is_misuse(tmp_path, content, message, capsys):
    base = write_tiny_llama(tmp_path / "base")
    if content is not None:
        (tmp_path / "words").write_text(content)
    assert expand(base, "--tokens", tmp_path / "words", tmp_path / "out") == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("content", [None, b"", b"no model, just text\n", b"\x0a\x03abc"])
def test_a_bad_sentencepiece_file_is_misuse(tmp_path, llama, content, capsys):
    if content is not None:
        (tmp_path / "x.model").write_bytes(content)
    assert expand(llama, "--sentencepiece", tmp_path / "x.model", tmp_path / "out") == 2
    message = "cannot be read" if content is None else "is no SentencePiece model"
    assert message in capsys.readouterr().err


def test_what_is_there_is_not_written_over(tmp_path, capsys):
    (tmp_path / "out").mkdir()
    assert expand("smollm2", "--tokens", tmp_path / "words", tmp_path / "out") == 2
    assert "exists already" in capsys.readouterr().err
    assert expand("no/such/base", "--tokens", __file__, tmp_path / "new") == 2  # an empty line
    (tmp_path / "words").write_text("new\n")
    assert expand(tmp_path / "none", "--tokens", tmp_path / "words", tmp_path / "new") == 2
    words = ["smollm2", "--tokens", tmp_path / "words", tmp_path / "new"]
    assert expand(*words, "--pad-to-multiple-of", 0) == 2


def test_a_family_of_ours_is_written_for_transformers(tmp_path, chinese):
    """InternLM 1 as published."""
    base = internlm.write(tmp_path / "internlm")
    assert expand(base, "--sentencepiece", chinese, tmp_path / "out", "--dtype", "fp32") == 0
    plain = AutoModelForCausalLM.from_pretrained(tmp_path / "out")
    assert plain.config.model_type == "llama"
    with torch.no_grad():
        expected = load_model(str(base), dtype="fp32")(IDS).logits
        torch.testing.assert_close(plain(IDS).logits[..., :384], expected)
    assert len(load_tokenizer(str(tmp_path / "out"))) == plain.config.vocab_size
