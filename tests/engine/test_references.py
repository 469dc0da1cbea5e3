"""What a policy is held against in whole runs: an adapter's own start, and what was precomputed."""

from __future__ import annotations

import json
import math
import shutil

import numpy as np
import pytest
from safetensors.torch import load_file

from tests.engine.test_preference import SMALL
from tests.runs import losses, metrics, sheet_of
from tests.runs import train as train_sft
from tests.tiny import write_tiny_llama
from xtune.engine.dry_run import make_plan
from xtune.engine.runner import Runner
from xtune.errors import AdapterError, ConfigError
from xtune.models.algorithms.with_reference import ReferencePass

STEPS = ["max_steps=4", "save_steps=2", "batch_size=4", "lr=1e-2"]
PRECOMPUTED = "algorithm.precompute_reference=True"


def train(inputs, folder, *further, resume=None, config="custom_dpo_lora"):
    pairs = f"data_path={inputs.data.with_name('pairs.jsonl')}"
    sheet = sheet_of(inputs, pairs, *SMALL, *STEPS, *further, config=config)
    return Runner(sheet, work_dir=folder, resume=resume).train()


@pytest.fixture(scope="module")
def first(inputs, tmp_path_factory):
    """An adapter of a run of supervised fine-tuning."""
    work_dir = tmp_path_factory.mktemp("first") / "first"
    train_sft(inputs, work_dir, "max_steps=6", "lora.lora_dropout=0.0")
    return work_dir


def test_an_adapter_that_goes_on_begins_at_ln_2_and_keeps_that_start(inputs, first, tmp_path):
    own = tmp_path / "sft"  # a copy: it is changed below
    shutil.copytree(first / "checkpoints" / "step_000006" / "adapter", own)
    train(inputs, tmp_path / "whole", f"adapter={own}")
    rows = metrics(tmp_path / "whole")
    assert rows[0]["loss"] == pytest.approx(math.log(2), abs=1e-6)
    assert abs(rows[3]["loss"] - math.log(2)) > 1e-3
    step = tmp_path / "whole" / "checkpoints" / "step_000002"
    saved = load_file(step / "adapter" / "adapter_model.safetensors")
    assert saved.keys() == load_file(own / "adapter_model.safetensors").keys()
    train(inputs, tmp_path / "rest", f"adapter={own}", resume=str(step))
    assert losses(tmp_path / "rest") == losses(tmp_path / "whole")[-2:]
    shutil.copytree(step / "adapter", own, dirs_exist_ok=True)
    with pytest.raises(AdapterError, match="this run began with is its reference, and .*sft/"):
        train(inputs, tmp_path / "other", f"adapter={own}", resume=str(step))


@pytest.fixture
def cache(monkeypatch, tmp_path):
    """A cache of the test's own; what is in it of references."""
    monkeypatch.setenv("XTUNE_CACHE", str(tmp_path / "cache"))
    return lambda: sorted((tmp_path / "cache" / "reference").glob("*"))


def closely(one, other):
    for own, wanted in zip(metrics(one), metrics(other), strict=True):
        assert ("val_loss" in own) == ("val_loss" in wanted)
        for name in {"loss", "grad_norm", "kl", "reward_margin", "val_loss"} & wanted.keys():
            assert own[name] == pytest.approx(wanted[name], rel=1e-4, abs=1e-5), name


def test_what_was_precomputed_trains_as_what_is_asked_in_each_step(
    inputs, tmp_path, cache, monkeypatch
):
    """With a new adapter, dropout and validation data; the second time nothing is computed."""
    pairs = inputs.data.with_name("pairs.jsonl")
    more = ["lora.lora_dropout=0.1", f"val_data_path={pairs}", "pack_to_max_length=True"]
    train(inputs, tmp_path / "online", *more)
    run = train(inputs, tmp_path / "before", *more, PRECOMPUTED)
    closely(tmp_path / "before", tmp_path / "online")
    assert run.model.ref is None is run.model.reference
    (file,) = cache()  # training and validation data are the same
    values = np.load(file)
    assert values.shape == (96,)
    assert (values < 0).all()
    passes = []
    monkeypatch.setattr(ReferencePass, "sums", lambda *_: passes.append(1))
    train(inputs, tmp_path / "again", *more, PRECOMPUTED)
    assert not passes
    assert losses(tmp_path / "again") == losses(tmp_path / "before")


def test_of_an_adapter_that_goes_on_it_is_the_adapter_as_it_began(inputs, first, tmp_path, cache):
    train(inputs, tmp_path / "online", f"adapter={first}")
    train(inputs, tmp_path / "before", f"adapter={first}", PRECOMPUTED)
    closely(tmp_path / "before", tmp_path / "online")
    step = tmp_path / "before" / "checkpoints" / "step_000002"
    for file in cache():  # computed anew, of the adapter that the run began with
        file.unlink()
    train(inputs, tmp_path / "rest", f"adapter={first}", PRECOMPUTED, resume=str(step))
    assert losses(tmp_path / "rest") == losses(tmp_path / "before")[-2:]


