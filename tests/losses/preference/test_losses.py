"""Each loss against its paper's formula, written out with `math` in float64."""

from __future__ import annotations

import dataclasses
import math

import pytest
import torch

from xtune.errors import ConfigError
from xtune.losses.preference import PairTerms
from xtune.losses.preference.pair import expected_loss, loss_at_start
from xtune.registry import PAIR_LOSSES, build, names, names_alone

# sums of log-probabilities and lengths of three pairs: right, wrong, and even
PAIRS = [
    {"w": -12.0, "l": -20.0, "rw": -15.0, "rl": -18.5, "nw": 6, "nl": 9},
    {"w": -30.0, "l": -3.0, "rw": -28.0, "rl": -4.0, "nw": 11, "nl": 2},
    {"w": -8.0, "l": -8.0, "rw": -8.0, "rl": -8.0, "nw": 5, "nl": 5},
]


def terms(pairs=PAIRS, dtype=torch.float64):
    def column(key):
        return torch.tensor([pair[key] for pair in pairs], dtype=dtype)

    return PairTerms(
        column("w"), column("l"), column("nw"), column("nl"), column("rw"), column("rl")
    )


def s(x):
    return 1 / (1 + math.exp(-x))


def ls(x):
    return math.log(s(x))


def of(pair):
    a, b = pair["w"] - pair["rw"], pair["l"] - pair["rl"]
    return a, b, a - b


def sigmoid(pair, beta=0.1, e=0.0):
    *_, d = of(pair)
    return -(1 - e) * ls(beta * d) - e * ls(-beta * d)


def per_token(pair):
    a, b, _ = of(pair)
    return a / pair["nw"] - b / pair["nl"]


def exo(pair, beta, e):
    q = s(beta * of(pair)[2])
    return q * math.log(q / (1 - e)) + (1 - q) * math.log((1 - q) / e)


def discopop(pair, beta, tau):
    u = beta * of(pair)[2]
    k = s(u / tau)
    return -(1 - k) * ls(u) + k * math.exp(-u)


def odds(pair):
    def log_odds(total, length):
        p = math.exp(total / length)
        return math.log(p / (1 - p))

    return log_odds(pair["w"], pair["nw"]) - log_odds(pair["l"], pair["nl"])


def alpha_worth(mean, alpha=0.25):
    return (1 - math.exp(-alpha * mean)) / alpha


def f_dpo(pair, slope, beta=0.1):
    a, b, _ = of(pair)
    return -ls(beta * (slope(a) - slope(b)))


