"""Actor and critic: the policy learns from advantages that a critic makes, and the critic learns.

    actor     the policy, `llm`: what comes out of the run
    critic    what it expects of an answer before each of its tokens, a score
    reward    a reward model on the same base, if the rewards are its scores

Where an adapter is trained all of them, and the reference, are adapters on one frozen base: see
`xtune.models.shared_base`. Where every weight is, the critic is a model of its own.

Shapes: T positions of a row.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import torch
from torch import Tensor, nn

from xtune.errors import ConfigError
from xtune.losses.policy import PolicyLoss
from xtune.losses.policy.value import value_losses
from xtune.models.algorithms.backbone import Backbone
from xtune.models.algorithms.base import ModelPart
from xtune.models.algorithms.policy import PolicyOptimization
from xtune.models.algorithms.reward import with_head
from xtune.models.scores import scores_of
from xtune.models.sequence_classifier import is_classifier
from xtune.models.shared_base import TrainedWeights, shared_classifier
from xtune.parallel.slices import share_of_step, sum_by_document
from xtune.registry import MODELS, POLICY_LOSSES
from xtune.structures import Batch
from xtune.vectors import Vector, declare

if TYPE_CHECKING:
    from peft import PeftConfig
    from transformers import PreTrainedModel

__all__ = ["OLD_VALUE", "RETURNS", "ActorCritic"]

# What the critic expected before a token of a sampled answer, and what it is to learn
OLD_VALUE = declare(Vector("old_value", "label"))
RETURNS = declare(Vector("returns", "label"))


@MODELS.register_module()
class ActorCritic(PolicyOptimization):
    """PPO's two models, with one optimizer (Schulman et al., 2017; Stiennon et al., 2020).

    Next to `PolicyOptimization`'s metrics, of which `loss` is the sum of both: `policy_loss`,
    `value_loss`, means over tokens; `value`, what the critic expects; `value_clip`, the share of
    tokens whose loss its clip decides.

    Args:
        llm, loss, kl_in_loss, kl_in_reward, temperature, ref, adapter, loss_chunk_size,
            gradient_checkpointing, activation_offload, fused: as `PolicyOptimization` takes them.
        critic: a model of its own, `dict(type='SequenceClassifier', …)` in a sheet, of which every
            weight is trained; None: an adapter on the policy's base.
        critic_start: the run or folder of a reward model's adapter, as which the critic's begins;
            None: a new one, and a new head.
        reward_model: the run or folder of a reward model's adapter, whose scores are a reward.
        value_weight: of the critic's loss.
        value_clip: how far what the critic expects may move in an iteration, in units of the
            return; None: however far.

    Raises:
        ConfigError: every weight is trained and no `critic` is named, or one that does not score.
        ModelError, AdapterError: see `Backbone`.
    """

    def __init__(
        self,
        llm: PreTrainedModel,
        *,
        loss: Annotated[PolicyLoss, POLICY_LOSSES],
        critic: PreTrainedModel | None = None,
        critic_start: str | None = None,
        reward_model: str | None = None,
        value_weight: float = 0.1,
        value_clip: float | None = 0.2,
        kl_in_loss: float = 0.0,
        kl_in_reward: float = 0.05,
        temperature: float = 1.0,
        ref: PreTrainedModel | None = None,
        adapter: PeftConfig | None = None,
        loss_chunk_size: int = 256,
        gradient_checkpointing: bool | int | Literal["auto"] = False,
        activation_offload: bool = False,
        fused: bool = True,
    ) -> None:
        _require_values(value_weight, value_clip)
        shares = adapter is not None or hasattr(llm, "peft_config")
        folders = [name for name in (critic_start, reward_model) if name is not None]
        _require_critic(named=critic is not None, shares=shares, folders=folders)
        own: Any = llm
        config: Any = own.peft_config[own.active_adapter] if adapter is None and shares else adapter
        # Before the policy gets its adapter, and its layers are put together with it
        lent = shared_classifier(llm) if shares else None
        judge = shared_classifier(llm) if reward_model is not None else None
        super().__init__(
            llm,
            loss=loss,
            kl_in_loss=kl_in_loss,
            kl_in_reward=kl_in_reward,
            temperature=temperature,
            ref=ref,
            adapter=adapter,
            loss_chunk_size=loss_chunk_size,
            gradient_checkpointing=gradient_checkpointing,
            activation_offload=activation_offload,
            fused=fused,
        )
        settings: dict[str, Any] = {
            "gradient_checkpointing": gradient_checkpointing,
            "activation_offload": activation_offload,
            "fused": fused,
        }
        self.shares_base = lent is not None
        if lent is not None:
            self.critic_backbone = _critic(lent, copy.deepcopy(config), critic_start, settings)
            self.critic: nn.Module = TrainedWeights(self.critic_backbone.model)
        else:
            assert critic is not None
            if not is_classifier(critic):
                raise ConfigError(
                    "the critic scores answers: set model.critic.type='SequenceClassifier'"
                )
            self.critic_backbone = Backbone(critic, **settings)
            self.critic = self.critic_backbone.model
        self.judge, self.shift = None, 0.0
        if judge is not None:
            assert reward_model is not None
            self.judge, self.shift = _judge(judge, reward_model, fused=fused)
        self.value_weight = value_weight
        self.value_clip = value_clip
        self.trains_policy = True  # a loop lets the critic learn alone at first
        self.train(self.llm.training)

    def forward(self, batch: Batch, *, normalizer: float) -> dict[str, Tensor]:
        """Compute the loss of one micro-batch of answers; see `Algorithm`.

        Args:
            batch: as `PolicyOptimization.forward` takes it, with `old_value` and `returns`.
            normalizer: as there.
        """
        outputs = super().forward(batch, normalizer=normalizer)
        values = self.values(batch)
        old, returns = (batch.per_token[name][0] for name in ("old_value", "returns"))
        losses, clipped = value_losses(values, old, returns, clip=self.value_clip)
        step = self.surveyed or self._counted([batch])
        scale = share_of_step(batch, normalizer) * step["weight"] / (step["tokens"] or 1)
        trained = batch.labels[0] >= 0

        def mean(numbers: Tensor) -> Tensor:
            return sum_by_document(numbers.masked_fill(~trained, 0.0), batch).sum() * scale

        value_loss = mean(losses)
        policy_loss = outputs["loss"]
        # Without the policy its weights have a gradient of 0: all that is trained must have one
        total = policy_loss if self.trains_policy else 0.0 * policy_loss
        outputs["loss"] = total + self.value_weight * value_loss
        outputs |= {"policy_loss": policy_loss.detach(), "value_loss": value_loss.detach()}
        with torch.no_grad():
            outputs |= {"value": mean(values), "value_clip": mean(clipped.float())}
        return outputs

    def values(self, batch: Batch) -> Tensor:
        """Return what the critic expects where each label is to be written, fp32 [T].

        Args:
            batch: on the device.
        """
        return scores_of(self.critic_backbone, batch).scores[0, :, 0]

    def reward_scores(self, batch: Batch) -> Tensor:
        """Return for each position the reward model's score of the text up to its label, fp32 [T].

        At an answer's last label that is the score of the whole answer.

        Args:
            batch: on the device.
        """
        assert self.judge is not None
        return scores_of(self.judge, batch).scores[0, :, 0].roll(-1)

    def parts(self) -> dict[str, ModelPart]:
        """Return the policy, its reference if it is a model of its own, and the critic."""
        parts = super().parts()
        if hasattr(self, "critic"):  # a policy alone asks for its parts while it is built
            parts["critic"] = ModelPart(self.critic, saved_as="weights")
        return parts

    def backbones(self) -> list[Backbone]:
        """Return the policy's, the reference's, the critic's."""
        return [*super().backbones(), self.critic_backbone]

    def train(self, mode: bool = True) -> ActorCritic:
        """Switch to training; a critic on the policy's base is no module of this one's."""
        super().train(mode)
        if (critic := getattr(self, "critic_backbone", None)) is not None:
            critic.model.train(mode)
            for module in critic.model.modules():
                if isinstance(module, nn.Dropout):
                    module.eval()
        return self

    def example(self, lengths: Sequence[int], *, trained: int) -> Batch:
        """Return answers without meaning; see `Algorithm`.

        Args: as `Algorithm.example`.
        """
        batch = super().example(lengths, trained=trained)
        for name in ("old_value", "returns"):
            batch.per_token[name] = torch.full(batch.labels.shape, 0.5)
        return batch

    @classmethod
    def require_settings(cls, settings: Mapping[str, Any]) -> None:  # noqa: D102
        super().require_settings({"kl_in_reward": 0.05, **settings})
        _require_values(settings.get("value_weight", 0.1), settings.get("value_clip", 0.2))
        adapters = (settings.get(key) for key in ("adapter", "adapter_folder"))
        folders = (settings.get(key) for key in ("critic_start", "reward_model"))
        _require_critic(
            named=settings.get("critic") is not None,
            shares=any(one is not None for one in adapters),
            folders=[one for one in folders if one is not None],
        )


