"""A hook that would never be called is refused before training."""

from __future__ import annotations

import pytest

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
