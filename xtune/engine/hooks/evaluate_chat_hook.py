"""Lets the model answer a few fixed requests, before, during and after training."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from functools import partial
from typing import TYPE_CHECKING, Any

from xtune.engine.hooks.base import Hook
from xtune.engine.rng import preserved_rng
from xtune.generation.generate import answer_prompts, prompt_ids
from xtune.models.adapters import without_idle_adapter
from xtune.registry import HOOKS
from xtune.structures import Message

if TYPE_CHECKING:
    from xtune.engine.runner import Runner

__all__ = ["EvaluateChatHook"]


@HOOKS.register_module()
class EvaluateChatHook(Hook):
    """Logs the answers and writes work_dir/chat_samples/step_N.txt; what was cut says so.

    Training goes on as if it had not been interrupted: random generators are put back. Where the
    model is sharded all processes answer together; otherwise the main one does.

    Args:
        evaluation_inputs: the requests, each a dialogue of its own; none: the hook does nothing.
        interval: optimizer steps between two evaluations; None: only before and after.
        system: a system message before each request; '' for none.
        max_new_tokens: tokens of an answer.
        temperature: 0: the likeliest token each time.
    """

    essential = False
    on_every_process = True

    def __init__(
        self,
        *,
        evaluation_inputs: Sequence[str] = (),
        interval: int | None = None,
        system: str = "",
        max_new_tokens: int = 100,
        temperature: float = 0.0,
    ) -> None:
        self.evaluation_inputs = tuple(evaluation_inputs)
        self.interval = interval
        self.system = system
        self.max_new_tokens = max_new_tokens
        self.temperature = temperature
        self._done_at = -1

    def before_train(self, runner: Runner) -> None:
        """Ask the untouched model; a resumed run has asked already."""
        if runner.step == 0:
            alone = runner.world.size == 1
            with without_idle_adapter(runner.llm) if alone else nullcontext():
                self._evaluate(runner)

    def after_train_iter(self, runner: Runner, metrics: dict[str, Any]) -> None:
        """Ask when it is time."""
        if self.interval is not None and runner.step % self.interval == 0:
            self._evaluate(runner)

    def after_train(self, runner: Runner) -> None:
        """Ask the result."""
        self._evaluate(runner)

    def _evaluate(self, runner: Runner) -> None:
        if not self.evaluation_inputs or self._done_at == runner.step:
            return
        self._done_at = runner.step
        together = runner.strategy.shards_model
        if not (runner.world.is_main or together):
            return
        answer = partial(
            answer_prompts,
            runner.llm,
            runner.tokenizer,
            [prompt_ids(runner.tokenizer, self._dialogue(r)) for r in self.evaluation_inputs],
            stop_words=runner.template.stop_words,
            max_new_tokens=self.max_new_tokens,
            temperature=self.temperature,
            seed=runner.cfg["randomness"]["seed"],
            together=together,
        )
        with preserved_rng():
            answers = runner.strategy.run_apart(answer)
        if not runner.world.is_main:
            return
        pairs = zip(self.evaluation_inputs, answers, strict=True)
        text = "\n\n".join(f"> {request}\n{answer.marked}" for request, answer in pairs)
        folder = runner.work_dir / "chat_samples"
        folder.mkdir(exist_ok=True)
        (folder / f"step_{runner.step}.txt").write_text(text + "\n", encoding="utf-8")
        runner.logger.info("answers at step %d:\n%s", runner.step, text)

    def _dialogue(self, request: str) -> list[Message]:
        system: list[Message] = [{"role": "system", "content": self.system}] if self.system else []
        return [*system, {"role": "user", "content": request}]