def _critic(
    lent: PreTrainedModel, config: PeftConfig, start: str | None, settings: dict[str, Any]
) -> Backbone:
    """A critic on lent layers: a new adapter and head, or those of a reward model."""
    if start is None:
        backbone = Backbone(lent, adapter=with_head(lent, config), **settings)
        head: Any = backbone.head.module
        # What it expects begins at 0, whatever the answer
        for parameter in head.parameters():
            if parameter.requires_grad and not parameter.is_meta:
                nn.init.zeros_(parameter)
        return backbone
    from xtune.models.adapters import load_adapter  # imports PEFT

    begun: Any = load_adapter(lent, _adapter_in(start), is_trainable=True)
    return Backbone(begun, **settings)


def _judge(lent: PreTrainedModel, given: str, *, fused: bool) -> tuple[Backbone, float]:
    """A reward model on lent layers, and what is subtracted from its scores."""
    from xtune.models.adapters import load_adapter  # imports PEFT

    folder = _adapter_in(given)
    notes = folder / "xtune.json"
    said = json.loads(notes.read_text(encoding="utf-8")) if notes.is_file() else {}
    reward = said.get("reward") or {}
    if reward.get("kind", "reward") != "reward" or reward.get("reading", "end") != "end":
        raise ConfigError(
            f"reward_model={given!r} is a {reward.get('kind')} model whose score is read at "
            f"{reward.get('reading')!r}: a reward is the score of an answer's last token. Train "
            "one with reading='end' and a loss of rewards"
        )
    loaded: Any = load_adapter(lent, folder)
    backbone = Backbone(loaded, frozen=True, fused=fused)
    return backbone, float(reward.get("shift") or 0.0)


