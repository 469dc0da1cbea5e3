"""Whole runs that learn from answers of their own, on a tiny model with random weights."""

from __future__ import annotations

import math

import pytest
import torch

from tests.engine.rollout.conftest import OWN
from tests.forked import run_ranks
from tests.runs import metrics, options, sheet_of
from xtune.config import render
from xtune.config.strategies import SHARDINGS
from xtune.engine.runner import Runner
from xtune.errors import ConfigError, TrainingError
from xtune.planning.weight_shards import refusal_of

CONFIG = "custom_grpo_lora"


def train(inputs, work_dir, *further, resume=None):
    sheet = sheet_of(inputs, *further, config=CONFIG)
    return Runner(sheet, work_dir=work_dir, resume=resume).train()


def column(work_dir, name):
    return [row.get(name) for row in metrics(work_dir)]


def test_at_the_first_update_the_ratio_is_exactly_1(inputs, grpo, tmp_path):
    """Two passes with two mini-batches: update 1 of 4 is on the policy that sampled."""
    train(inputs, tmp_path / "run", *grpo, "passes=2", "mini_batches=2", "max_steps=8", "lr=3e-3")
    errors, ratios = column(tmp_path / "run", "ratio_error"), column(tmp_path / "run", "ratio")
    assert [errors[step] for step in (0, 4)] == [0.0, 0.0]
    assert [ratios[step] for step in (0, 4)] == [1.0, 1.0]
    assert all(errors[step] > 1e-5 for step in (2, 3, 6, 7))
    assert [reward is None for reward in column(tmp_path / "run", "reward")] == [
        False, *[True] * 3, False, *[True] * 3
    ]  # fmt: skip
    assert column(tmp_path / "run", "sampler_difference")[0] < 1e-4


@pytest.mark.parametrize("loss", ["grpo", "dapo", "gspo", "{'type': 'dr_grpo', 'longest': 6}"])
def test_a_step_is_the_same_however_it_is_split(loss, inputs, grpo, tmp_path):
    """All answers in one micro-batch, or one to three in each: they have 1 to 6 tokens."""
    named = loss if "{" in loss else f"{{'type': '{loss}'}}"
    more = [*grpo, f"algorithm.loss={named}", "passes=2", "max_steps=2", "lr=3e-3"]
    train(inputs, tmp_path / "whole", *more, "max_length=128", "batch_size=8")
    train(inputs, tmp_path / "parts", *more, "max_length=64", "batch_size=1")
    for whole, part in zip(metrics(tmp_path / "whole"), metrics(tmp_path / "parts"), strict=True):
        for name in ("loss", "grad_norm", "ratio_error", "entropy", "old_kl"):
            assert part[name] == pytest.approx(whole[name], rel=1e-4, abs=1e-7), name


def test_a_first_step_on_policy_is_minus_the_mean_advantage(inputs, grpo, tmp_path):
    """With a ratio of 1 GRPO's loss is the mean of the advantages, which add up to 0."""
    run = train(inputs, tmp_path / "run", *grpo, "algorithm.loss={'type': 'grpo'}", "max_steps=1")
    assert metrics(tmp_path / "run")[0]["loss"] == pytest.approx(0.0, abs=1e-6)
    assert run.trained_tokens == sum(column(tmp_path / "run", "trained_tokens"))
    assert metrics(tmp_path / "run")[0]["grad_norm"] > 0


def test_it_goes_on_in_the_middle_of_a_rollout(inputs, grpo, tmp_path):
    """Saved after each step, of which four are on one rollout: what follows is what would have."""
    more = [*grpo, "passes=2", "mini_batches=2", "max_steps=9", "lr=3e-3", "save_steps=1"]
    more += ["save_total_limit=20", "algorithm.kl_in_loss=0.05"]
    train(inputs, tmp_path / "whole", *more)
    rows = metrics(tmp_path / "whole")
    for step in (3, 4):
        checkpoint = tmp_path / "whole" / "checkpoints" / f"step_{step:06d}"
        train(inputs, tmp_path / f"rest {step}", *more, resume=str(checkpoint))
        for old, new in zip(rows[step:], metrics(tmp_path / f"rest {step}"), strict=True):
            for name in ("loss", "reward", "grad_norm", "kl", "answer_length", "drawn"):
                assert new.get(name) == old.get(name), (step, name)


