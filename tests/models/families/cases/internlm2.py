"""InternLM 2: Llama with grouped queries; wqkv is grouped by key head (InternLM2 report, 2024)."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from torch import Tensor

from tests.models.families.case import Case
from tests.models.families.llama_like import LINEARS, decoder, random_weights
from tests.models.families.published import write_checkpoint
from tests.models.families.reference import rope_frequencies
from tests.models.families.tokenizer_files import write_sentencepiece

CONFIG = {
    "architectures": ["InternLM2ForCausalLM"],
    "attn_implementation": "eager",
    "auto_map": {
        "AutoConfig": "configuration_internlm2.InternLM2Config",
        "AutoModelForCausalLM": "modeling_internlm2.InternLM2ForCausalLM",
        "AutoModel": "modeling_internlm2.InternLM2ForCausalLM",
    },
    "bias": False,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "pad_token_id": 2,
    "hidden_act": "silu",
    "hidden_size": 64,
    "initializer_range": 0.02,
    "intermediate_size": 128,
    "max_position_embeddings": 32768,
    "model_type": "internlm2",
    "num_attention_heads": 4,
    "num_hidden_layers": 2,
    "num_key_value_heads": 2,
    "rms_norm_eps": 1e-05,
    "rope_scaling": None,
    "rope_theta": 1000000,
    "tie_word_embeddings": False,
    "torch_dtype": "bfloat16",
    "use_cache": True,
    "vocab_size": 384,
}
BIASED = CONFIG | {"bias": True}
# As InternLM2.5, which scales beyond 32,768; 48 here, so that the tests reach it
DYNAMIC = CONFIG | {
    "max_position_embeddings": 48,
    "rope_scaling": {"type": "dynamic", "factor": 2.0},
}
SPECIAL = ["<|plugin|>", "<|interpreter|>", "<|action_end|>", "<|action_start|>"]
SPECIAL += ["<|im_end|>", "<|im_start|>"]
TOKENIZER = {
    "added_tokens_decoder": {
        str(384 - len(SPECIAL) + index): {
            "content": token,
            "lstrip": False,
            "normalized": False,
            "rstrip": False,
            "single_word": False,
            "special": True,
        }
        for index, token in enumerate(SPECIAL)
    },
    "additional_special_tokens": SPECIAL[::-1],
    "auto_map": {"AutoTokenizer": ["tokenization_internlm2.InternLM2Tokenizer", None]},
    "bos_token": "<s>",
    "clean_up_tokenization_spaces": False,
    "eos_token": "</s>",
    "model_max_length": 1000000000000000019884624838656,
    "pad_token": "</s>",
    "tokenizer_class": "InternLM2Tokenizer",
    "unk_token": "<unk>",
}
NAMES = {
    "model.embed_tokens.": "model.tok_embeddings.",
    "lm_head.": "output.",
    "input_layernorm": "attention_norm",
    "post_attention_layernorm": "ffn_norm",
    "mlp.gate_proj": "feed_forward.w1",
    "mlp.up_proj": "feed_forward.w3",
    "mlp.down_proj": "feed_forward.w2",
    "self_attn.o_proj": "attention.wo",
}
GROUPS, WIDTH = 2, 16


def fused(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """For each key head: its two query heads, then 1 key, then 1 value."""
    rows = []
    for group in range(GROUPS):
        rows.append(q[2 * group * WIDTH : 2 * (group + 1) * WIDTH])
        rows.append(k[group * WIDTH : (group + 1) * WIDTH])
        rows.append(v[group * WIDTH : (group + 1) * WIDTH])
    return torch.cat(rows)


def apart(rows: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Undo `fused`."""
    heads = rows.split(WIDTH)  # q0 q1 k0 v0 q2 q3 k1 v1
    q, k, v = (0, 1, 4, 5), (2, 6), (3, 7)
    return tuple(torch.cat([heads[index] for index in part]) for part in (q, k, v))


def renamed(name: str, names: dict[str, str]) -> str:
    for ours, theirs in names.items():
        name = name.replace(ours, theirs)
    return name


def write(folder: Path, config: dict) -> Path:
    weights = random_weights(kv_heads=GROUPS, biased="qkvo" if config["bias"] else "")
    published = {renamed(n, NAMES): w for n, w in weights.items() if "_proj." not in n}
    published |= {
        renamed(n, NAMES): w
        for n, w in weights.items()
        if "_proj." in n and not any(f"{part}_proj" in n for part in ("q", "k", "v"))
    }
    for layer in range(2):
        for kind in ("weight", "bias") if config["bias"] else ("weight",):
            at = f"model.layers.{layer}.self_attn"
            parts = [weights[f"{at}.{name}_proj.{kind}"] for name in "qkv"]
            published[f"model.layers.{layer}.attention.wqkv.{kind}"] = fused(*parts)
    write_checkpoint(folder, config, published, shards=3)
    (folder / "tokenizer_config.json").write_text(json.dumps(TOKENIZER), encoding="utf-8")
    return write_sentencepiece(folder, vocab=384 - len(SPECIAL))


def reference(config: dict, weights: dict[str, Tensor], ids: Tensor) -> Tensor:
    back = {theirs: ours for ours, theirs in NAMES.items()}
    llama = {renamed(name, back): w for name, w in weights.items() if "wqkv" not in name}
    for name, rows in weights.items():
        if "wqkv" in name:
            for part, piece in zip("qkv", apart(rows), strict=True):
                llama[name.replace("attention.wqkv", f"self_attn.{part}_proj")] = piece
    base, length = float(config["rope_theta"]), len(ids)
    scaling, trained = config["rope_scaling"], config["max_position_embeddings"]
    if scaling and length > trained:
        grown = scaling["factor"] * length / trained - (scaling["factor"] - 1)
        base = base * grown ** (WIDTH / (WIDTH - 2))
    return decoder(
        llama,
        ids,
        layers=2,
        heads=4,
        kv_heads=GROUPS,
        eps=1e-5,
        frequencies=rope_frequencies(WIDTH, base),
    )


def case(name: str, config: dict, leaf: str) -> Case:
    return Case(
        name=name,
        family="InternLM2",
        write=lambda folder: write(folder, config),
        reference=reference,
        vocab=384,
        leaf=leaf,
        linears=LINEARS,
        expects={"model_type": "llama", "num_key_value_heads": 2},
        longest=60 if config["rope_scaling"] else 30,
    )


CASES = (
    case("internlm2", CONFIG, "internlm2_7b_qlora_alpaca"),
    case("internlm2-biased", BIASED, "internlm2_7b_qlora_alpaca"),
    case("internlm2_5-dynamic", DYNAMIC, "internlm2_5_7b_qlora_alpaca"),
)
