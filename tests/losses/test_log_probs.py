"""Log-probabilities of given tokens against torch's log_softmax in fp64: value, gradients, cost."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch.utils.checkpoint import checkpoint
from torch.utils.flop_counter import FlopCounterMode

from tests.losses.test_chunked_cross_entropy import D, LargestTensor, N, V, home, make
from xtune.errors import ConfigError
from xtune.losses import chunked_cross_entropy, chunked_log_probs


def plain(hidden, weight, bias, targets, softcap=None, temperature=1.0):
    """[N, V] in fp64, gathered; 0 where the target is -100."""
    logits = hidden.double() @ weight.double().T
    if bias is not None:
        logits = logits + bias.double()
    if softcap:
        logits = softcap * torch.tanh(logits / softcap)
    found = (logits / temperature).log_softmax(-1).gather(1, targets.clamp(min=0)[:, None])[:, 0]
    return torch.where(targets == -100, 0.0, found)


def factors(seed=5):
    """What a loss might make of each position: some are pulled up, some down."""
    return torch.randn(N, generator=torch.Generator().manual_seed(seed))


def assert_equal_to_plain(tensors, targets, *, softcap=None, temperature=1.0, **settings):
    hidden, weight, bias = tensors
    asked = [t for t in tensors if t is not None and t.requires_grad]
    expected = plain(hidden, weight, bias, targets, softcap, temperature)
    found = chunked_log_probs(
        hidden, weight, targets, bias=bias, softcap=softcap, temperature=temperature, **settings
    )
    assert found.dtype == torch.float32
    assert found.le(0).all()
    torch.testing.assert_close(found.double(), expected, rtol=1e-5, atol=1e-5)
    wanted = torch.autograd.grad((expected * factors()).sum(), asked)
    for grad, right in zip(
        torch.autograd.grad((found * factors()).sum(), asked), wanted, strict=True
    ):
        torch.testing.assert_close(grad, right, rtol=1e-5, atol=1e-5)


TRAINED = {
    "all": (True, True, True),
    "hidden states": (True, False, False),
    "weight": (False, True, False),
    "bias": (False, False, True),
    "head": (False, True, True),
}


@pytest.mark.parametrize("trained", TRAINED.values(), ids=TRAINED)
@pytest.mark.parametrize("temperature", [1.0, 0.5, 1.7])
@pytest.mark.parametrize("softcap", [None, 5.0])
@pytest.mark.parametrize(("chunk_size", "rows"), [(1, 1), (8, 3), (1000, 1000)])
def test_equals_the_plain_one_forward_and_backward(
    trained, temperature, softcap, chunk_size, rows, monkeypatch
):
    monkeypatch.setattr(home, "_CACHED", rows * V)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 1)
    *tensors, targets = make()
    for tensor, is_trained in zip(tensors, trained, strict=True):
        tensor.requires_grad_(is_trained)
    assert_equal_to_plain(
        tensors, targets, softcap=softcap, temperature=temperature, chunk_size=chunk_size
    )


def test_without_a_bias():
    hidden, weight, _, targets = make()
    assert_equal_to_plain((hidden, weight, None), targets)


def test_the_sum_is_the_cross_entropy_bit_by_bit_where_one_block_holds_it():
    hidden, weight, bias, targets = make()
    weight.requires_grad_(False)
    bias.requires_grad_(False)
    loss = chunked_cross_entropy(hidden, weight, targets, bias=bias)
    ours = -chunked_log_probs(hidden, weight, targets, bias=bias)[targets != -100].sum()
    assert torch.equal(ours, loss)
    assert torch.equal(torch.autograd.grad(ours, hidden)[0], torch.autograd.grad(loss, hidden)[0])


@pytest.mark.parametrize("head_is_trained", [True, False])
def test_positions_that_ask_nothing_are_zero_and_get_no_gradient(head_is_trained):
    hidden, weight, _, targets = make()
    weight.requires_grad_(head_is_trained)
    found = chunked_log_probs(hidden, weight, targets)
    silent = targets == -100
    assert silent.any()
    assert found[silent].eq(0).all()
    assert found[~silent].lt(0).all()
    (found * factors()).sum().backward()
    assert hidden.grad[silent].eq(0).all()
    assert hidden.grad[~silent].ne(0).any(dim=1).all()
    assert (weight.grad is not None) == head_is_trained


@pytest.mark.parametrize("positions", [0, 3])
@pytest.mark.parametrize("head_is_trained", [True, False])
def test_nothing_asked_is_connected_with_gradients_of_zero(positions, head_is_trained):
    hidden = torch.randn(positions, D, requires_grad=True)
    weight = torch.randn(V, D, requires_grad=head_is_trained)
    bias = torch.randn(V, requires_grad=head_is_trained)
    targets = torch.full((positions,), -100)
    found = chunked_log_probs(hidden, weight, targets, bias=bias)
    assert found.tolist() == [0.0] * positions
    found.sum().backward()
    assert hidden.grad.shape == (positions, D)
    assert hidden.grad.eq(0).all()
    if head_is_trained:
        assert weight.grad.eq(0).all()
        assert bias.grad.eq(0).all()


@pytest.mark.parametrize("head_is_trained", [True, False])
def test_a_gradient_of_zero_or_one_taken_twice(head_is_trained):
    hidden, weight, bias, targets = make()
    for tensor in (weight, bias):
        tensor.requires_grad_(head_is_trained)
    found = chunked_log_probs(hidden, weight, targets, bias=bias)
    (none,) = torch.autograd.grad((found * 0.0).sum(), hidden, retain_graph=True)
    assert none.eq(0).all()
    first, second = (torch.autograd.grad(found.sum(), hidden, retain_graph=True)[0] for _ in "12")
    assert torch.equal(first, second)


@pytest.mark.parametrize("head_is_trained", [True, False])
def test_bf16_is_as_near_to_fp64_as_the_plain_product_in_bf16(head_is_trained):
    hidden, weight, _, targets = make(torch.bfloat16)
    weight.requires_grad_(head_is_trained)
    asked = [hidden, weight][: 1 + head_is_trained]
    true = plain(hidden, weight, None, targets)
    wanted = torch.autograd.grad((true * factors()).sum(), asked)
    found = chunked_log_probs(hidden, weight, targets)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found.double(), true, rtol=1e-2, atol=1e-2)
    logits = (hidden @ weight.T).float()
    rounded = -F.cross_entropy(logits, targets, reduction="none")
    ours, theirs = (
        torch.autograd.grad((some * factors()).sum(), asked) for some in (found, rounded)
    )
    for grad, plain_grad, right in zip(ours, theirs, wanted, strict=True):
        assert grad.dtype == torch.bfloat16
        error, plain_error = ((g - right).norm() / right.norm() for g in (grad, plain_grad))
        assert error <= 1.5 * plain_error


@pytest.mark.parametrize("head_is_trained", [True, False])
def test_autocast_computes_products_in_bf16_and_the_softmax_in_fp32(head_is_trained):
    hidden, weight, bias, targets = make()
    for tensor in (weight, bias):
        tensor.requires_grad_(head_is_trained)
    exact = chunked_log_probs(hidden, weight, targets, bias=bias)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = chunked_log_probs(hidden, weight, targets, bias=bias)
    found.sum().backward()  # outside of it, as a strategy does
    assert found.dtype == hidden.grad.dtype == torch.float32
    torch.testing.assert_close(found, exact, rtol=2e-2, atol=5e-2)
    assert not torch.equal(found, exact)
    wanted = torch.autograd.grad(exact.sum(), hidden)[0]
    assert (hidden.grad - wanted).norm() <= 2e-2 * wanted.norm()
    # In fp32 throughout, also backwards, the two would be equal
    assert not torch.equal(hidden.grad, wanted)


@pytest.mark.parametrize("loss_scale", [2.0**17, 2.0**-30])
@pytest.mark.parametrize("head_is_trained", [True, False])
def test_fp16_gradients_meet_any_loss_scale_after_the_products(head_is_trained, loss_scale):
    # In fp16 the first is infinite and the second zero.
    hidden, weight, _, targets = make()
    weight.requires_grad_(head_is_trained)
    asked = [hidden, weight][: 1 + head_is_trained]
    share = (plain(hidden, weight, None, targets) * factors()).sum()
    expected = torch.autograd.grad(share * loss_scale, asked)
    with torch.autocast("cpu", dtype=torch.float16):
        found = chunked_log_probs(hidden, weight, targets)
    grads = torch.autograd.grad((found * factors()).sum() * loss_scale, asked)
    for grad, right in zip(grads, expected, strict=True):
        assert (grad - right).norm() <= 2e-3 * right.norm()


def test_gradient_checkpointing_around_it_changes_no_bit():
    for head_is_trained in (True, False):
        hidden, weight, bias, targets = make()
        for tensor in (weight, bias):
            tensor.requires_grad_(head_is_trained)

        def run(hidden, weight=weight, targets=targets, bias=bias):
            return chunked_log_probs(hidden * 2, weight, targets, bias=bias, chunk_size=8)

        asked = [t for t in (hidden, weight, bias) if t.requires_grad]
        once = run(hidden)
        again = checkpoint(run, hidden, use_reentrant=False)
        assert torch.equal(once, again)
        for a, b in zip(
            torch.autograd.grad((once * factors()).sum(), asked),
            torch.autograd.grad((again * factors()).sum(), asked),
            strict=True,
        ):
            assert torch.equal(a, b)


@pytest.mark.parametrize(("chunk_size", "rows"), [(8, 3), (1000, 1000)])
@pytest.mark.parametrize("head_is_trained", [True, False])
@pytest.mark.parametrize(("softcap", "temperature"), [(None, 1.0), (5.0, 0.5)])
def test_the_squared_probabilities_are_summed_up_next_to_it(
    head_is_trained, softcap, temperature, chunk_size, rows, monkeypatch
):
    monkeypatch.setattr(home, "_CACHED", rows * V)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 1)
    hidden, weight, bias, targets = make()
    for tensor in (weight, bias):
        tensor.requires_grad_(head_is_trained)
    settings = {"bias": bias, "softcap": softcap, "temperature": temperature}
    squares = torch.full((N,), 7.0)
    found = chunked_log_probs(
        hidden, weight, targets, squares=squares, chunk_size=chunk_size, **settings
    )
    logits = hidden.double() @ weight.double().T + bias.double()
    if softcap:
        logits = softcap * torch.tanh(logits / softcap)
    right = (logits / temperature).softmax(-1).square().sum(-1).log()
    asked = targets != -100
    torch.testing.assert_close(squares[asked].double(), right[asked].detach(), rtol=0, atol=1e-5)
    assert squares[~asked].eq(7.0).all()
    plain = chunked_log_probs(hidden, weight, targets, chunk_size=chunk_size, **settings)
    assert torch.equal(found, plain)
    assert torch.equal(
        torch.autograd.grad(found.sum(), hidden)[0], torch.autograd.grad(plain.sum(), hidden)[0]
    )


def test_squared_probabilities_cost_no_product_and_no_memory():
    tokens, vocabulary, width, chunk = 64, 150_000, 8, 4
    hidden = torch.randn(tokens, width, requires_grad=True)
    weight = torch.randn(vocabulary, width)
    targets = torch.randint(vocabulary, (tokens,))
    squares = torch.zeros(tokens)
    with LargestTensor() as seen, FlopCounterMode(display=False) as count:
        chunked_log_probs(hidden, weight, targets, chunk_size=chunk, squares=squares)
    assert count.get_total_flops() == 2 * 2 * tokens * width * vocabulary
    assert seen.elements == max(chunk * vocabulary, weight.numel())


@pytest.mark.parametrize("temperature", [0, -1.0, float("inf"), float("nan")])
def test_a_temperature_that_nothing_is_sampled_at_is_refused(temperature):
    hidden, weight, _, targets = make()
    with pytest.raises(ConfigError, match=f"temperature={temperature}.*greedy answers give 1"):
        chunked_log_probs(hidden, weight, targets, temperature=temperature)


class Kept:
    """Numbers that autograd keeps for the backward pass, each storage once."""

    def __enter__(self):
        self.sizes = {}
        self.hooks = torch.autograd.graph.saved_tensors_hooks(self.note, lambda tensor: tensor)
        self.hooks.__enter__()
        return self

    def __exit__(self, *error):
        self.hooks.__exit__(*error)

    def note(self, tensor):
        self.sizes[tensor.untyped_storage().data_ptr()] = tensor.numel()
        return tensor


@pytest.mark.parametrize("head_is_trained", [True, False])
def test_a_vocabulary_of_150_000_is_held_for_one_chunk_at_most(head_is_trained):
    tokens, vocabulary, width, chunk = 128, 150_000, 8, 4
    hidden = torch.randn(tokens, width, requires_grad=True)
    weight = torch.randn(vocabulary, width, requires_grad=head_is_trained)
    targets = torch.randint(vocabulary, (tokens,))
    with LargestTensor() as seen, Kept() as kept:
        found = chunked_log_probs(hidden, weight, targets, chunk_size=chunk)
        found.sum().backward()
    # Tokens times vocabulary would be 19,200,000; the weight itself is 1,200,000.
    assert seen.elements == max(chunk * vocabulary, weight.numel())
    # The rows of the gradient or of the hidden states, [N, D], targets and places; the weight is
    # the caller's.
    own = {pointer: n for pointer, n in kept.sizes.items() if pointer != weight.data_ptr()}
    assert sorted(own.values())[-1] == tokens * width
    assert sum(own.values()) <= tokens * width + 4 * tokens


def test_the_instruments_see_what_the_plain_one_holds():
    hidden = torch.randn(16, 8, requires_grad=True)
    weight = torch.randn(100, 8)
    targets = torch.randint(100, (16,))
    with LargestTensor() as seen, Kept() as kept:
        F.cross_entropy(hidden @ weight.T, targets, reduction="none").sum().backward()
    assert seen.elements == max(kept.sizes.values()) == 16 * 100


@pytest.mark.parametrize(
    ("trained", "function", "products"),
    [
        # forward; the hidden states' gradient
        (False, chunked_log_probs, 2),
        (False, chunked_cross_entropy, 2),
        # forward; the logits again; the gradients of the hidden states and of the weight
        (True, chunked_log_probs, 4),
        (True, chunked_cross_entropy, 3),
    ],
)
def test_products_with_the_head(trained, function, products):
    hidden = torch.randn(64, D, requires_grad=True)
    weight = torch.randn(V, D, requires_grad=trained)
    targets = torch.randint(V, (64,))
    with FlopCounterMode(display=False) as count:
        function(hidden, weight, targets, chunk_size=32).sum().backward()
    assert count.get_total_flops() == products * 2 * 64 * D * V


@pytest.mark.parametrize("function", [chunked_log_probs, chunked_cross_entropy])
def test_without_a_graph_there_is_one_product_and_no_gradient_of_a_trained_head(function):
    hidden = torch.randn(64, D)
    weight = torch.randn(V, D, requires_grad=True)
    targets = torch.randint(V, (64,))
    with torch.no_grad(), FlopCounterMode(display=False) as count:
        silent = function(hidden, weight, targets, chunk_size=32)
    assert not silent.requires_grad
    assert count.get_total_flops() == 2 * 64 * D * V
    assert torch.equal(silent, function(hidden, weight, targets, chunk_size=32))
