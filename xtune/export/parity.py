"""What a model computes, seen so closely that a merge which changes anything else shows.

    logits      of tokens from all over the vocabulary, through the whole model
    embedding   of every token: its row, on four random directions
    head        of every token: its logit for four random inputs; of a reward model its one number
    layers      every linear one: its output for four random inputs

The first alone would miss a change of a few rows among 100,000; the others have none of the noise
that 16 bits gather over many layers.

Shapes: T tokens, V vocabulary, D width.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from xtune.models import base_of
from xtune.models.head import score_head
from xtune.models.sequence_classifier import is_classifier

__all__ = ["Answers", "answers_of", "logits_of", "parity_problem", "relative_difference"]

_TOKENS = 24
_DIRECTIONS = 4
_WRAPPED = ("base_layer", "original_module", "token_adapter")  # what PEFT's modules hold
_CHUNK = 8192  # rows of the embedding at once

# How far results may be apart. In 16 bits a whole model's is the median over tokens: a few differ
# by far more than rounding alone explains, as massive activations cancel in them.
_WHOLE = {torch.float32: 1e-4, torch.float16: 5e-2, torch.bfloat16: 1e-1}
_LAYER = {torch.float32: 1e-4, torch.float16: 1e-2, torch.bfloat16: 3e-2}


@dataclass(frozen=True, slots=True)
class Answers:
    """What a model gave.

    Attributes:
        logits: [T, V].
        layers: a layer's dotted name in the base -> its outputs, fp32.
    """

    logits: Tensor
    layers: dict[str, Tensor]


@torch.no_grad()
def answers_of(llm: Any, layers: list[str] | None = None) -> Answers:
    """Compute the answers of a model, with an adapter or without.

    Args:
        llm: a PeftModel or a transformers model, in evaluation mode.
        layers: by their names; None: all linear layers, the embedding, the head.
    """
    base = base_of(llm)
    ends = [base.get_input_embeddings(), base.get_output_embeddings() or score_head(base)]
    if layers is None:
        layers, wrapper = [], None
        for path, module in base.named_modules():
            if wrapper and path.startswith(f"{wrapper}."):  # PEFT's own, gone when it is merged
                continue
            if any(hasattr(module, name) for name in _WRAPPED):
                wrapper = path
            if any(module is end for end in ends) or _is_linear(module):
                layers.append(path)
    outputs = {}
    for path in layers:
        module = base.get_submodule(path)
        outputs[path] = _rows(module) if module is ends[0] else _outputs(module)
    return Answers(logits_of(base), outputs)


@torch.no_grad()
def logits_of(llm: Any) -> Tensor:
    """Return the logits [T, V] of tokens from all over the vocabulary; or their scores [T, 1]."""
    last = llm.config.get_text_config().vocab_size - 1
    probe = torch.linspace(0, last, _TOKENS, dtype=torch.long)[None]
    base: Any = base_of(llm)
    if is_classifier(base):
        hidden = base.base_model(probe, use_cache=False).last_hidden_state
        return base.score(hidden)[0].to(hidden.dtype)  # which is how exact they are
    return llm(input_ids=probe, use_cache=False).logits[0]


def parity_problem(before: Answers, after: Answers) -> str:
    """Say where two models differ by more than rounding; '' if they do not.

    Args:
        before: of base and unmerged adapter.
        after: of the merged model.
    """
    dtype = before.logits.dtype
    worst = {
        path: relative_difference(before.layers[path], output)
        for path, output in after.layers.items()
    }
    path = max(worst, key=lambda name: worst[name])
    if not worst[path] <= _LAYER[dtype]:
        return f"{path} differs by {worst[path]:.1e} of its largest output"
    one, other = before.logits.float(), after.logits.float()
    if dtype == torch.float32:
        difference = relative_difference(one, other)
    else:
        sizes = one.norm(dim=-1).clamp(min=1e-6)
        difference = float(((one - other).norm(dim=-1) / sizes).median())
    return "" if difference <= _WHOLE[dtype] else f"the logits differ by {difference:.1e}"


def relative_difference(before: Tensor, after: Tensor) -> float:
    """Return the largest difference, relative to the largest number of `before`.

    Args:
        before: of any shape.
        after: of the same shape.
    """
    size = before.float().abs().max().clamp(min=1e-6)
    return float((before.float() - after.float()).abs().max() / size)


def _is_linear(module: nn.Module) -> bool:
    inner = getattr(module, "base_layer", module)
    return isinstance(inner, nn.Linear) and isinstance(getattr(inner, "weight", None), Tensor)


def _rows(embedding: Any) -> Tensor:
    """Every row on some random directions: [V, 4]."""
    count = embedding.weight.shape[0]
    found = []
    for start in range(0, count, _CHUNK):
        rows = embedding(torch.arange(start, min(start + _CHUNK, count))).float()
        found.append(rows @ _directions(rows.shape[-1]).T)
    return torch.cat(found)


def _outputs(linear: Any) -> Tensor:
    """The outputs for some random inputs: [4, outputs]."""
    weight = getattr(linear, "base_layer", linear).weight  # PEFT's own gives GPTQ's codes
    return linear(_directions(weight.shape[1]).to(weight.dtype)).float()


def _directions(width: int) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(_DIRECTIONS, width, generator=generator)
