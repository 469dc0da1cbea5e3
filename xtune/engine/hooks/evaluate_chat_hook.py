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
from xtune.parallel.in_step import all_or_none
from xtune.registry import HOOKS
from xtune.structures import Message

if TYPE_CHECKING:
    from xtune.engine.run import Run

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

    def before_train(self, run: Run) -> None:
        """Ask the untouched model; a resumed run has asked already."""
        if run.step == 0:
            alone = run.world.size == 1
            with without_idle_adapter(run.llm) if alone else nullcontext():
                self._evaluate(run)

    def after_train_iter(self, run: Run, metrics: dict[str, Any]) -> None:
        """Ask when it is time.

        Args: as `Hook.after_train_iter`.
        """
        if self.interval is not None and run.step % self.interval == 0:
            self._evaluate(run)

    def after_train(self, run: Run) -> None:
        """Ask the result."""
        self._evaluate(run)

    def _evaluate(self, run: Run) -> None:
        if not self.evaluation_inputs or self._done_at == run.step:
            return
        self._done_at = run.step
        together = run.strategy.shards_model
        if not (run.world.is_main or together):
            return
        answer = partial(
            answer_prompts,
            run.llm,
            run.tokenizer,
            [prompt_ids(run.tokenizer, self._dialogue(r)) for r in self.evaluation_inputs],
            stop_words=run.template.stop_words,
            max_new_tokens=self.max_new_tokens,
            temperature=self.temperature,
            seed=run.recipe.seed,
            together=together,
        )
        with preserved_rng():
            answers = run.strategy.run_apart(partial(all_or_none, answer) if together else answer)
        if not run.world.is_main:
            return
        pairs = zip(self.evaluation_inputs, answers, strict=True)
        text = "\n\n".join(f"> {request}\n{answer.marked}" for request, answer in pairs)
        folder = run.work_dir / "chat_samples"
        folder.mkdir(exist_ok=True)
        (folder / f"step_{run.step}.txt").write_text(text + "\n", encoding="utf-8")
        run.logger.info("answers at step %d:\n%s", run.step, text)

    def _dialogue(self, request: str) -> list[Message]:
        system: list[Message] = [{"role": "system", "content": self.system}] if self.system else []
        return [*system, {"role": "user", "content": request}]
