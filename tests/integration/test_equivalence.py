"""What must not change a run: how a step is split, which copy of a config it starts from."""

from functools import partial

import pytest
import torch

from tests.runs import losses, options, sheet_of, train
from xtune.config import render
from xtune.data.loader import StepLoader
from xtune.engine.build import build_datasets
from xtune.engine.rng import seed_everything
from xtune.engine.runner import Runner
from xtune.engine.strategies.single import SingleStrategy
from xtune.models import load_tokenizer
from xtune.models.build import build_model
from xtune.optim.optimizers import build_optimizer


@pytest.fixture(scope="module")
def prepared(inputs):
    """A strategy with a model whose adapter is no longer zero, and the data."""
    cfg = sheet_of(inputs, "lora.lora_dropout=0.0").values
    data, _ = build_datasets(cfg, load_tokenizer(**cfg["tokenizer"]))
    strategy = SingleStrategy(precision="fp32", device="cpu")
    seed_everything(0)
    model = build_model(cfg["model"], device="cpu", precision=strategy.precision)
    strategy.prepare(model, partial(build_optimizer, cfg=cfg["optimizer"]))
    for parameter in strategy.trainable.values():
        torch.nn.init.normal_(parameter, std=0.05)
    yield strategy, data
    strategy.close()


def _loss_and_gradients(strategy, batches):
    trained = sum(batch.trained_tokens for batch in batches)
    total = 0.0
    for batch in batches:
        outputs = strategy.forward(batch, normalizer=trained)
        strategy.backward(outputs["loss"])
        total += outputs["loss"].item()
    gradients = {name: p.grad.clone() for name, p in strategy.trainable.items()}
    strategy.optimizer.zero_grad()
    return total, gradients


@pytest.mark.parametrize("split", [[[0], [1], [2], [3]], [[0, 1], [2, 3]], [[3, 0, 2], [1]]])
def test_any_split_of_the_same_documents_gives_the_same_loss_and_gradients(prepared, split):
    strategy, data = prepared
    whole_loss, whole = _loss_and_gradients(strategy, [data.batch([0, 1, 2, 3])])
    loss, gradients = _loss_and_gradients(strategy, [data.batch(part) for part in split])
    assert loss == pytest.approx(whole_loss, rel=1e-6)
    assert whole_loss > 1
    for name, gradient in gradients.items():
        torch.testing.assert_close(gradient, whole[name], atol=1e-6, rtol=1e-4)


def test_batch_size_and_accumulation_share_out_the_same_items(prepared):
    _, data = prepared
    loaders = [
        StepLoader(data, batch_size=size, accumulative_counts=count, seed=1)
        for size, count in ((4, 1), (2, 2), (1, 4))
    ]
    items = [
        [sorted(sum(loader.items(step), [])) for step in range(2 * loader.steps_per_epoch)]
        for loader in loaders
    ]
    assert items[0] == items[1] == items[2]


def test_leaf_flat_copy_and_recorded_config_give_the_same_run(inputs, tmp_path):
    few = "max_steps=4"
    train(inputs, tmp_path / "leaf", few)
    copy = tmp_path / "my_copy.py"
    copy.write_text(render("custom_sft_lora").text)
    Runner(render(copy, [*options(inputs), few]), work_dir=tmp_path / "copy").train()
    recorded = tmp_path / "leaf" / "config.py"
    Runner(render(recorded), work_dir=tmp_path / "recorded").train()
    assert len(losses(tmp_path / "leaf")) == 4
    assert losses(tmp_path / "leaf") == losses(tmp_path / "copy") == losses(tmp_path / "recorded")
    assert (tmp_path / "recorded" / "config.py").read_text() == recorded.read_text()