def test_where_every_weight_is_trained_no_second_model_need_be_named(inputs, tmp_path, cache):
    every = ["lora=None", "lr=1e-3"]
    same = {"type": "CausalLM", "pretrained_model_name_or_path": str(inputs.model)}
    loss = {"type": "sigmoid"}
    named = {"type": "PreferenceOptimization", "loss": loss, "ref": same, "ld_alpha": 0.5}
    small = [o for o in SMALL if not o.startswith("lora.")]

    def full(folder, algorithm):
        pairs = f"data_path={inputs.data.with_name('pairs.jsonl')}"
        sheet = sheet_of(inputs, pairs, *small, *STEPS, *every, f"algorithm={algorithm!r}",
                         config="custom_dpo_lora")  # fmt: skip
        Runner(sheet, work_dir=folder).train()

    full(tmp_path / "online", named)
    del named["ref"]
    full(tmp_path / "before", {**named, "precompute_reference": True})
    closely(tmp_path / "before", tmp_path / "online")


@pytest.mark.parametrize("trained", ["every weight", "a new adapter", "an adapter, further"])
def test_in_bf16_too_the_loss_begins_at_ln_2(inputs, first, tmp_path, cache, trained):
    """The reference is computed in the formats that the training computes the same weights in."""
    own = {"every weight": ["lora=None"], "an adapter, further": [f"adapter={first}"]}
    small = [o for o in (*SMALL, *STEPS) if trained != "every weight" or "lora." not in o]
    pairs = f"data_path={inputs.data.with_name('pairs.jsonl')}"
    chosen = [*own.get(trained, []), "max_steps=1", "strategy.precision=bf16", PRECOMPUTED]
    sheet = sheet_of(inputs, pairs, *small, *chosen, config="custom_dpo_lora")
    Runner(sheet, work_dir=tmp_path / "run").train()
    (row,) = metrics(tmp_path / "run")
    assert row["loss"] == pytest.approx(math.log(2), abs=1e-6)
    assert row["kl"] == pytest.approx(0, abs=1e-5)


def test_another_model_or_option_is_never_taken_from_the_cache(inputs, tmp_path, cache):
    """One byte of the weights is enough, wherever it is."""
    model = tmp_path / "model"
    shutil.copytree(inputs.model, model)
    options = [f"pretrained_model_name_or_path={model}", "max_steps=1", PRECOMPUTED]
    train(inputs, tmp_path / "0", *options)
    assert len(cache()) == 1
    weights = model / "model.safetensors"
    data = bytearray(weights.read_bytes())
    data[len(data) // 2 + 3] ^= 1
    weights.write_bytes(bytes(data))
    train(inputs, tmp_path / "1", *options)
    assert len(cache()) == 2
    train(inputs, tmp_path / "2", *options, "algorithm.ld_alpha=0.5")
    assert len(cache()) == 3
    for file in cache():
        file.write_bytes(file.read_bytes()[:-4])
    run = train(inputs, tmp_path / "3", *options)  # a damaged one is computed anew
    sizes = [file.stat().st_size for file in cache()]
    whole = [file for file in cache() if file.stat().st_size == max(sizes) > min(sizes)]
    assert len(whole) == 1
    assert (np.load(whole[0]) == run.train_dataset.attached["ref_log_prob"]).all()


def test_streamed_data_are_not_known_before_the_training(inputs, tmp_path):
    pairs = inputs.data.with_name("pairs.jsonl")
    sheet = sheet_of(
        inputs, f"data_path={pairs}", *SMALL, PRECOMPUTED,
        "train_dataset.type=StreamedPreferenceDataset", config="custom_dpo_lora",
    )  # fmt: skip
    with pytest.raises(ConfigError, match="its rows are not all known before the training"):
        make_plan(sheet, tmp_path / "run")


def test_a_reference_with_another_vocabulary_is_refused_before_it_is_loaded(inputs, tmp_path):
    other = write_tiny_llama(tmp_path / "other", seed=5)
    file = other / "tokenizer.json"
    state = json.loads(file.read_text())
    vocab = state["model"]["vocab"]
    words = sorted(vocab, key=vocab.get)
    vocab[words[300]], vocab[words[301]] = vocab[words[301]], vocab[words[300]]
    file.write_text(json.dumps(state))
    ref = {"type": "CausalLM", "pretrained_model_name_or_path": str(other)}
    chosen = {"type": "PreferenceOptimization", "loss": {"type": "sigmoid"}, "ref": ref}
    with pytest.raises(ConfigError, match=r"has another vocabulary than the run: .* is id \d+ her"):
        train(inputs, tmp_path / "run", f"algorithm={chosen!r}")
