"""The tiny checkpoints of tests/models, which these tests plan for."""

from tests.models.conftest import *  # noqa: F403 - its fixtures
