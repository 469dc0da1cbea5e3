"""A hook that is not called, or fails only at the first checkpoint, is refused before training."""

from __future__ import annotations

import pytest

from tests.runs import metrics, train, write_inputs
from xtune.engine.build import build_hooks
from xtune.engine.hooks.base import Hook
from xtune.errors import ConfigError


class Plain:
    """Written by somebody who knows another trainer."""

    def before_train(self, runner):
        pass


class Misspelt(Hook):
    """Has a method that nothing calls."""

    def after_train_itr(self, runner, metrics):
        pass


class MisspeltToo(Hook):
    """The same, of a moment whose name begins otherwise."""

    def on_interupt(self, runner):
        pass


class Right(Hook):
    """Has helpers of its own, which are its business."""

    def after_train_iter(self, runner, metrics):
        self.on_text(metrics)

    def on_text(self, metrics):
        pass


class SavesOnly(Hook):
    """Counts, and would begin at 0 in a resumed run."""

    def state_dict(self):
        return {"count": 3}


class TakesTooMuch(Hook):
    """Written after another trainer's hooks; it would fail when the first checkpoint is there."""

    def after_save_checkpoint(self, runner, folder, metrics):
        pass


class HasWhatNoFileHolds(Hook):
    """A set is no JSON."""

    def state_dict(self):
        return {"seen": {1, 2}}

    def load_state_dict(self, state):
        pass


def test_what_is_no_hook_is_refused_with_the_base_and_the_moments():
    with pytest.raises(ConfigError, match=r"0 Plain: Plain is no Hook.*hooks\.base.*on_int"):
        build_hooks({"custom_hooks": [{"type": Plain}]})


def test_a_moment_that_is_misspelt_is_refused_with_the_nearest():
    with pytest.raises(ConfigError, match=r"'after_train_itr'; did you mean 'after_train_iter'\?"):
        build_hooks({"custom_hooks": [{"type": Misspelt}]})
    with pytest.raises(ConfigError, match=r"'on_interupt'; did you mean 'on_interrupt'\?"):
        build_hooks({"custom_hooks": [{"type": MisspeltToo}]})


def test_a_hook_with_helpers_is_taken():
    hooks = build_hooks({"custom_hooks": [{"type": Right}], "default_hooks": {"progress": None}})
    assert list(hooks) == ["0 Right"]


def test_a_hook_whose_state_would_not_come_back_is_refused():
    with pytest.raises(ConfigError, match="SavesOnly has state_dict and no load_state_dict"):
        build_hooks({"custom_hooks": [{"type": SavesOnly}]})


def test_a_moment_that_is_called_with_fewer_arguments_is_refused():
    with pytest.raises(ConfigError) as caught:
        build_hooks({"custom_hooks": [{"type": TakesTooMuch}]})
    assert str(caught.value) == (
        "hook 0 TakesTooMuch: after_save_checkpoint takes (runner, folder, metrics), and is "
        "called with (run, folder)"
    )


def test_a_state_that_no_checkpoint_holds_ends_the_run_before_its_first_step(tmp_path):
    own = f"custom_hooks=[{{'type': '{__file__}:HasWhatNoFileHolds'}}]"
    with pytest.raises(ConfigError, match=r"HasWhatNoFileHolds: its state_dict cannot be saved: O"):
        train(write_inputs(tmp_path), tmp_path / "run", own)
    assert not (tmp_path / "run" / "checkpoints").exists()
    assert metrics(tmp_path / "run") == []
