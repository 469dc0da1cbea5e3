"""What sequence_parallel_size asks of a run, before any weight is loaded."""

from __future__ import annotations

import shutil

import pytest

from tests.runs import sheet_of, write_inputs
from tests.tiny import write_tiny_llama
from xtune.config.recipe import recipe_of
from xtune.engine.build import build_loop, require_sliceable
from xtune.engine.dry_run import make_plan
from xtune.engine.runner import Runner
from xtune.errors import ConfigError
from xtune.parallel.sequence import SequenceGroup


def test_one_process_alone_cannot_share_and_is_told_how_to_start_two(inputs, tmp_path):
    sheet = sheet_of(inputs, "sequence_parallel_size=2")
    with pytest.raises(ConfigError, match="NPROC_PER_NODE=2 xtune train"):
        Runner(sheet, work_dir=tmp_path).train()


def test_less_than_one_is_refused(inputs, tmp_path):
    sheet = sheet_of(inputs, "sequence_parallel_size=0")
    with pytest.raises(ConfigError, match=r"sequence_parallel_size.*must be at least 1"):
        make_plan(sheet, tmp_path)


def test_a_dry_run_says_that_the_heads_cannot_be_shared_out(inputs, tmp_path):
    sheet = sheet_of(inputs, "sequence_parallel_size=3")
    with pytest.raises(ConfigError, match="4 query heads.*may be 1, 2, 4"):
        make_plan(sheet, tmp_path)


def test_a_dry_run_counts_each_devices_part_of_the_row(inputs, tmp_path):
    wide = write_tiny_llama(tmp_path / "wide", width=512)  # much of a short row

    def activations(*further):
        chosen = [f"pretrained_model_name_or_path={wide}", "max_length=12500", "max_steps=1"]
        sheet = sheet_of(inputs, *chosen, *further)
        line = next(one for one in make_plan(sheet, tmp_path) if one.endswith("activations"))
        return float(line.split()[-3])

    assert activations("sequence_parallel_size=2") == pytest.approx(activations() / 2, abs=0.01)


def test_documents_that_the_rotation_sees_whole_are_refused_unless_short(tmp_path):
    inputs = write_inputs(tmp_path)
    shutil.rmtree(inputs.model)
    rope = {"rope_type": "dynamic", "factor": 2.0, "rope_theta": 10000.0}
    write_tiny_llama(inputs.model, rope_parameters=rope, max_position_embeddings=128)
    shared = "sequence_parallel_size=2"

    def recipe(*further):
        return recipe_of(sheet_of(inputs, *further).values)

    require_sliceable(recipe(shared, "max_length=128"))
    require_sliceable(recipe("max_length=129"))
    with pytest.raises(
        ConfigError, match=r"llama' with sequence_parallel_size=2.*max_length is 129"
    ):
        require_sliceable(recipe(shared, "max_length=129"))
    longer_val = (f"val_data_path={inputs.val}", "val_dataset.max_length=129")
    with pytest.raises(ConfigError, match="max_length is 129"):
        require_sliceable(recipe(shared, "max_length=128", *longer_val))


def test_a_group_takes_the_data_of_one_process(inputs):
    cfg = sheet_of(inputs, "accumulative_counts=1").values

    class Items:
        report = None

        def __len__(self):
            return 12

        def item_tokens(self, index):
            return 1

        def batch(self, indices):
            return indices

    def taken(group):
        _, loader = build_loop(cfg, Items(), group.as_one)
        assert loader.steps_per_epoch == 6
        return [loader.step(step) for step in range(6)]

    groups = [SequenceGroup(rank=r % 2, size=2, number=r // 2, count=2) for r in range(4)]
    first, its_peer, second, its_other_peer = map(taken, groups)
    assert first == its_peer
    assert second == its_other_peer
    everything = [item for step in first + second for batch in step for item in batch]
    assert sorted(everything) == list(range(12))
