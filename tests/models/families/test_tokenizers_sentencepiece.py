"""Tokenizers from SentencePiece models against the sentencepiece package itself."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import sentencepiece
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import AutoTokenizer

from tests.models.families.tokenizer_files import CORPUS, write_sentencepiece
from xtune.data.templates import build_template
from xtune.data.tokenize import Encoder
from xtune.errors import ModelError
from xtune.models import load_tokenizer
from xtune.models.families.files import CheckpointFiles
from xtune.models.families.sentencepiece_tokenizer import (
    chatglm_tokenizer,
    fast_from_sentencepiece,
    sentencepiece_tokenizer,
)

SHARED = Path(__file__).parents[4] / "shared/data"
REAL = SHARED / "internlm_v1_tokenizer.model"

TEXTS = [
    "",
    " ",
    "   leading and trailing   ",
    "a\nb\n\n\nc\r\n\td",
    "12345 3.14 v2",
    "上海有哪些值得一去的地方？",
    "🙂👩‍👩‍👧 emoji, and 龘靐 that no corpus has",
    "Cafe\u0301 is caf\u00e9",
    "<eoh> and<eoa>",
    "\x01 control",
    *CORPUS.splitlines(),
]
KINDS = {
    "bpe": {"user_defined_symbols": ["<eoh>", "<eoa>"]},
    "bpe with a dummy prefix": {"add_dummy_prefix": True},
    "bpe without byte fallback": {"byte_fallback": False},
    "unigram": {"model_type": "unigram"},
    "unigram with a dummy prefix": {"model_type": "unigram", "add_dummy_prefix": True},
}


@pytest.fixture(params=KINDS, ids=str, scope="module")
def pair(request, tmp_path_factory):
    """Our tokenizer and SentencePiece's, of one file."""
    folder = tmp_path_factory.mktemp("sp")
    file = write_sentencepiece(folder, vocab=360, **KINDS[request.param]) / "tokenizer.model"
    return fast_from_sentencepiece(file, {}), sentencepiece.SentencePieceProcessor(str(file))


@pytest.mark.parametrize("text", TEXTS)
def test_the_ids_are_sentencepieces(pair, text):
    ours, theirs = pair
    assert ours.encode(text, add_special_tokens=False).ids == theirs.encode(text)


# Hypothesis writes '<s>' too, which is the token in ours and three characters in theirs
APART = ("\0", "\u2581", "<s>", "</s>", "<unk>")


@given(text=st.text(max_size=30).filter(lambda text: not any(part in text for part in APART)))
@settings(max_examples=150, deadline=None)
def test_also_of_any_text(pair, text):
    ours, theirs = pair
    assert ours.encode(text, add_special_tokens=False).ids == theirs.encode(text)


def internlm(folder):
    """A folder as InternLM is published, with a small vocabulary."""
    write_sentencepiece(folder, vocab=360, user_defined_symbols=["<eoh>", "<eoa>"])
    named = {"bos_token": "<s>", "eos_token": "</s>", "pad_token": "</s>", "unk_token": "<unk>"}
    (folder / "tokenizer_config.json").write_text(json.dumps(named))
    return folder


def test_internlm_puts_bos_in_front_and_reads_special_tokens_in_a_text(tmp_path):
    tokenizer = sentencepiece_tokenizer(CheckpointFiles(str(internlm(tmp_path))), adds_bos=True)
    ids = tokenizer("Give<eoh>\n</s>")["input_ids"]
    assert ids[0] == tokenizer.bos_token_id == 1
    assert ids[-1] == tokenizer.eos_token_id == 2
    assert tokenizer.convert_tokens_to_ids("<eoh>") in ids
    assert tokenizer("Give", add_special_tokens=False)["input_ids"][0] != 1
    assert tokenizer.decode(ids, skip_special_tokens=True) == "Give<eoh>\n"


@pytest.mark.parametrize(
    ("kind", "front"), [("internlm", [1]), ("internlm2", [1]), ("baichuan", []), ("llama", [])]
)
def test_pieces_alone_bring_their_own_control_tokens(tmp_path, kind, front):
    folder = write_sentencepiece(tmp_path, vocab=360)
    (folder / "config.json").write_text(json.dumps({"model_type": kind, "vocab_size": 360}))
    tokenizer = load_tokenizer(str(folder))
    named = (tokenizer.bos_token, tokenizer.eos_token, tokenizer.unk_token, tokenizer.pad_token)
    assert named == ("<s>", "</s>", "<unk>", "</s>")
    ids = sentencepiece.SentencePieceProcessor(str(folder / "tokenizer.model")).encode("Give me")
    assert tokenizer("Give me")["input_ids"] == front + ids


def test_pieces_without_control_tokens_name_the_missing_file(tmp_path):
    folder = write_sentencepiece(tmp_path, vocab=360, bos_id=-1)
    (folder / "config.json").write_text(json.dumps({"model_type": "internlm"}))
    with pytest.raises(ModelError, match=r"no piece for the bos_token.*tokenizer_config\.json"):
        load_tokenizer(str(folder))


def test_a_saved_tokenizer_of_a_family_is_read_without_alarm(tmp_path, capfd):
    """transformers read config.json too, and warned of a model type that it does not know."""
    published, saved = tmp_path / "published", tmp_path / "saved"
    for folder in (published, saved):
        folder.mkdir()
        (folder / "config.json").write_text(json.dumps({"model_type": "internlm"}))
    theirs = load_tokenizer(str(internlm(published)))
    theirs.save_pretrained(saved)
    assert not (saved / "tokenizer.model").exists()
    ours = load_tokenizer(str(saved))
    assert ours("Give<eoh>").input_ids == theirs("Give<eoh>").input_ids
    assert "instantiate" not in "".join(capfd.readouterr())


