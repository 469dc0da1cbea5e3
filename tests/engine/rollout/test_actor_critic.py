"""PPO: whole runs with a critic, on a tiny model with random weights."""

from __future__ import annotations

import pytest
import torch

from tests.engine.rollout.conftest import OWN
from tests.runs import metrics, options, sheet_of
from xtune.config import render
from xtune.engine.runner import Runner
from xtune.errors import ConfigError

CONFIG = "custom_ppo_lora"


@pytest.fixture
def ppo(grpo):
    """The small run's options, with 6 prompts and an answer to each."""
    return [*grpo, "answers=1", "prompts=6", "passes=2", "max_steps=4", "lr=3e-3"]


def train(inputs, work_dir, *further, resume=None):
    sheet = sheet_of(inputs, *further, config=CONFIG)
    return Runner(sheet, work_dir=work_dir, resume=resume).train()


def column(work_dir, name):
    return [row.get(name) for row in metrics(work_dir)]


def test_the_critic_is_an_adapter_on_the_policys_own_base(inputs, ppo, tmp_path):
    """Bytes of a base in memory once; and what is trained of each is its own."""
    run = train(inputs, tmp_path / "run", *ppo)
    policy = {id(p): p for p in run.llm.parameters()}
    critic = {
        id(p): p
        for name, p in run.model.critic_backbone.model.named_parameters()
        if "original_module" not in name  # the head that PEFT keeps a copy of
    }
    shared = policy.keys() & critic.keys()
    base = sum(policy[one].nbytes for one in shared)
    own = [p for one, p in critic.items() if one not in shared]
    assert all(not policy[one].requires_grad for one in shared)
    assert all(p.requires_grad for p in own)
    assert {id(p) for p in run.model.critic.parameters()} == {id(p) for p in own}
    assert sum(p.nbytes for p in own) < base / 2
    assert sum(p.nbytes for p in run.llm.parameters() if not p.requires_grad) == base


def test_at_first_policy_and_reference_are_one_and_the_critic_expects_nothing(
    inputs, ppo, tmp_path
):
    train(inputs, tmp_path / "run", *ppo)
    first = metrics(tmp_path / "run")[0]
    assert first["ratio_error"] == first["answer_kl"] == first["value"] == 0.0
    assert first["explained_variance"] == 0.0
    # half of the mean square of the returns, which are the rewards of each answer's tokens
    assert first["value_loss"] > 0
    assert column(tmp_path / "run", "value")[-1] != 0.0


def test_a_step_is_the_same_however_it_is_split(inputs, ppo, tmp_path):
    train(inputs, tmp_path / "whole", *ppo, "batch_size=8")
    train(inputs, tmp_path / "parts", *ppo, "max_length=64")
    for whole, part in zip(metrics(tmp_path / "whole"), metrics(tmp_path / "parts"), strict=True):
        for name in ("loss", "policy_loss", "value_loss", "value", "grad_norm", "old_kl"):
            assert part[name] == pytest.approx(whole[name], rel=1e-4, abs=1e-6), name


def test_it_goes_on_in_the_middle_of_a_rollout(inputs, ppo, tmp_path):
    more = [*ppo, "max_steps=6", "save_steps=1", "save_total_limit=9", "kl_target=0.1"]
    train(inputs, tmp_path / "whole", *more)
    checkpoint = tmp_path / "whole" / "checkpoints" / "step_000003"
    assert (checkpoint / "critic" / "weights.safetensors").is_file()
    train(inputs, tmp_path / "rest", *more, resume=str(checkpoint))
    rows = metrics(tmp_path / "whole")[3:]
    for old, new in zip(rows, metrics(tmp_path / "rest"), strict=True):
        for name in ("loss", "reward", "value_loss", "grad_norm", "kl_weight", "answer_kl"):
            assert new.get(name) == old.get(name), name


def test_the_critic_warms_up_while_the_policy_stays(inputs, ppo, tmp_path):
    run = train(inputs, tmp_path / "run", *ppo, "train_cfg.critic_warmup=2")
    last = [value for name, value in run.llm.named_parameters() if "lora_B" in name]
    assert not any(torch.count_nonzero(value) for value in last)
    assert column(tmp_path / "run", "value_loss")[1] < column(tmp_path / "run", "value_loss")[0]
    assert column(tmp_path / "run", "ratio") == [1.0] * 4


def test_all_weights_learn_what_is_rewarded(inputs, ppo, tmp_path):
    """Its critic is a model of its own, made of the same checkpoint."""
    critic = {"type": "SequenceClassifier", "pretrained_model_name_or_path": str(inputs.model)}
    more = [f"rewards=[{{'type': '{OWN}:low'}}]", "lora=None", f"algorithm.critic={critic}"]
    ref = {**critic, "type": "CausalLM"}
    more += [f"algorithm.ref={ref}"]
    more += ["algorithm.kl_in_reward=0.0001", "prompts=96", "passes=1", "max_new_tokens=1"]
    more += ["max_steps=30", "lr=2e-2", "unended_reward=None"]
    chosen = [one for one in (*options(inputs), *ppo, *more) if not one.startswith("lora.")]
    Runner(render(CONFIG, chosen), work_dir=tmp_path / "run").train()
    rewards = column(tmp_path / "run", "reward")
    assert rewards[0] < 0.3
    assert rewards[-1] > 0.9


@pytest.mark.parametrize(
    ("further", "said"),
    [
        (["advantage={'type': 'grpo'}", "answers=2"], "only algorithm=dict"),
        (["algorithm.value_weight=0"], "the critic learns nothing"),
        (["algorithm.value_clip=-1"], "value_clip is -1"),
        (["algorithm.critic_start=/nowhere"], "holds no adapter of a reward model"),
        (["unended_reward=1.0", "train_cfg.unended_penalty=1.0"], "give one of them"),
        (["reward_clip=0"], "reward_clip is 0"),
    ],
)
def test_wrong_settings_are_named(further, said, inputs, ppo, tmp_path):
    with pytest.raises(ConfigError, match=said):
        train(inputs, tmp_path / "run", *ppo, *further)