FORMULAS = [
    ({"type": "sigmoid"}, sigmoid),
    ({"type": "sigmoid", "beta": 0.4}, lambda p: sigmoid(p, 0.4)),
    ({"type": "sigmoid", "label_smoothing": 0.2}, lambda p: sigmoid(p, e=0.2)),
    (
        {"type": "robust", "label_smoothing": 0.2},
        lambda p: (-0.8 * ls(0.1 * of(p)[2]) + 0.2 * ls(-0.1 * of(p)[2])) / 0.6,
    ),
    ({"type": "hinge"}, lambda p: max(0.0, 1 - 0.1 * of(p)[2])),
    ({"type": "hinge", "beta": 1.0}, lambda p: max(0.0, 1 - of(p)[2])),
    ({"type": "ipo"}, lambda p: (per_token(p) - 5) ** 2),
    ({"type": "sigmoid_norm", "beta": 5.0}, lambda p: -ls(5 * per_token(p))),
    ({"type": "sppo_hard"}, lambda p: (of(p)[0] - 5) ** 2 + (of(p)[1] + 5) ** 2),
    (
        {"type": "nca_pair"},
        lambda p: -ls(0.1 * of(p)[0]) - 0.5 * ls(-0.1 * of(p)[0]) - 0.5 * ls(-0.1 * of(p)[1]),
    ),
    ({"type": "bco_pair"}, lambda p: -ls(0.1 * of(p)[0]) - ls(-0.1 * of(p)[1])),
    ({"type": "apo_zero"}, lambda p: 1 - s(0.1 * of(p)[0]) + s(0.1 * of(p)[1])),
    ({"type": "apo_down"}, lambda p: s(0.1 * of(p)[0]) + 1 - s(0.1 * of(p)[2])),
    ({"type": "exo_pair"}, lambda p: exo(p, 0.1, 1e-3)),
    ({"type": "exo_pair", "label_smoothing": 0.1}, lambda p: exo(p, 0.1, 0.1)),
    ({"type": "discopop"}, lambda p: discopop(p, 0.1, 0.05)),
    ({"type": "discopop", "tau": 0.5}, lambda p: discopop(p, 0.1, 0.5)),
    (
        {"type": "sigmoid", "divergence": "forward_kl"},
        lambda p: f_dpo(p, lambda x: 1 - math.exp(-x)),
    ),
    (
        {"type": "sigmoid", "divergence": "js"},
        lambda p: f_dpo(p, lambda x: math.log(2) + ls(x)),
    ),
    (
        {"type": "sigmoid", "divergence": "alpha", "alpha": 0.5},
        lambda p: f_dpo(p, lambda x: (math.exp(-0.5 * x) - 1) / -0.5),
    ),
    (
        {
            "type": "weighted",
            "losses": [{"type": "sigmoid", "beta": 0.4}, {"type": "bco_pair"}],
            "weights": [0.8, 0.2],
        },
        lambda p: 0.8 * sigmoid(p, 0.4) - 0.2 * (ls(0.1 * of(p)[0]) + ls(-0.1 * of(p)[1])),
    ),
    ({"type": "cpo"}, lambda p: -ls(0.1 * (p["w"] - p["l"]))),
    (
        {"type": "cpo", "label_smoothing": 0.3},
        lambda p: -0.7 * ls(0.1 * (p["w"] - p["l"])) - 0.3 * ls(-0.1 * (p["w"] - p["l"])),
    ),
    ({"type": "simpo"}, lambda p: -ls(2 * (p["w"] / p["nw"] - p["l"] / p["nl"]) - 1)),
    (
        {"type": "simpo", "alpha": 0.25, "beta": 2.5, "gamma": 0.5},
        lambda p: -ls(2.5 * (alpha_worth(p["w"] / p["nw"]) - alpha_worth(p["l"] / p["nl"])) - 0.5),
    ),
    ({"type": "orpo"}, lambda p: -0.1 * ls(odds(p))),
]


@pytest.mark.parametrize(
    ("loss", "formula"), FORMULAS, ids=[" ".join(map(str, loss.values())) for loss, _ in FORMULAS]
)
def test_it_is_the_papers_formula(loss, formula):
    found = build(PAIR_LOSSES, loss)(terms())
    assert found.tolist() == pytest.approx([formula(pair) for pair in PAIRS], rel=1e-12)


def test_each_loss_is_held_against_a_formula():
    assert set(names(PAIR_LOSSES)) == {loss["type"] for loss, _ in FORMULAS}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("sigmoid", math.log(2)),
        ("robust", math.log(2)),
        ("hinge", 1.0),
        ("ipo", 25.0),
        ("sppo_hard", 50.0),
        ("bco_pair", 2 * math.log(2)),
        ("nca_pair", 2 * math.log(2)),
        ("sigmoid_norm", math.log(2)),
        ("apo_zero", 1.0),
        ("apo_down", 1.0),
        ("cpo", None),
    ],
)
def test_while_the_policy_is_its_reference_the_loss_is_known(name, value):
    found = loss_at_start(build(PAIR_LOSSES, {"type": name}))
    assert found == (None if value is None else pytest.approx(value, rel=1e-6))


@pytest.mark.parametrize("name", ["sigmoid", "hinge", "ipo", "sppo_hard", "exo_pair", "orpo"])
def test_the_better_answer_is_to_become_likelier(name):
    given = terms()
    chosen = given.chosen.clone().requires_grad_()
    rejected = given.rejected.clone().requires_grad_()
    pairs = PairTerms(
        chosen, rejected, given.chosen_length, given.rejected_length, given.ref_chosen,
        given.ref_rejected,
    )  # fmt: skip
    build(PAIR_LOSSES, {"type": name})(pairs).sum().backward()
    assert (chosen.grad < 0).all()
    assert (rejected.grad > 0).all()


