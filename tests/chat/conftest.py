"""The parrot of tests/generation, which these tests talk to."""

from tests.generation.conftest import parrot  # noqa: F401 - a fixture
