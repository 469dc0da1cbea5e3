"""Fast tokenizers from a published SentencePiece model, with the ids that SentencePiece gives.

    tokenizer.model         pieces, scores, how text is normalised
    tokenizer_config.json   special tokens and their ids, what is put in front, the chat template
    added_tokens.json       tokens behind the pieces

SentencePiece's BPE merges the neighbours whose union scores best; `tokenizers` merges pairs in a
fixed order, so the pairs are listed by the score of their union. Pieces that are no plain text
(control, bytes, user-defined) take no part in merges.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xtune.errors import ModelError
from xtune.models.families.files import CheckpointFiles
from xtune.models.sentencepiece_merge import read_sentencepiece

if TYPE_CHECKING:
    from tokenizers import Tokenizer
    from transformers import PreTrainedTokenizerBase

__all__ = [
    "chatglm_tokenizer",
    "fast_from_pieces",
    "fast_from_sentencepiece",
    "sentencepiece_tokenizer",
]

_NORMAL, _UNKNOWN, _CONTROL, _USER_DEFINED = 1, 2, 3, 4  # sentencepiece_model.proto
_UNIGRAM, _BPE = 1, 2
_SPACE = "\u2581"
_NAMED = ("bos_token", "eos_token", "unk_token", "pad_token")
# The original calls two of them 'sop' and 'eop', which it never looks for in a text. Here a text is
# searched for all of them, and 'eop' stands in 'people': they have GLM-4's names instead.
_CHATGLM_SPECIAL = ["[MASK]", "[gMASK]", "[sMASK]", "<sop>", "<eop>"]
_CHATGLM_SPECIAL += ["<|system|>", "<|user|>", "<|assistant|>", "<|observation|>"]


def fast_from_sentencepiece(file: Path, special: Mapping[str, int]) -> Tokenizer:
    """Make a tokenizer with SentencePiece's ids.

    Args:
        file: a `tokenizer.model`, BPE or unigram.
        special: token -> id of what is found anywhere in a text as it stands, besides the pieces'
            own control and user-defined ones. An id within the pieces renames that piece.

    Raises:
        UsageError: the file is no SentencePiece model.
        ModelError: a kind of model that is not supported.
    """
    proto = read_sentencepiece(file)
    kind = proto.trainer_spec.model_type
    if kind not in (_BPE, _UNIGRAM) or proto.trainer_spec.treat_whitespace_as_suffix:
        raise ModelError(f"{file} is neither a BPE nor a unigram model with leading spaces")
    return fast_from_pieces(proto, special, str(file))


def fast_from_pieces(
    proto: Any, special: Mapping[str, int], name: str = "the tokenizer"
) -> Tokenizer:
    """Make a tokenizer with SentencePiece's ids from a ModelProto, BPE or unigram.

    Args:
        proto: the model.
        special: as for `fast_from_sentencepiece`.
        name: where it comes from, for messages.

    Raises:
        ModelError: tokens behind the pieces of a unigram model leave gaps.
    """
    from tokenizers import AddedToken, Tokenizer, decoders, models

    kind = proto.trainer_spec.model_type
    names = {number: token for token, number in special.items()}
    pieces = [names.get(i, piece.piece) for i, piece in enumerate(proto.pieces)]
    fallback = proto.trainer_spec.byte_fallback
    unknown = next((p.piece for p in proto.pieces if p.type == _UNKNOWN), None)
    if kind == _BPE:
        vocabulary = {piece: number for number, piece in enumerate(pieces)} | dict(special)
        model: Any = models.BPE(
            vocab=vocabulary,
            merges=_merges(proto),
            unk_token=unknown,
            fuse_unk=True,
            byte_fallback=fallback,
        )
    else:
        behind = sorted((n, token) for token, n in special.items() if n >= len(pieces))
        if [number for number, _ in behind] != list(range(len(pieces), len(pieces) + len(behind))):
            raise ModelError(f"the tokens behind the pieces of {name} leave gaps: {behind}")
        scored = [(piece, p.score) for piece, p in zip(pieces, proto.pieces, strict=True)]
        scored += [(token, 0.0) for _, token in behind]
        model = models.Unigram(scored, unk_id=proto.trainer_spec.unk_id, byte_fallback=fallback)
    tokenizer = Tokenizer(model)
    spec = proto.normalizer_spec
    tokenizer.normalizer = _normalizer(spec)
    steps = [decoders.Replace(_SPACE, " "), decoders.ByteFallback(), decoders.Fuse()]
    if spec.add_dummy_prefix:
        steps.append(decoders.Strip(content=" ", left=1))
    tokenizer.decoder = decoders.Sequence(steps)
    user_defined = [p.piece for p in proto.pieces if p.type == _USER_DEFINED]
    control = [p.piece for p in proto.pieces if p.type in (_CONTROL, _UNKNOWN)]
    # SentencePiece finds the longest user-defined symbol first, wherever it stands.
    tokenizer.add_tokens([AddedToken(t, normalized=False) for t in user_defined])
    found = dict.fromkeys([*control, *sorted(special, key=lambda token: special[token])])
    tokenizer.add_special_tokens([AddedToken(t, normalized=False, special=True) for t in found])
    return tokenizer


def _merges(proto: Any) -> list[tuple[str, str]]:
    """Every pair of plain pieces whose union is a piece, the best union first."""
    plain = {p.piece: (-p.score, i) for i, p in enumerate(proto.pieces) if p.type == _NORMAL}
    pairs = []
    for piece, rank in plain.items():
        for cut in range(1, len(piece)):
            left, right = piece[:cut], piece[cut:]
            if left in plain and right in plain:
                pairs.append((rank, plain[left], plain[right], left, right))
    return [(left, right) for *_, left, right in sorted(pairs)]


def _normalizer(spec: Any) -> Any:
    from tokenizers import Regex, normalizers

    steps: list[Any] = []
    if spec.precompiled_charsmap:
        steps.append(normalizers.Precompiled(spec.precompiled_charsmap))
    if spec.remove_extra_whitespaces:
        steps += [normalizers.Strip(), normalizers.Replace(Regex(" {2,}"), " ")]
    if spec.add_dummy_prefix:
        # Also after a special token: the originals encode each piece of a dialogue by itself.
        steps.append(normalizers.Prepend(_SPACE))
    return normalizers.Sequence([*steps, normalizers.Replace(" ", _SPACE)])


def sentencepiece_tokenizer(
    files: CheckpointFiles, *, adds_bos: bool
) -> PreTrainedTokenizerBase | None:
    """Make the tokenizer of InternLM, InternLM2 or Baichuan; None without tokenizer.model.

    Special tokens that are written in a text become their ids, as in the original wrappers.

    Args:
        files: of the checkpoint.
        adds_bos: whether <s> is put in front where tokenizer_config.json does not say.
    """
    file = files.path("tokenizer.model")
    if file is None:
        return None
    settings = files.json("tokenizer_config.json")
    named = _named(settings | files.json("special_tokens_map.json"))
    if not named:  # people copy tokenizer.model alone; its own control pieces are these then
        named = _of_pieces(file)
    special = {
        entry["content"]: int(number)
        for number, entry in (settings.get("added_tokens_decoder") or {}).items()
    }
    special |= {token: int(number) for token, number in files.json("added_tokens.json").items()}
    fast = fast_from_sentencepiece(file, special)
    wanted = {
        "bos_token": settings.get("add_bos_token", adds_bos),
        "eos_token": settings.get("add_eos_token", False),
    }
    for role, is_wanted in wanted.items():
        if is_wanted and role not in named:
            raise ModelError(
                f"{file} has no piece for the {role}, and no tokenizer_config.json next to it "
                "names one; copy that file from the checkpoint too"
            )
    front = [named["bos_token"]] if wanted["bos_token"] else []
    behind = [named["eos_token"]] if wanted["eos_token"] else []
    return _wrapped(fast, files, settings, named, front, behind)


def chatglm_tokenizer(files: CheckpointFiles) -> PreTrainedTokenizerBase | None:
    """Make the tokenizer of ChatGLM2 or ChatGLM3; None without tokenizer.model.

    Its special tokens follow the pieces; the default call puts [gMASK] <sop> in front. The original
    reads '<|user|>' in a text as plain characters and composes dialogues from ids; here dialogues
    are text, so that it becomes the special id. ChatGLM2 has the first five special tokens only;
    the other four have rows of its padded embedding.
    """
    file = files.path("tokenizer.model")
    if file is None:
        return None
    settings = files.json("tokenizer_config.json")
    pieces = len(read_sentencepiece(file).pieces)
    special = {token: pieces + index for index, token in enumerate(_CHATGLM_SPECIAL)}
    named = {"eos_token": "</s>", "pad_token": "<unk>", "unk_token": "<unk>"} | _named(settings)
    named = {name: token for name, token in named.items() if token != "<pad>"}
    fast = fast_from_sentencepiece(file, special)
    wrapped = _wrapped(fast, files, settings, named, ["[gMASK]", "<sop>"], [])
    if isinstance(wrapped.chat_template, str):
        wrapped.chat_template = wrapped.chat_template.replace("[gMASK]sop", "[gMASK]<sop>")
    return wrapped


def _of_pieces(file: Path) -> dict[str, str]:
    """The control pieces that a SentencePiece model was trained with, as named tokens."""
    proto = read_sentencepiece(file)
    spec, pieces = proto.trainer_spec, proto.pieces
    ids = {"bos_token": spec.bos_id, "eos_token": spec.eos_id, "unk_token": spec.unk_id}
    ids["pad_token"] = spec.pad_id
    return {
        role: pieces[number].piece
        for role, number in ids.items()
        if 0 <= number < len(pieces) and pieces[number].type in (_CONTROL, _UNKNOWN)
    }


def _named(settings: Mapping[str, Any]) -> dict[str, str]:
    """bos, eos, unk and pad: written as strings, or as dicts with their content."""
    tokens = {name: settings.get(name) for name in _NAMED}
    plain = {n: t["content"] if isinstance(t, dict) else t for n, t in tokens.items()}
    return {name: token for name, token in plain.items() if token}


def _wrapped(
    fast: Tokenizer,
    files: CheckpointFiles,
    settings: Mapping[str, Any],
    named: Mapping[str, str],
    front: Sequence[str],
    behind: Sequence[str],
) -> PreTrainedTokenizerBase:
    from tokenizers import processors
    from transformers import PreTrainedTokenizerFast

    if front or behind:
        fast.post_processor = processors.TemplateProcessing(
            single=[*front, "$A", *behind],
            pair=[*front, "$A", *behind, "$B", *behind],
            special_tokens=[(token, fast.token_to_id(token)) for token in {*front, *behind}],
        )
    wrapped = PreTrainedTokenizerFast(
        tokenizer_object=fast,
        clean_up_tokenization_spaces=False,
        model_max_length=settings.get("model_max_length") or int(1e30),
        **named,
    )
    template = files.path("chat_template.jinja")
    wrapped.chat_template = (
        template.read_text(encoding="utf-8") if template else settings.get("chat_template")
    )
    return wrapped