def _adapter_in(given: str) -> Path:
    """The adapter of a run, a checkpoint, or the folder itself."""
    folder = Path(given).expanduser()
    for place in (folder, folder / "adapter", folder / "checkpoints" / "latest" / "adapter"):
        if (place / "adapter_config.json").is_file():
            return place
    raise ConfigError(
        f"{given!r} holds no adapter of a reward model; train one first: xtune train "
        "smollm2_135m_reward_lora, and name its work_dir"
    )


def _require_values(weight: float, clip: float | None) -> None:
    if not weight > 0:
        raise ConfigError(f"value_weight is {weight}; it is above 0, or the critic learns nothing")
    if clip is not None and not clip > 0:
        raise ConfigError(f"value_clip is {clip}; it is above 0, or None for no clip")


def _require_critic(*, named: bool, shares: bool, folders: Sequence[str]) -> None:
    if named and shares:
        raise ConfigError(
            "the policy trains an adapter, and its critic is one on the same base: leave `critic` "
            "out; critic_start names a reward model that it begins as"
        )
    if not named and not shares:
        raise ConfigError(
            "every weight of the policy is trained, so that its critic is a model of its own: name "
            "it, algorithm=dict(type='ActorCritic', critic=dict(type='SequenceClassifier', "
            "pretrained_model_name_or_path=…)), best a reward model"
        )
    if named and folders:
        raise ConfigError(
            "critic_start and reward_model are adapters on the policy's frozen base, and every "
            "weight of it is trained: a critic begins as what `critic` names, and a reward model "
            "is a reward: rewards=[dict(type='reward_model', model=…)]"
        )