def test_baichuan_puts_nothing_in_front(tmp_path):
    tokenizer = sentencepiece_tokenizer(CheckpointFiles(str(internlm(tmp_path))), adds_bos=False)
    assert 1 not in tokenizer("Give")["input_ids"]


def test_internlm2_names_pieces_anew(tmp_path):
    folder = internlm(tmp_path)
    settings = json.loads((folder / "tokenizer_config.json").read_text())
    settings["added_tokens_decoder"] = {"359": {"content": "<|im_start|>", "special": True}}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    (folder / "added_tokens.json").write_text('{"<behind>": 360}')
    tokenizer = sentencepiece_tokenizer(CheckpointFiles(str(folder)), adds_bos=True)
    assert tokenizer("<|im_start|><behind>")["input_ids"] == [1, 359, 360]
    assert len(tokenizer) == 361


def test_chatglm_puts_its_two_tokens_in_front(tmp_path):
    write_sentencepiece(tmp_path, vocab=360, add_dummy_prefix=True)
    (tmp_path / "tokenizer_config.json").write_text("{}")
    (tmp_path / "config.json").write_text('{"seq_length": 8192}')
    tokenizer = chatglm_tokenizer(CheckpointFiles(str(tmp_path)))
    theirs = sentencepiece.SentencePieceProcessor(str(tmp_path / "tokenizer.model"))
    ids = tokenizer("Give three tips, 上海")["input_ids"]
    assert ids == [361, 363, *theirs.encode("Give three tips, 上海")]
    assert tokenizer.convert_tokens_to_ids("<|observation|>") == 368


def test_chatglm_finds_no_special_token_within_a_word(tmp_path):
    """The original calls two special tokens 'sop' and 'eop'."""
    write_sentencepiece(tmp_path, vocab=360, add_dummy_prefix=True)
    published = "[gMASK]sop{% for m in messages %}<|{{ m.role }}|>\n {{ m.content }}{% endfor %}"
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({"chat_template": published}))
    tokenizer = chatglm_tokenizer(CheckpointFiles(str(tmp_path)))
    theirs = sentencepiece.SentencePieceProcessor(str(tmp_path / "tokenizer.model"))
    for text in ("people of philosophy", "sop eop", "a sop, a people"):
        assert tokenizer.encode(text, add_special_tokens=False) == theirs.encode(text)
    rendered = tokenizer.apply_chat_template(
        [{"role": "user", "content": "people"}], return_dict=False
    )
    assert rendered[:3] == [361, 363, 366]  # [gMASK], sop, <|user|>
    assert not {363, 364} & set(rendered[3:])


@pytest.mark.parametrize("kind", ["internlm", "chatglm"])
def test_saved_and_read_by_transformers_alone(kind, tmp_path):
    folder = internlm(tmp_path / "published")
    files = CheckpointFiles(str(folder))
    tokenizer = (
        sentencepiece_tokenizer(files, adds_bos=True)
        if kind == "internlm"
        else chatglm_tokenizer(files)
    )
    tokenizer.save_pretrained(tmp_path / "saved")
    again = AutoTokenizer.from_pretrained(tmp_path / "saved")
    for text in TEXTS:
        ids = tokenizer(text)["input_ids"]
        assert again(text)["input_ids"] == ids
        assert again.decode(ids) == tokenizer.decode(ids)


def test_without_the_file_there_is_nothing_to_make(tmp_path):
    assert sentencepiece_tokenizer(CheckpointFiles(str(tmp_path)), adds_bos=True) is None
    assert chatglm_tokenizer(CheckpointFiles(str(tmp_path))) is None


# The real vocabulary of InternLM 1


@pytest.fixture(scope="module")
def real(tmp_path_factory):
    if not REAL.is_file():
        pytest.skip(f"no {REAL.name} next to the repository")
    folder = tmp_path_factory.mktemp("internlm")
    (folder / "tokenizer.model").write_bytes(REAL.read_bytes())
    named = {"bos_token": "<s>", "eos_token": "</s>", "pad_token": "</s>", "unk_token": "<unk>"}
    (folder / "tokenizer_config.json").write_text(json.dumps(named))
    return sentencepiece_tokenizer(CheckpointFiles(str(folder)), adds_bos=True)


def test_the_real_vocabulary_on_real_rows(real):
    theirs = sentencepiece.SentencePieceProcessor(str(REAL))
    rows = (SHARED / "gsm8k_train.jsonl").read_text(encoding="utf-8").splitlines()[:300]
    texts = [text for row in rows for text in json.loads(row).values()] + TEXTS
    for text in texts:
        assert real(text, add_special_tokens=False)["input_ids"] == theirs.encode(text)
        assert real.decode(theirs.encode(text)) == text


def test_a_dialogue_whole_is_a_dialogue_span_by_span(real):
    template = build_template("internlm_chat", real)
    assert real.convert_tokens_to_ids(["<eoh>", "<eoa>"]) == [103027, 103028]
    dialogue = [
        {"role": "user", "content": "上海有哪些地方？"},
        {"role": "assistant", "content": "  外滩\n\n豫园 "},
    ] * 2
    spans = template.spans({"messages": dialogue})
    (whole,) = Encoder(real)([spans])
    apart = Encoder(real)._apart(spans)
    assert whole.input_ids.tolist() == apart.input_ids.tolist()
    assert whole.labels.tolist() == apart.labels.tolist()
    assert (whole.labels == 103028).sum() == 2  # <eoa> is trained, once an answer