def shared(inputs, work_dir, *further, config=CONFIG, before=()):
    """The same run on two processes."""
    words = ["train", config, "--work-dir", str(work_dir), *before, "--cfg-options"]
    said = work_dir.with_name(f"{work_dir.name} said")
    run_ranks("xtune.cli.process", [*words, *options(inputs), *further], said, 2)


def require_alike(one_dir, two_dir):
    for one, two in zip(metrics(one_dir), metrics(two_dir), strict=True):
        for name in ("reward", "answer_length", "answer_kl", "drawn"):
            assert (name in two) == (name in one)
            assert two.get(name, 0.0) == pytest.approx(one.get(name, 0.0), rel=1e-4), name
        for name in ("loss", "grad_norm", "ratio", "kl"):
            assert two[name] == pytest.approx(one[name], rel=1e-3, abs=1e-6), name


@pytest.mark.parametrize("config", [CONFIG, "custom_ppo_lora"])
def test_two_processes_sample_and_learn_what_one_does(config, inputs, grpo, tmp_path):
    more = [*grpo, f"rewards=[{{'type': '{OWN}:differs'}}]", "passes=2", "lr=3e-3"]
    more += ["max_length=64", "algorithm.kl_in_reward=0.1"]
    sheet = sheet_of(inputs, *more, config=config)
    Runner(sheet, work_dir=tmp_path / "one").train()
    shared(inputs, tmp_path / "two", *more, "strategy.type=DDPStrategy", config=config)
    require_alike(tmp_path / "one", tmp_path / "two")


@pytest.mark.slow
@pytest.mark.parametrize(
    "strategy",
    [
        ["strategy.type=FSDPStrategy"],
        ["--deepspeed", "deepspeed_zero2"],
        ["--deepspeed", "deepspeed_zero3"],
    ],
    ids=["fsdp", "zero2", "zero3"],
)
def test_a_policy_that_is_divided_learns_what_a_whole_one_does(strategy, inputs, grpo, tmp_path):
    more = [*grpo, f"rewards=[{{'type': '{OWN}:differs'}}]", "passes=2", "lr=3e-3"]
    more += ["max_length=64", "algorithm.kl_in_loss=0.05"]
    train(inputs, tmp_path / "one", *more)
    named = strategy if strategy[0].startswith("--") else []
    further = [] if named else strategy
    shared(inputs, tmp_path / "two", *more, *further, before=named)
    require_alike(tmp_path / "one", tmp_path / "two")


def test_a_critic_on_a_base_that_is_divided_is_refused(inputs, grpo, tmp_path):
    sheet = sheet_of(inputs, *grpo, "answers=1", config="custom_ppo_lora")
    run = Runner(sheet, work_dir=tmp_path / "run").train()
    assert "use DDPStrategy" in str(refusal_of(SHARDINGS["fsdp"], run.model))
    assert "use DDPStrategy" in str(refusal_of(SHARDINGS["zero2"], run.model))
    assert refusal_of(SHARDINGS["ddp"], run.model) is None


@pytest.mark.parametrize("advantage", ["grpo", "rloo", "reinforce_plus_plus"])
def test_all_weights_learn_what_is_rewarded(advantage, inputs, grpo, tmp_path):
    """An eighth of the vocabulary is worth something: a random model writes it now and then."""
    more = [f"advantage={{'type': '{advantage}'}}", f"rewards=[{{'type': '{OWN}:low'}}]"]
    more += ["lora=None", "answers=16", "prompts=6", "max_new_tokens=1", "max_steps=16", "lr=3e-2"]
    chosen = [one for one in (*options(inputs), *grpo, *more) if not one.startswith("lora.")]
    Runner(render(CONFIG, chosen), work_dir=tmp_path / "run").train()
    rewards = column(tmp_path / "run", "reward")
    assert rewards[0] < 0.3
    assert rewards[-1] == 1.0


def test_what_has_no_reward_teaches_nothing_and_is_counted_in_no_mean(inputs, grpo, tmp_path):
    more = [f"rewards=[{{'type': '{OWN}:half'}}]", "max_steps=1"]
    run = train(inputs, tmp_path / "run", *grpo, *more)
    (row,) = metrics(tmp_path / "run")
    assert row["reward"] == 1.0
    assert row["trained_tokens"] < 12 * row["answer_length"]
    assert run.step == 1


