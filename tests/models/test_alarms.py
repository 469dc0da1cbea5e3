"""What an algorithm's numbers say goes wrong: once, with what to do; nothing where all is well."""

from __future__ import annotations

import json

import pytest

from xtune.models.algorithms.alarms import PairAlarms, UnpairedAlarms
from xtune.models.algorithms.policy_alarms import PolicyAlarms

GOOD = {
    "reward_accuracy": 0.7,
    "logp_chosen": -40.0,
    "length_chosen": 20.0,
    "length_rejected": 18.0,
}


def said(alarms, *steps):
    return [message for step in steps for message in alarms.look(step)]


def test_nothing_is_said_of_rewards_that_fall_a_little_and_pairs_that_are_learnt():
    steps = [{**GOOD, "logp_chosen": -40 - 0.25 * n, "reward_chosen": -n} for n in range(60)]
    assert said(PairAlarms(), *steps) == []


def test_answers_that_have_become_half_as_unlikely_again_are_reported_once():
    steps = [GOOD] * 10 + [{**GOOD, "logp_chosen": -61.0}] * 30
    (message,) = said(PairAlarms(), *steps)
    assert "was -2.00 a token in the first 10 steps and is -3.05 now" in message
    assert "Lower lr, raise beta, or give sft_weight" in message


def test_longer_answers_are_less_likely_in_sum_and_no_alarm():
    longer = {**GOOD, "logp_chosen": -80.0, "length_chosen": 40.0, "length_rejected": 36.0}
    assert said(PairAlarms(), *[GOOD] * 10, *[longer] * 30) == []


def test_pairs_that_are_not_learnt_after_50_steps_are_reported():
    wrong = {**GOOD, "reward_accuracy": 0.3}
    assert said(PairAlarms(), *[wrong] * 49) == []
    (message,) = said(PairAlarms(), *[wrong] * 100)
    assert "after 50 steps" in message
    assert "in 30% of the last pairs" in message
    assert "xtune log-dataset" in message


def test_better_answers_that_are_twice_as_long_are_reported_at_the_start():
    long = {**GOOD, "length_chosen": 40.0, "logp_chosen": -80.0}
    (message,) = said(PairAlarms(), *[long] * 30)
    assert "2.2 times longer than the worse ones" in message
    short = {**GOOD, "length_chosen": 6.0, "logp_chosen": -12.0}
    (message,) = said(PairAlarms(), *[short] * 10)
    assert "3.0 times shorter than the worse ones" in message


def test_kinds_that_weigh_unevenly_are_reported_with_the_right_weight():
    few = {"desirable_share": 0.2, "reward_margin": 0.1}
    (message,) = said(UnpairedAlarms(1.0, 1.0), *[few] * 30)
    assert "20% of the answers are good" in message
    assert "0.25 times what the bad ones do; 1 to 1.33 is right" in message
    assert "desirable_weight from 4.00 to 5.33" in message
    assert said(UnpairedAlarms(4.5, 1.0), *[few] * 30) == []
    assert said(UnpairedAlarms(1.0, 1.0), *[{**few, "desirable_share": 0.55}] * 30) == []
    assert said(UnpairedAlarms(1.0, 1.0), *[{**few, "desirable_share": 1.0}] * 30) == []


def test_bad_answers_with_the_larger_reward_are_reported():
    wrong = {"desirable_share": 0.5, "reward_margin": -0.2}
    (message,) = said(UnpairedAlarms(1.0, 1.0), *[wrong] * 60)
    assert "after 50 steps bad answers have the larger reward" in message


def test_a_resumed_run_goes_on_with_what_was_seen():
    """Its state is JSON, and what was said is not said again."""
    fallen = {**GOOD, "logp_chosen": -61.0}
    whole, first = PairAlarms(), PairAlarms()
    steps = [GOOD] * 10 + [fallen] * 20
    expected = [said(whole, step) for step in steps]
    found = [said(first, step) for step in steps[:17]]
    second = PairAlarms()
    second.state |= json.loads(json.dumps(first.state))
    found += [said(second, step) for step in steps[17:]]
    assert found == expected
    assert sum(map(len, found)) == 1


ITERATION = {
    "reward": 0.3,
    "answer_length": 20.0,
    "unended_share": 0.05,
    "no_signal_share": 0.2,
    "entropy": 1.5,
    "ratio_error": 0.0,
    "sampler_difference": 0.01,
}
UPDATE = {"loss": 0.1, "ratio_error": 0.3, "entropy": 1.5}  # a later one of the same rollout


def test_nothing_is_said_of_a_policy_that_learns():
    steps = [{**ITERATION, "reward": 0.3 + n / 100, "answer_length": 20.0 + n} for n in range(40)]
    assert said(PolicyAlarms(), *[line for step in steps for line in (step, UPDATE)]) == []


@pytest.mark.parametrize(
    ("change", "after", "words"),
    [
        ({"ratio_error": 0.05}, 1, "the policy that learns is not the one that was scored"),
        ({"sampler_difference": 0.2}, 5, "sampling and training differ by 0.200"),
        ({"no_signal_share": 0.8}, 5, "of 80% of the prompts all answers have the same reward"),
        ({"unended_share": 0.4}, 5, "40% of the answers are cut at max_new_tokens"),
        ({"entropy": 0.1}, 10, "the entropy fell from 1.50 to 0.10"),
        ({"answer_length": 90.0}, 10, "answers grew from 20 to 90 tokens and the reward did not"),
        ({"answer_kl": -2.0}, 10, "-2.00 nats an answer"),
        ({"explained_variance": -0.5}, 20, "the critic explains nothing of the returns"),
    ],
)
def test_what_goes_wrong_with_rollouts_is_said_once_with_what_to_do(change, after, words):
    alarms = PolicyAlarms()
    wrong = {**ITERATION, **change}
    of_start = {"entropy", "answer_length"} & change.keys()
    begin = [ITERATION] * 5 if of_start else []
    lines = [*begin, *[wrong] * 40]
    found = [(n, message) for n, line in enumerate(lines, start=1) for message in alarms.look(line)]
    ((when, message),) = [one for one in found if words in one[1]]
    assert when == after
    assert len(found) == 1
    json.dumps(alarms.state)  # a checkpoint holds it
