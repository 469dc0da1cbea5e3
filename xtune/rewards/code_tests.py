"""1 for an answer whose program passes its row's tests, run in the sandbox of the Python tool."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from xtune.data.prompts import PromptRow
from xtune.errors import ConfigError
from xtune.eval.extraction import code_in
from xtune.eval.run_code import Program, run_programs
from xtune.generation.sampled_answer import SampledAnswer
from xtune.registry import REWARDS
from xtune.rewards.asked import require_column

__all__ = ["CodeTests"]


@REWARDS.register_module("code_tests")
@dataclass(frozen=True, slots=True, kw_only=True)
class CodeTests:
    """Runs the programs that the model writes; see `xtune.eval.run_code` for what they may do.

    Attributes:
        column: of the raw rows, that has the tests: text that raises unless the program is right,
            or a list of such texts.
        run_code: True allows it; nothing is run without.
        seconds: for each program.
        memory_mb: of address space, for each.
    """

    column: str = "test"
    run_code: bool = False
    seconds: float = 3.0
    memory_mb: int = 1024

    def __post_init__(self) -> None:
        if not self.run_code:
            raise ConfigError(
                "reward 'code_tests' runs the programs that the model writes, in a sandbox without "
                "network and files: allow that with dict(type='code_tests', run_code=True)"
            )

    def require(self, prompts: Sequence[PromptRow]) -> None:
        """Refuse prompts whose rows have no tests.

        Raises:
            DataError: one has none.
        """
        require_column("code_tests", self.column, prompts)

    def __call__(self, answers: Sequence[SampledAnswer]) -> list[float]:
        """Return 1 or 0 for each answer; without a program it is 0."""
        programs = [
            None if (code := code_in(one.text)) is None else Program(code, self._test(one.prompt))
            for one in answers
        ]
        verdicts = iter(
            run_programs(
                [one for one in programs if one is not None],
                seconds=self.seconds,
                memory_mb=self.memory_mb,
            )
        )
        return [0.0 if one is None else float(next(verdicts).passed) for one in programs]

    def _test(self, prompt: PromptRow) -> str:
        given = prompt.row[self.column]
        return given if isinstance(given, str) else "\n".join(map(str, given))