def test_prompts_without_signal_are_drawn_anew(inputs, grpo, tmp_path):
    """One answer in two is even: of two answers each second pair tells nothing."""
    train(inputs, tmp_path / "run", *grpo, "answers=2", "draws_for_signal=8", "max_steps=3")
    assert column(tmp_path / "run", "no_signal_share") == [0.0] * 3
    assert max(column(tmp_path / "run", "prompts_without_signal")) > 0
    assert column(tmp_path / "run", "drawn")[-1] > 9


def test_answers_that_were_cut_can_be_left_out(inputs, grpo, tmp_path):
    with pytest.raises(TrainingError, match="all were cut, and mask_unended leaves those out"):
        train(inputs, tmp_path / "run", *grpo, "mask_unended=True", "max_new_tokens=1", "seed=3")


def test_validation_prompts_have_a_reward(inputs, grpo, tmp_path):
    data = next(option for option in grpo if option.startswith("data_path"))
    more = [f"val_{data}", "evaluation_freq=2", "max_steps=4"]
    train(inputs, tmp_path / "run", *grpo, *more)
    found = column(tmp_path / "run", "val_reward")
    assert [reward is not None for reward in found] == [False, True, False, True]
    assert 0 <= found[-1] <= 1


@pytest.mark.parametrize(
    ("further", "error", "said"),
    [
        (["rewards=[]"], ConfigError, "no answer is better than another"),
        (["reward_weights=[1, 2]"], ConfigError, "2 numbers for 1 rewards"),
        (["reward_weights=[0]"], ConfigError, "one of them not 0"),
        (["answers=1"], ConfigError, "compares the answers to a prompt"),
        (["mini_batches=4"], ConfigError, "whose answers stay together"),
        (["passes=0"], ConfigError, "train_cfg.passes is 0"),
        (["algorithm.temperature=0"], ConfigError, "temperature"),
        (["algorithm.kl_in_loss=-1"], ConfigError, "kl_in_loss is -1"),
        ([f"rewards=[{{'type': '{OWN}:text'}}]"], TrainingError, "gives 'good' for an answer"),
    ],
)
def test_wrong_settings_are_named(further, error, said, inputs, grpo, tmp_path):
    with pytest.raises(error, match=said):
        train(inputs, tmp_path / "run", *grpo, *further)


def test_a_reward_that_fails_is_said_and_ends_the_run_in_the_end(inputs, grpo, tmp_path, caplog):
    both = f"rewards=[{{'type': '{OWN}:even'}}, {{'type': '{OWN}:fails'}}]"
    with pytest.raises(TrainingError, match="failed 20 times in a row"):
        train(inputs, tmp_path / "run", *grpo, both, "max_steps=30")
    rows = metrics(tmp_path / "run")
    assert len(rows) == 19
    assert rows[-1]["reward_failures"] == 19
    assert "reward_fails" not in rows[0]
    assert math.isfinite(rows[-1]["reward"])
    assert "reward fails fails with KeyError: 'level'" in caplog.text


def test_a_reward_that_hangs_scores_nothing(inputs, grpo, tmp_path, caplog):
    both = f"rewards=[{{'type': '{OWN}:even'}}, {{'type': '{OWN}:hangs'}}]"
    train(inputs, tmp_path / "run", *grpo, both, "train_cfg.reward_seconds=0.2", "max_steps=1")
    assert "it has not come back within 0.2 s" in caplog.text
    assert metrics(tmp_path / "run")[0]["reward_failures"] == 1


def test_rewards_that_are_all_equal_leave_the_weights_alone(inputs, grpo, tmp_path):
    run = train(inputs, tmp_path / "run", *grpo, f"rewards=[{{'type': '{OWN}:equal'}}]")
    assert column(tmp_path / "run", "no_signal_share") == [1.0] * 4
    assert column(tmp_path / "run", "grad_norm") == [0.0] * 4
    last = [value for name, value in run.llm.named_parameters() if "lora_B" in name]
    assert not any(torch.count_nonzero(value) for value in last)
