"""What a server offers, by the names that clients use."""

from __future__ import annotations

import json

import pytest

from xtune.errors import UsageError
from xtune.serve.wanted import wanted_models


@pytest.fixture
def run(tmp_path):
    """A run's folder with an adapter on the model 'base'."""
    adapter = tmp_path / "work_dirs/mine/checkpoints/step_000005/adapter"
    adapter.mkdir(parents=True)
    (adapter.parents[1] / "latest").symlink_to("step_000005")
    (tmp_path / "base").mkdir()
    (tmp_path / "base/config.json").write_text("{}")
    (adapter / "adapter_config.json").write_text(
        json.dumps({"base_model_name_or_path": str(tmp_path / "base")})
    )
    return tmp_path / "work_dirs/mine"


def test_the_base_comes_first_and_adapters_have_their_runs_names(run, tmp_path):
    base = str(tmp_path / "base")
    for words in (
        (base, [str(run)]),
        (base, [f"mine={run}"]),
        (base, [str(run / "checkpoints/latest/adapter")]),
        (str(run), []),
        (None, [str(run)]),
    ):
        wanted = wanted_models(*words)
        assert list(wanted) == ["base", "mine"], words
        assert wanted["base"].adapter is None
        assert wanted["mine"].adapter.name == "adapter"
    assert list(wanted_models(base, [f"tools={run}", f"other={run}"])) == ["base", "tools", "other"]
    assert list(wanted_models("smollm2", [])) == ["smollm2"]


@pytest.mark.parametrize(
    ("names", "said"),
    [(["a", "a"], "two models are called 'a'"), (["a b"], "cannot be a model's name")],
)
def test_names_that_clients_cannot_tell_apart_are_refused(run, tmp_path, names, said):
    with pytest.raises(UsageError, match=said):
        wanted_models(str(tmp_path / "base"), [f"{name}={run}" for name in names])
