"""Layouts, names, packings and pre-tokenizers of GGUF, each by itself."""

from __future__ import annotations

import pytest
import torch

from xtune.export.gguf.architectures import Layout, why_not
from xtune.export.gguf.packing import packing_of
from xtune.export.gguf.pre_tokenizer import pre_tokenizer_name
from xtune.export.gguf.settings import write_rope
from xtune.export.gguf.tensors import fused_by_head, grouped_by_head, interleaved, split_experts
from xtune.export.gguf.vocabulary import vocabulary_of
from xtune.export.tiny import tiny_tokenizer
from xtune.models.gguf_splits import SPLITS, TAKES_WHOLE_WORDS
from xtune.models.loading import _PUBLISHED, load_config

IDS = sorted(file.stem.replace("--", "/") for file in _PUBLISHED.glob("*.json"))


def test_rotary_rows_of_each_head_take_turns():
    rows = torch.arange(16.0).reshape(8, 2)  # two heads of four rows
    assert interleaved(rows, 2)[:, 0].tolist() == [0, 4, 2, 6, 8, 12, 10, 14]


def test_gate_and_up_are_parted():
    both = torch.arange(2 * 4 * 1.0).reshape(2, 4, 1)
    parts = dict(split_experts(iter([("mlp.experts.gate_up_proj", both)])))
    assert parts["mlp.experts.gate_proj.weight"].flatten().tolist() == [0, 1, 4, 5]
    assert parts["mlp.experts.up_proj.weight"].flatten().tolist() == [2, 3, 6, 7]


def test_queries_keys_and_values_follow_each_other():
    rows = torch.arange(6.0)[:, None]
    ((_, bloom),) = fused_by_head(iter([("h.0.query_key_value.weight", rows)]), 2)
    assert bloom.flatten().tolist() == [0, 3, 1, 4, 2, 5]
    eight = torch.arange(8.0)[:, None]  # two groups of two queries, a key and a value
    ((_, falcon),) = grouped_by_head(iter([("h.0.query_key_value.weight", eight)]), 4, 2)
    assert falcon.flatten().tolist() == [0, 1, 4, 5, 2, 6, 3, 7]


@pytest.mark.parametrize(
    ("name", "shape", "quant", "kind"),
    [
        ("blk.0.attn_q.weight", (64, 64), "q4_0", "Q4_0"),
        ("blk.0.attn_q.weight", (64, 48), "q4_0", "F16"),  # no multiple of 32
        ("token_embd.weight", (384, 64), "q4_0", "Q8_0"),
        ("output.weight", (384, 64), "bf16", "BF16"),
        ("blk.0.attn_norm.weight", (64,), "q8_0", "F32"),
        ("blk.0.attn_q.bias", (64,), "q8_0", "F32"),
        ("blk.0.ffn_gate_inp.weight", (4, 64), "q8_0", "F32"),
        ("blk.0.ffn_gate_exps.weight", (4, 32, 64), "q5_0", "Q5_0"),
    ],
)
def test_packing(name, shape, quant, kind):
    assert packing_of(name, shape, quant).name == kind


@pytest.mark.parametrize(
    "name",
    sorted(
        {
            min((n for n in SPLITS if SPLITS[n] == s), key=list(SPLITS).index)
            for s in SPLITS.values()
        }
    ),
)
def test_each_pre_tokenizer_is_told_from_the_others(name):
    from tokenizers import Regex
    from tokenizers import pre_tokenizers as pre

    tokenizer = tiny_tokenizer()
    cuts = [pre.Split(Regex(split), behavior="isolated") for split in SPLITS[name]]
    last = pre.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.backend_tokenizer.pre_tokenizer = pre.Sequence([*cuts, last])
    tokenizer.backend_tokenizer.model.ignore_merges = name in TAKES_WHOLE_WORDS
    found = pre_tokenizer_name(tokenizer)
    text = "It's  12 o'clock,\n\n\n 中文 ABCdef\r\n x1.5/2\t\t!! 東京かな naïve  \n"
    mine = [pre.Split(Regex(split), behavior="isolated") for split in SPLITS[found]]
    assert pre.Sequence(mine).pre_tokenize_str(text) == pre.Sequence(cuts).pre_tokenize_str(text)
    assert (found in TAKES_WHOLE_WORDS) == (name in TAKES_WHOLE_WORDS)


