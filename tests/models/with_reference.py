"""An algorithm with a second model, which is not trained: as DPO on all weights has it."""

from __future__ import annotations

from xtune.models import Backbone, ModelPart, SupervisedFinetune


class WithReference(SupervisedFinetune):
    """Supervised fine-tuning that also tells how likely a reference finds the answers.

    Args:
        llm: as `SupervisedFinetune` takes it.
        ref: another model of the same tokens.
        adapter: of `llm`.
    """

    def __init__(self, llm, *, ref, adapter=None):
        super().__init__(llm, adapter=adapter)
        self.reference = Backbone(ref, frozen=True)
        self.ref = self.reference.model

    def forward(self, batch, *, normalizer):
        likely = self.reference.log_probs(batch, chunk_size=64).sum().detach()
        return {
            **super().forward(batch, normalizer=normalizer),
            "ref_log_prob": likely / normalizer,
        }

    def parts(self):
        return {**super().parts(), "ref": ModelPart(self.ref, saved_as=None)}

    def backbones(self):
        return [self.backbone, self.reference]
