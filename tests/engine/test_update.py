"""One optimizer step from given micro-batches, and loops that say where these come from."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import pytest
import torch

from tests.forked import Forked, run_ranks
from tests.runs import losses, metrics, options, sheet_of, train
from xtune.checkpoint.folder import list_checkpoints
from xtune.checkpoint.meta import write_meta
from xtune.engine.loops import Loop
from xtune.engine.runner import Runner
from xtune.errors import ConfigError, ModelError, TrainingError
from xtune.models import Algorithm, SupervisedFinetune
from xtune.models.algorithms.shares import require_shares

OWN = str(Path(__file__).parent / "pool_loop.py")
POOL = f"train_cfg={{'type': '{OWN}:PoolLoop', 'max_steps': 8}}"
PLAIN = ["lora.lora_dropout=0.0", "max_steps=3", "param_scheduler={'type': 'ConstantSchedule'}"]
ADAM = ["betas=(0.9, 0.999)", "weight_decay=0.0", "max_norm=0.5"]


def test_a_step_is_the_one_that_torch_would_take(inputs, tmp_path):
    """Sum of the losses, clipped gradients, AdamW: written out, on the loader's batches."""
    begun = train(inputs, tmp_path / "begun", *PLAIN, *ADAM, "lr=1e-12", "max_steps=1")
    ours = train(inputs, tmp_path / "ours", *PLAIN, *ADAM)
    weights = {n: p for n, p in begun.model.named_parameters() if p.requires_grad}
    optimizer = torch.optim.AdamW(weights.values(), lr=1e-2, betas=(0.9, 0.999), weight_decay=0.0)
    for row in metrics(tmp_path / "ours"):
        batches = begun.loader.step(row["step"] - 1)
        trained = sum(batch.trained_tokens for batch in batches)
        total = sum(begun.model(batch, normalizer=trained)["loss"] for batch in batches)
        total.backward()
        norm = torch.nn.utils.clip_grad_norm_(weights.values(), 0.5)
        optimizer.step()
        optimizer.zero_grad()
        assert row["loss"] == pytest.approx(total.item(), rel=1e-5)
        assert row["grad_norm"] == pytest.approx(norm.item(), rel=1e-3)
    for name, weight in ours.model.named_parameters():
        if weight.requires_grad:
            assert torch.allclose(weight, weights[name], atol=1e-4), name


def test_each_metric_is_the_same_however_a_step_is_split(inputs, tmp_path):
    """One micro-batch of 4 rows, 4 of one, and 2 of one on each of two processes."""
    own = [*PLAIN, f"model.type={OWN}:TwoMetrics", "lr=3e-4"]
    train(inputs, tmp_path / "1x4", *own, "batch_size=4", "accumulative_counts=1")
    run = train(inputs, tmp_path / "4x1", *own, "batch_size=1", "accumulative_counts=4")
    words = ["train", "custom_sft_lora", "--work-dir", str(tmp_path / "ranks"), "--cfg-options"]
    split = ["batch_size=1", "accumulative_counts=2", "strategy.type=DDPStrategy"]
    run_ranks("xtune.cli.process", [*words, *options(inputs), *own, *split], tmp_path / "said", 2)
    labels = [
        [id for batch in run.loader.step(step) for id in batch.labels[0].tolist() if id >= 0]
        for step in range(3)
    ]
    even = [sum(id % 2 == 0 for id in step) / len(step) for step in labels]
    for split in ("1x4", "4x1", "ranks"):
        rows = metrics(tmp_path / split)
        assert [row["even"] for row in rows] == pytest.approx(even, rel=1e-6), split
        assert [row["loss"] for row in rows] == pytest.approx(
            [loss for _, loss in losses(tmp_path / "4x1")], rel=1e-4
        )
    assert len(set(even)) == 3
    # What only some processes return is added up too, and the others add nothing
    for row in metrics(tmp_path / "ranks"):
        assert 0 < row["even_of_0"] < row["even"]
        assert row["even_of_0"] + row["even_of_1"] == pytest.approx(row["even"], rel=1e-6)
    for row in metrics(tmp_path / "4x1"):
        assert row["even_of_0"] == row["even"]
        assert "even_of_1" not in row


def test_a_step_without_micro_batches_is_refused_with_what_to_give(inputs, tmp_path):
    sheet = sheet_of(inputs, f"train_cfg={{'type': '{OWN}:Starved', 'max_steps': 8}}")
    with pytest.raises(TrainingError, match=r"step 1 has no micro-batches: .*collate\.filler"):
        Runner(sheet, work_dir=tmp_path).train()


