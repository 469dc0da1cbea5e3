"""Log-probabilities of given tokens under `hidden @ weight.T`, never holding [tokens, vocabulary].

Shapes: N positions, D width, V vocabulary, C positions of one chunk.

What a loss makes of them (a preference, a ratio, a mean) is known only after the last one, so that
no gradient can be made in the forward pass as cross-entropy's is. But a position's gradient by its
own hidden state is one row, which whatever comes later only scales:

    a frozen head     the forward pass keeps these rows, [N, D]; the backward pass scales them
    a trained head    the forward pass keeps `hidden`; the backward pass makes each chunk's logits
                      again, since the gradient by [V, D] is a sum over the positions
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from xtune.errors import ConfigError
from xtune.losses.chunks import Scoring, Wanted, pass_chunks, product_dtype
from xtune.structures import IGNORE_INDEX

__all__ = ["check_temperature", "chunked_log_probs"]


def chunked_log_probs(
    hidden: Tensor,
    weight: Tensor,
    targets: Tensor,
    *,
    bias: Tensor | None = None,
    softcap: float | None = None,
    temperature: float = 1.0,
    chunk_size: int = 256,
    squares: Tensor | None = None,
) -> Tensor:
    """Return the log-probability that a linear head gives each position's target.

    Equals `log_softmax(head(hidden) / temperature)` at the targets. Positions of target -100 cost
    nothing. Products run in autocast's dtype where autocast is on, else in that of `hidden`; the
    softmax and every sum over chunks are fp32. Where no graph is recorded, nothing is kept and no
    gradient computed.

    Args:
        hidden: [N, D], the backbone's output; position t is asked for the token at t + 1.
        weight: [V, D], the head's weight; no gradient is computed for a frozen one.
        targets: int64 [N]; -100 where nothing is asked.
        bias: [V].
        softcap: c, if the model bounds its logits by `c * tanh(logits / c)`.
        temperature: of the sampling whose log-probabilities they are, above 0; 1 for losses on
            given answers, and for greedy ones.
        chunk_size: C; the largest tensor held, forwards and backwards, is [C, V], in the dtype of
            the products (on a GPU and with `softcap` also in fp32).
        squares: fp32 [N], written where a target is asked for: log sum_v p_v^2, the logarithm of
            what a sampled token's probability is on average. It has no gradient, and costs no
            product.

    Returns:
        fp32 [N], in nats, never above 0; 0 with a gradient of zero where the target is -100.
        Connected to `hidden` also where there is no target.

    Raises:
        ConfigError: a temperature that is not above 0.
    """
    check_temperature(temperature)
    places = (targets != IGNORE_INDEX).nonzero().squeeze(1)
    found = None if squares is None else squares.new_empty(len(places))
    losses = _ChunkedLosses.apply(
        hidden[places],
        weight,
        bias,
        targets[places],
        softcap,
        temperature,
        chunk_size,
        Wanted.of(hidden, weight, bias),
        found,
    )
    if squares is not None and found is not None:
        squares[places] = found
    log_probs = torch.zeros(len(targets), dtype=torch.float32, device=hidden.device)
    return log_probs.index_put((places,), -losses)


def check_temperature(temperature: float) -> None:
    """Refuse a temperature that no logits can be divided by.

    Raises:
        ConfigError: it is not a number above 0.
    """
    if not 0 < temperature < float("inf"):
        raise ConfigError(
            f"temperature={temperature}: log-probabilities are those of sampling at a temperature "
            "above 0. Give the one that was sampled at; for greedy answers give 1"
        )


class _ChunkedLosses(torch.autograd.Function):
    """The negative log-probabilities, [N]."""

    @staticmethod
    def forward(
        ctx: Any,
        hidden: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        targets: Tensor,
        softcap: float | None,
        temperature: float,
        chunk_size: int,
        wanted: Wanted,
        squares: Tensor | None,
    ) -> Tensor:
        ctx.dtypes = hidden.dtype, weight.dtype, None if bias is None else bias.dtype
        ctx.head_is_trained = wanted.weight or wanted.bias
        ctx.settings = {"chunk_size": chunk_size, "dtype": product_dtype(hidden)}
        ctx.scoring, ctx.wanted = (softcap, temperature), wanted
        passed = pass_chunks(
            hidden,
            weight,
            targets,
            Scoring(bias, softcap, temperature),
            wanted=Wanted() if ctx.head_is_trained else wanted,
            squares=squares,
            **ctx.settings,
        )
        if ctx.head_is_trained:
            ctx.save_for_backward(hidden, weight, bias, targets)
        else:
            ctx.save_for_backward(passed.hidden)
        return passed.losses

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad_losses: Tensor) -> tuple[Tensor | None, ...]:
        rest = (None,) * 6
        if not ctx.head_is_trained:
            (rows,) = ctx.saved_tensors
            grad = None if rows is None else (rows * grad_losses[:, None]).to(ctx.dtypes[0])
            return (grad, None, None, *rest)
        hidden, weight, bias, targets = ctx.saved_tensors
        # The largest factor is 1 while the logits' gradients are in 16 bits: a loss scale of
        # 65,536 is more than fp16 holds, and 1 / 100,000 answers less.
        largest = grad_losses.abs().amax() if len(grad_losses) else grad_losses.new_ones(())
        largest = torch.where(largest > 0, largest, 1.0)
        passed = pass_chunks(
            hidden,
            weight,
            targets,
            Scoring(bias, *ctx.scoring),
            wanted=ctx.wanted,
            weights=grad_losses / largest,
            **ctx.settings,
        )
        grads = [
            None if grad is None else (grad * largest).to(dtype)
            for grad, dtype in zip(passed[2:], ctx.dtypes, strict=True)
        ]
        return (*grads, *rest)