@pytest.mark.parametrize("name", names_alone(PAIR_LOSSES))
def test_far_pairs_have_finite_losses_and_gradients(name):
    """Sums of a thousand tokens, and answers that are certain, in fp32."""
    far = [
        {"w": -1e4, "l": -1.0, "rw": -10.0, "rl": -9e3, "nw": 1000, "nl": 1000},
        {"w": -1e-9, "l": -1e4, "rw": -9e3, "rl": -1.0, "nw": 1, "nl": 1000},
        {"w": 0.0, "l": 0.0, "rw": -1.0, "rl": -1.0, "nw": 3, "nl": 3},
    ]
    given = terms(far, torch.float32)
    chosen = given.chosen.requires_grad_()
    loss = build(PAIR_LOSSES, {"type": name})(given)
    loss.sum().backward()
    assert loss.isfinite().all()
    assert chosen.grad.isfinite().all()


@pytest.mark.parametrize(
    ("loss", "said"),
    [
        ({"type": "sigmoid", "beta": 0.0}, "beta is 0.0; it must be above 0"),
        ({"type": "sigmoid", "label_smoothing": 0.5}, "label_smoothing is 0.5"),
        ({"type": "robust", "label_smoothing": 0.5}, "label_smoothing is 0.5"),
        ({"type": "exo_pair", "label_smoothing": 0.0}, "takes the logarithm"),
        ({"type": "hinge", "divergence": "kl"}, "divergence is 'kl'; allowed"),
        ({"type": "hinge", "alpha": 0.5}, "the divergence 'alpha' has an alpha"),
        ({"type": "hinge", "divergence": "alpha", "alpha": 1.0}, "not 1"),
        ({"type": "simpo", "gamma": -1.0}, "gamma is -1.0"),
        ({"type": "discopop", "tau": 0}, "tau is 0"),
        ({"type": "weighted", "losses": [{"type": "ipo"}], "weights": []}, "1 losses and 0 weig"),
        ({"type": "weighted", "losses": [{"type": "ipo"}], "weights": [0]}, "must be above 0"),
        (
            {"type": "weighted", "losses": [{"type": "cpo"}, {"type": "ipo"}], "weights": [1, 1]},
            "without one cannot",
        ),
    ],
)
def test_an_option_that_means_nothing_is_refused(loss, said):
    with pytest.raises(ConfigError, match=said):
        build(PAIR_LOSSES, loss)


def test_a_sum_says_of_itself_what_its_parts_do():
    found = build(
        PAIR_LOSSES,
        {"type": "weighted", "losses": [{"type": "cpo"}, {"type": "simpo"}], "weights": [0.5, 2]},
    )
    assert (found.needs_reference, found.is_per_token) == (False, True)
    assert (found.sft_weight, found.nll_on) == (0.5, "answer")
    orpo = build(PAIR_LOSSES, {"type": "orpo"})
    assert (orpo.sft_weight, orpo.nll_on) == (1.0, "all")


@pytest.mark.parametrize("loss", [loss for loss, _ in FORMULAS], ids=str)
def test_a_label_that_is_not_certain_counts_as_it_is_believed(loss):
    """With p = 1 nothing changes; with 0 the answers change places; between, in proportion."""
    made = build(PAIR_LOSSES, loss)
    other_way = [
        {"w": p["l"], "l": p["w"], "rw": p["rl"], "rl": p["rw"], "nw": p["nl"], "nl": p["nw"]}
        for p in PAIRS
    ]
    certain, swapped = made(terms()), made(terms(other_way))
    p = torch.tensor([1.0, 0.0, 0.3], dtype=torch.float64)
    found = expected_loss(made, dataclasses.replace(terms(), soft_label=p))
    torch.testing.assert_close(found, p * certain + (1 - p) * swapped, rtol=1e-12, atol=0)


def test_of_the_sigmoid_such_a_label_is_cdpos_smoothing():
    soft = torch.full((3,), 0.8, dtype=torch.float64)
    plain = build(PAIR_LOSSES, {"type": "sigmoid"})
    found = expected_loss(plain, dataclasses.replace(terms(), soft_label=soft))
    assert found.tolist() == pytest.approx([sigmoid(pair, e=0.2) for pair in PAIRS], rel=1e-12)
