"""Two models in one process: one that is trained, one that is only placed; under each strategy.

python -m tests.engine.two_models MODEL FOLDER     in each process of a run; writes FOLDER/*.json
"""

from __future__ import annotations

import json
import os
import sys
import traceback
from fractions import Fraction
from functools import partial
from pathlib import Path

import torch

from tests.integration.local_bytes import local_bytes
from tests.models.packs import pack, random_documents
from xtune.models import SupervisedFinetune, build_model
from xtune.optim.optimizers import build_optimizer
from xtune.parallel.world import join, leave, world_of_environment
from xtune.registry import STRATEGIES, build

__all__ = ["LORA", "STRATEGIES_OF_TWO", "measure", "stepper"]

LORA = {"type": "LoraConfig", "r": 4, "target_modules": ["q_proj", "v_proj", "down_proj"]}
STRATEGIES_OF_TWO = {
    "ddp": {"type": "DDPStrategy"},
    "zero2": {"type": "DeepSpeedStrategy", "config": "deepspeed_zero2"},
    "zero3": {"type": "DeepSpeedStrategy", "config": "deepspeed_zero3"},
    "fsdp": {"type": "FSDPStrategy"},
}
DOCUMENTS = [9, 14, 5]


class Telling(SupervisedFinetune):
    """Also gives the logits that its loss is computed from."""

    def forward(self, batch, *, normalizer):
        return {**super().forward(batch, normalizer=normalizer), "logits": self.logits(batch)}

    def logits(self, batch):
        return self.backbone.head.logits(self.backbone.hidden_states(batch)[0]).detach()


def measure(model: str, strategy: dict, adapter: dict | None) -> dict:
    """Train two steps next to a model that is placed; return what the test compares."""
    trained, placed = (build(STRATEGIES, {**strategy, "precision": "bf16"}) for _ in range(2))
    llm = {"type": "CausalLM", "pretrained_model_name_or_path": model}

    def built(of, adapter, dtype="auto"):
        own = llm if of.divides_state else {**llm, "dtype": dtype}
        settings = {"type": Telling, "llm": own, **({"adapter": adapter} if adapter else {})}
        return build_model(
            settings, device=of.loads_on, precision=of.precision, as_stored=of.divides_state
        )

    torch.manual_seed(0)
    own, other = built(trained, adapter), built(placed, None, "bfloat16")
    whole = sum(p.numel() * p.element_size() for p in other.parameters())
    if whole and next(other.parameters()).dtype == torch.float32:
        whole //= 2  # a divided one is placed in bf16
    batch = pack(random_documents(DOCUMENTS))
    normalizer = batch.trained_tokens * trained.world.size
    trained.prepare(
        own, partial(build_optimizer, cfg={"type": "AdamW", "lr": 1e-2}, paramwise_cfg=None)
    )
    placed.place(other)
    held = local_bytes(other.parameters())
    found: dict = {"same": [], "losses": [], "placed": []}
    for _ in range(2):
        there = batch.to(placed.device)
        # whatever it returns is handed on, also what has no __dict__ to look into
        assert trained.run_apart(lambda: Fraction(1, 3)) == Fraction(1, 3)
        apart = trained.run_apart(partial(own.logits, there))
        reference = placed.run_apart(partial(other.logits, there))
        outputs = trained.forward(batch, normalizer=normalizer)
        found["same"].append(torch.equal(apart, outputs["logits"]))
        found["losses"].append(outputs["loss"].item())
        trained.backward(outputs["loss"])
        trained.clip_grad_norm(1.0)
        trained.step(1.0)
        alike = placed.forward(batch, normalizer=1.0)["logits"]
        found["placed"].append([torch.equal(reference, alike), reference.double().sum().item()])
        found["formats"] = sorted({str(one.dtype) for one in (apart, outputs["logits"], alike)})
    found["held"] = held / whole
    found["trained parameters of the placed"] = sum(p.requires_grad for p in other.parameters())
    placed.close()
    found["flushed after the first close"] = (torch.tensor([1e-40]) * 1.0).item() == 0
    found["loss after it"] = trained.forward(batch, normalizer=normalizer)["loss"].item()
    trained.close()
    found["flushed after both"] = (torch.tensor([1e-40]) * 1.0).item() == 0
    return found


def stepper(model: str, adapter: dict | None):
    """Return what does one step on this process and gives its loss, and what closes it."""
    strategy = build(STRATEGIES, {"type": "SingleStrategy", "precision": "fp32"})
    torch.manual_seed(0)
    llm = {"type": "CausalLM", "pretrained_model_name_or_path": model}
    own = build_model(
        {"type": "SupervisedFinetune", "llm": llm, **({"adapter": adapter} if adapter else {})},
        device=strategy.loads_on,
        precision=strategy.precision,
    )
    batch = pack(random_documents(DOCUMENTS))
    cfg = {"type": "AdamW", "lr": 1e-2}
    strategy.prepare(own, partial(build_optimizer, cfg=cfg, paramwise_cfg=None))

    def step() -> float:
        loss = strategy.forward(batch, normalizer=batch.trained_tokens)["loss"]
        strategy.backward(loss)
        strategy.clip_grad_norm(1.0)
        strategy.step(1.0)
        return loss.item()

    return step, strategy.close


def main(model: str, folder: Path) -> None:
    """Measure every strategy, with an adapter and without, in this process of a run."""
    torch.set_num_threads(1)
    world = world_of_environment()
    join(world)
    for name, strategy in STRATEGIES_OF_TWO.items():
        for method, adapter in {"lora": LORA, "full": None}.items():
            try:
                found = measure(model, strategy, adapter)
            except BaseException:  # the others would wait for this process
                traceback.print_exc()
                os._exit(1)
            file = folder / f"{name}.{method}.rank{world.rank}.json"
            file.write_text(json.dumps(found))
    leave(all_are_done=True)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
