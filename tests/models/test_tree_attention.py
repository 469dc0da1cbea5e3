"""Attention in a tree: each token sees its ancestors, near and far, capped or not, either way."""

from __future__ import annotations

import pytest
import torch

from xtune.errors import ModelError
from xtune.models.attention.tree import Tree, attend_flex_tree, tree_attention

# 300 tokens of a trunk, on which 40 branches of 5 stand, and a second tree: rows of many blocks
DEPTH = [*range(300), *([300, 301, 302, 303, 304] * 40), *range(20)]
LEAVE = [500] * 300 + [300 + 5 * (n // 5 + 1) for n in range(200)] + [520] * 20
SLOPES = torch.tensor([0.5, 0.25, 0.125, 0.0625])


@pytest.fixture(scope="module")
def states():
    generator = torch.Generator().manual_seed(0)
    shapes = [(1, heads, len(DEPTH), 8) for heads in (4, 2, 2)]
    return [torch.randn(shape, generator=generator) for shape in shapes]


def tree():
    return Tree(torch.tensor(DEPTH), torch.tensor(LEAVE))


def path_of(place):
    return [k for k in range(place + 1) if LEAVE[k] > place]


def by_hand(states, place, *, window=None, softcap=None, slopes=None):
    """One token's output in float64, [H, E]."""
    query, key, value = (s[0].double() for s in states)
    path = path_of(place)[-(window or 10**6) :]
    outputs = []
    for head in range(4):
        scores = key[head // 2, path] @ query[head, place] / 8**0.5
        if softcap is not None:
            scores = softcap * torch.tanh(scores / softcap)
        if slopes is not None:
            scores = scores - float(slopes[head]) * torch.arange(len(path) - 1, -1, -1)
        outputs.append(scores.softmax(0) @ value[head // 2, path])
    return torch.stack(outputs)


SETTINGS = {
    "plain": {},
    "window": {"window": 7},
    "capped": {"softcap": 0.7},
    "alibi": {"slopes": SLOPES},
    "capped in a window": {"softcap": 0.7, "window": 130},
}


@pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS)
@pytest.mark.parametrize("kernel", ["blocks", "flex"])
def test_a_token_sees_its_ancestors_and_itself(states, kernel, settings):
    window, softcap, slopes = (settings.get(name) for name in ("window", "softcap", "slopes"))
    if kernel == "blocks":
        out, _ = tree_attention(
            torch.nn.Identity(),
            *states,
            None,
            tree=tree(),
            sliding_window=window,
            softcap=softcap,
            alibi_slopes=slopes,
        )
    else:  # on a GPU it is compiled
        out = attend_flex_tree(
            *states,
            tree(),
            window=window,
            scaling=None,
            softcap=softcap,
            alibi_slopes=slopes,
        )
    for place in (0, 127, 128, 299, 300, 304, 305, 419, 499, 500, 519):
        expected = by_hand(states, place, window=window, softcap=softcap, slopes=slopes)
        torch.testing.assert_close(out[0, place].double(), expected, rtol=1e-5, atol=1e-5)


def test_bf16_on_a_cpu_is_attended_in_fp32(states):
    half = [s.bfloat16() for s in states]
    out, _ = tree_attention(torch.nn.Identity(), *half, None, tree=tree())
    exact, _ = tree_attention(torch.nn.Identity(), *(s.float() for s in half), None, tree=tree())
    assert out.dtype == torch.bfloat16
    torch.testing.assert_close(out, exact.bfloat16(), rtol=0, atol=0)


def test_a_block_of_branches_reads_the_trunk_and_itself_alone():
    blocks = tree().blocks
    assert [len(block.keys) for block in blocks] == [128, 256, 384, 300 + 4 + 128, 12 + 8]
    # 384 is the last of its branch
    assert blocks[3].keys.tolist() == [*range(300), *range(380, 512)]


def test_the_windows_that_layers_ask_for_are_kept(states):
    asked = tree()
    for window in (None, 7):
        tree_attention(torch.nn.Identity(), *states, None, tree=asked, sliding_window=window)
    assert asked.windows == {None, 7}


def test_what_it_does_not_know_is_refused(states):
    call = [torch.nn.Identity(), *states]
    with pytest.raises(ModelError, match="does not hand a tree on"):
        tree_attention(*call, None)
    with pytest.raises(ModelError, match="brings its own mask"):
        tree_attention(*call, torch.zeros(1), tree=tree())
    with pytest.raises(ModelError, match="uses 's_aux'"):
        tree_attention(*call, None, tree=tree(), s_aux=torch.zeros(4))