def test_so_is_one_with_more_of_them_on_one_process_than_on_another(inputs, tmp_path):
    own = [*options(inputs), f"train_cfg={{'type': '{OWN}:Uneven', 'max_steps': 8}}"]
    words = ["train", "custom_sft_lora", "--work-dir", str(tmp_path / "run"), "--cfg-options"]
    said = r"step 1 has 3 micro-batches, [12] of them on this process of 2: a loop gives each as"
    with pytest.raises(AssertionError, match=said):
        run_ranks("xtune.cli.process", [*words, *own], tmp_path / "said", 2)


def test_a_loop_with_batches_of_its_own_is_killed_and_goes_on(inputs, tmp_path):
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    run = train(inputs, whole, POOL, "save_steps=3")
    assert run.step == 8
    assert run.loop.drawn == 3  # twice round
    assert run.tokens == 2 * sum(b.tokens for step in range(4) for b in run.loader.step(step))
    words = ["train", "custom_sft_lora", "--work-dir", str(cut), "--cfg-options"]
    kill = f"default_hooks.tensorboard={{'type': '{OWN}:KillOnceSaved'}}"
    own = [o for o in options(inputs) if "tensorboard" not in o]
    process = Forked(
        "xtune.cli.process", [*words, *own, POOL, "save_steps=3", kill], tmp_path / "said.txt"
    )
    said = process.communicate(timeout=120)[0]
    assert process.returncode == -signal.SIGKILL, said
    step, saved = list_checkpoints(cut / "checkpoints")[-1]
    drawn = json.loads((saved / "state/state.json").read_text())["loop"]
    assert (step, drawn) in [(3, {"drawn": 1}), (6, {"drawn": 7})]
    train(inputs, cut, POOL, "save_steps=3", resume="auto")
    assert losses(cut) == losses(whole)


def test_a_checkpoint_from_before_loops_had_state_resumes(inputs, tmp_path):
    whole = tmp_path / "whole"
    train(inputs, whole, "max_steps=4", "save_steps=2")
    older = whole / "checkpoints/step_000002"
    state = json.loads((older / "state/state.json").read_text())
    assert state.pop("loop") == {}
    (older / "state/state.json").write_text(json.dumps(state))
    (older / "meta.json").unlink()
    write_meta(older, step=2)
    train(inputs, tmp_path / "next", "max_steps=4", "save_steps=2", resume=str(older))
    assert losses(tmp_path / "next") == losses(whole)[2:]


def test_what_is_no_loop_is_refused_before_anything_is_loaded(inputs, tmp_path):
    sheet = sheet_of(inputs, f"train_cfg={{'type': '{OWN}:KillOnceSaved'}}")
    with pytest.raises(ConfigError, match="KillOnceSaved is no Loop.*Derive it from xtune's"):
        Runner(sheet, work_dir=tmp_path).train()


class HalfALoop(Loop):
    """Forgets to say how many steps there are."""

    def run(self, run):
        pass


class HalfAStep(HalfALoop):
    """Says that there are two and a half."""

    accumulative_counts = 1

    def total_steps(self, steps_per_epoch):
        return 2.5


class ForgetsParts(SupervisedFinetune):
    """No checkpoint would know what to hold of it."""

    parts = Algorithm.parts


@pytest.mark.parametrize(
    ("option", "said"),
    [
        ("train_cfg={'type': 'HERE:HalfALoop'}", "HalfALoop does not define total_steps"),
        (
            "train_cfg={'type': 'HERE:HalfAStep'}",
            r"HalfAStep.total_steps gives 2\.5; it is a",
        ),
        ("model.type=HERE:ForgetsParts", "ForgetsParts does not define parts, which its base"),
    ],
)
def test_what_lacks_a_method_is_refused_before_anything_is_loaded(inputs, tmp_path, option, said):
    sheet = sheet_of(inputs, option.replace("HERE", __file__))
    with pytest.raises(ConfigError, match=said):
        Runner(sheet, work_dir=tmp_path).train()


LOSS = torch.tensor(1.0, requires_grad=True)


@pytest.mark.parametrize(
    ("outputs", "said"),
    [
        (LOSS, "Mine.forward returns tensor(1., requires_grad=True); it is a dict with the tensor"),
        ({"los": LOSS}, "Mine.forward returns a dict of los; it is a dict with the tensor 'loss'"),
        ({"loss": LOSS, "right": 0.5}, "returns 0.5 as 'right'; it is a tensor without dimensions"),
        ({"loss": LOSS, "right": torch.zeros(1, 3)}, "returns a tensor [1, 3] as 'right'"),
        ({"loss": LOSS, "lr": torch.tensor(0.5)}, "returns 'lr', which means something else"),
        ({"loss": LOSS.detach()}, "the 'loss' that Mine.forward returns has no gradient"),
    ],
)
def test_what_is_no_share_of_a_sum_is_said(outputs, said):
    with pytest.raises(ModelError) as caught:
        require_shares("Mine", outputs, taken={"step", "lr"})
    assert said in str(caught.value)