def test_rows_without_a_token_are_padding_and_ends_are_named():
    tokenizer = tiny_tokenizer()
    end = tokenizer.convert_tokens_to_ids("<|im_end|>")
    words = vocabulary_of(tokenizer, 386, [2, end], end)
    assert words.tokens[384:] == ["[PAD384]", "[PAD385]"]
    assert words.types[384:] == [5, 5]
    assert words.types[end] == 3
    assert (words.model, words.pre, words.scores) == ("gpt2", "gpt-2", [])
    assert (words.fields["eos_token_id"], words.fields["eot_token_id"]) == (end, 2)
    assert words.fields["add_bos_token"] is False


@pytest.mark.parametrize("name", IDS)
def test_every_family_of_the_catalogue_is_written_or_says_why_not(name):
    assert why_not(load_config(name, offline=True)) == ""


def test_an_architecture_that_llama_cpp_has_not_is_refused():
    from transformers import AutoConfig

    assert "knows no architecture of llama.cpp" in why_not(AutoConfig.for_model("opt"))
    strange = AutoConfig.for_model("gemma2", query_pre_attn_scalar=99)
    assert "query_pre_attn_scalar is 99" in why_not(strange)


YARN = {
    "rope_type": "yarn",
    "rope_theta": 1e4,
    "factor": 4.0,
    "original_max_position_embeddings": 256,
}


@pytest.mark.parametrize(
    ("further", "factor"),
    [
        ({}, None),
        ({"attention_factor": 1.0}, 0.878249),  # 1 / (0.1 ln 4 + 1)
        ({"mscale": 1.0, "mscale_all_dim": 0.5}, 0.935178),  # 1 / (0.05 ln 4 + 1)
        ({"mscale": 1.0}, None),
    ],
)
def test_what_yarn_multiplies_by_is_written_where_it_is_not_llama_cpps_own(further, factor):
    from transformers import AutoConfig

    made = Layout("qwen2", {"context_length": 1024})
    write_rope(AutoConfig.for_model("qwen2", rope_parameters=YARN | further), made)
    assert made.fields["rope.scaling.factor"] == 4.0
    assert made.fields["rope.scaling.original_context_length"] == 256
    written = made.fields.get("rope.scaling.attn_factor")
    assert written == (None if factor is None else pytest.approx(factor, abs=1e-6))


def test_yarn_with_other_betas_is_refused():
    from transformers import AutoConfig

    for betas, why in (
        ({"beta_fast": 32.0, "beta_slow": 1.0}, ""),
        ({"beta_fast": 8.0}, "llama.cpp takes 32 and 1 for YaRN's beta_fast and beta_slow, and"),
    ):
        said = why_not(AutoConfig.for_model("qwen2", rope_parameters=YARN | betas))
        assert said.startswith(why)
        assert bool(said) == bool(why)


def test_pieces_get_scores_by_the_order_of_their_merges(tmp_path):
    from tokenizers import Tokenizer, decoders, models, normalizers
    from transformers import PreTrainedTokenizerFast

    vocab = {"<unk>": 0, "<0x0A>": 1, "\u2581": 2, "a": 3, "b": 4, "ab": 5, "\u2581ab": 6}
    backend = Tokenizer(
        models.BPE(vocab=vocab, merges=[("a", "b"), ("\u2581", "ab")], byte_fallback=True)
    )
    backend.normalizer = normalizers.Sequence(
        [normalizers.Prepend("\u2581"), normalizers.Replace(" ", "\u2581")]
    )
    backend.decoder = decoders.Fuse()
    wrapped = PreTrainedTokenizerFast(tokenizer_object=backend, unk_token="<unk>")
    words = vocabulary_of(wrapped, 7, [], None)
    assert (words.model, words.pre, words.merges) == ("llama", "default", [])
    assert words.scores == [-1e9, -1e9, 0.0, 0.0, 0.0, 0.0, -1.0]
    assert words.types == [2, 6, 1, 1, 1, 1, 1]
    assert words.fields["add_space_prefix"] is True
