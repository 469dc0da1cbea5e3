"""ChatGLM2/3 and GLM-4-9B (Zeng et al. 2024): grouped queries, half-rotary in pairs, fused MLP."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from torch import Tensor

from tests.models.families.case import Case
from tests.models.families.published import Draw, write_checkpoint
from tests.models.families.reference import (
    attend,
    below,
    heads_first,
    linear,
    rms_norm,
    rope_frequencies,
    rotate_interleaved,
    silu,
)
from tests.models.families.tokenizer_files import write_tiktoken
from tests.tiny import write_tiny_tokenizer

SPECIAL = ["<|endoftext|>", "[MASK]", "[gMASK]", "[sMASK]", "<sop>", "<eop>", "<|system|>"]
SPECIAL += ["<|user|>", "<|assistant|>", "<|observation|>"]
HEADS, GROUPS, WIDTH, INNER, VOCAB = 4, 2, 16, 96, 384

CHATGLM3 = {
    "architectures": ["ChatGLMModel"],
    "auto_map": {
        "AutoConfig": "configuration_chatglm.ChatGLMConfig",
        "AutoModelForCausalLM": "modeling_chatglm.ChatGLMForConditionalGeneration",
    },
    "add_bias_linear": False,
    "add_qkv_bias": True,
    "apply_query_key_layer_scaling": True,
    "apply_residual_connection_post_layernorm": False,
    "attention_dropout": 0.0,
    "attention_softmax_in_fp32": True,
    "bias_dropout_fusion": True,
    "ffn_hidden_size": INNER,
    "fp32_residual_connection": False,
    "hidden_dropout": 0.0,
    "hidden_size": 64,
    "kv_channels": WIDTH,
    "layernorm_epsilon": 1e-05,
    "model_type": "chatglm",
    "multi_query_attention": True,
    "multi_query_group_num": GROUPS,
    "num_attention_heads": HEADS,
    "num_layers": 2,
    "original_rope": True,
    "padded_vocab_size": VOCAB,
    "post_layer_norm": True,
    "rmsnorm": True,
    "seq_length": 8192,
    "use_cache": True,
    "torch_dtype": "float16",
    "tie_word_embeddings": False,
    "eos_token_id": 2,
    "pad_token_id": 0,
}
CHATGLM2 = {k: v for k, v in CHATGLM3.items() if k != "use_cache"} | {"seq_length": 32768}
GLM4 = CHATGLM3 | {
    "eos_token_id": [2, 5, 7],
    "pad_token_id": 2,
    "layernorm_epsilon": 1.5625e-07,
    "rope_ratio": 500,
    "seq_length": 131072,
    "torch_dtype": "bfloat16",
}


def write(folder: Path, config: dict, form: str) -> Path:
    draw = Draw()
    qkv = (HEADS + 2 * GROUPS) * WIDTH
    weights = {
        "transformer.embedding.word_embeddings.weight": draw.embedding(VOCAB, 64),
        "transformer.rotary_pos_emb.inv_freq": rope_frequencies(WIDTH // 2, 1e4).float(),
    }
    for layer in range(2):
        at = f"transformer.encoder.layers.{layer}."
        weights |= {
            f"{at}input_layernorm.weight": draw.norm(64),
            f"{at}self_attention.query_key_value.weight": draw.linear(qkv, 64),
            f"{at}self_attention.query_key_value.bias": draw.bias(qkv),
            f"{at}self_attention.dense.weight": draw.linear(64, HEADS * WIDTH),
            f"{at}post_attention_layernorm.weight": draw.norm(64),
            f"{at}mlp.dense_h_to_4h.weight": draw.linear(2 * INNER, 64),
            f"{at}mlp.dense_4h_to_h.weight": draw.linear(64, INNER),
        }
    weights["transformer.encoder.final_layernorm.weight"] = draw.norm(64)
    weights["transformer.output_layer.weight"] = draw.linear(VOCAB, 64)
    write_checkpoint(folder, config, weights, form=form)
    if config is not GLM4:
        return write_tiny_tokenizer(folder, vocab=VOCAB)
    settings = {"tokenizer_class": "ChatGLM4Tokenizer", "eos_token": "<|endoftext|>"}
    settings["auto_map"] = {"AutoTokenizer": ["tokenization_chatglm.ChatGLM4Tokenizer", None]}
    first = VOCAB - len(SPECIAL)
    settings["added_tokens_decoder"] = {
        str(first + index): {"content": token, "special": True}
        for index, token in enumerate(SPECIAL)
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(settings), encoding="utf-8")
    write_tiktoken(folder / "tokenizer.model", tokens=first)
    return folder


def rotated(x: Tensor, base: float) -> Tensor:
    """The first half of each head turns, in pairs (0, 1), (2, 3), …; the second does not."""
    half = WIDTH // 2
    turned = rotate_interleaved(
        x[..., :half], torch.arange(x.shape[1]), rope_frequencies(half, base)
    )
    return torch.cat([turned, x[..., half:]], dim=-1)


def reference(config: dict, weights: dict[str, Tensor], ids: Tensor) -> Tensor:
    eps, base = config["layernorm_epsilon"], 10000.0 * config.get("rope_ratio", 1)
    x = weights["transformer.embedding.word_embeddings.weight"][ids]
    for layer in range(2):
        w = below(weights, f"transformer.encoder.layers.{layer}.")
        normed = rms_norm(x, w["input_layernorm.weight"], eps)
        rows = linear(
            normed,
            w["self_attention.query_key_value.weight"],
            w["self_attention.query_key_value.bias"],
        )
        q = heads_first(rows[:, : HEADS * WIDTH], HEADS)
        k = heads_first(rows[:, HEADS * WIDTH : (HEADS + GROUPS) * WIDTH], GROUPS)
        v = heads_first(rows[:, (HEADS + GROUPS) * WIDTH :], GROUPS)
        mixed = attend(rotated(q, base), rotated(k, base), v)
        x = x + linear(mixed, w["self_attention.dense.weight"])
        normed = rms_norm(x, w["post_attention_layernorm.weight"], eps)
        both = linear(normed, w["mlp.dense_h_to_4h.weight"])
        x = x + linear(silu(both[:, :INNER]) * both[:, INNER:], w["mlp.dense_4h_to_h.weight"])
    x = rms_norm(x, weights["transformer.encoder.final_layernorm.weight"], eps)
    return linear(x, weights["transformer.output_layer.weight"])


def case(name: str, config: dict, leaf: str, form: str) -> Case:
    return Case(
        name=name,
        family="ChatGLM",
        write=lambda folder: write(folder, config, form),
        reference=reference,
        vocab=VOCAB,
        leaf=leaf,
        linears=("q_proj", "k_proj", "v_proj", "o_proj", "gate_up_proj", "down_proj"),
        expects={"model_type": "glm", "num_key_value_heads": GROUPS},
        tolerance=1e-4,
    )


CASES = (
    case("chatglm2", CHATGLM2, "chatglm2_6b_qlora_alpaca", "bin"),
    case("chatglm3", CHATGLM3, "chatglm3_6b_qlora_alpaca", "safetensors"),
    case("glm4", GLM4, "glm4_9b_qlora_alpaca", "safetensors"),
)
