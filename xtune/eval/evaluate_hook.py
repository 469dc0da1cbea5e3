"""Measures tasks while a model is trained, and gives it back as it was."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

from xtune.engine.hooks.base import Hook
from xtune.errors import ConfigError
from xtune.eval.chosen import build_tasks
from xtune.registry import EVALUATIONS, HOOKS

if TYPE_CHECKING:
    from xtune.engine.run import Run
    from xtune.eval.results import Results
    from xtune.eval.subject import Subject

__all__ = ["EvaluateHook"]

_LEAST_BUDGET = 1024  # tokens of a pass that no training runs out of memory by


@HOOKS.register_module()
class EvaluateHook(Hook):
    """Measures each task before the first step, every so many steps, and after the last.

    A sheet's `evaluations` make one, of those that say `every`. Its headlines are lines of
    metrics.jsonl and curves of TensorBoard; each measurement is a folder with every item, as
    `xtune eval` writes it: work_dir/evaluation/step_000500. All processes take part. Training goes
    on as if it had not been interrupted; a task that fails is reported and passed over. A run ends
    by one alone where processes share the model, and one fails amid a pass that others wait in.

    Args:
        evaluations: tasks, each with `every`, optimizer steps, and `rows`, how many of its items
            are asked, evenly spaced; default: all.

    Raises:
        ConfigError: an entry has no `every`.
        UsageError: the files of a task are missing.
    """

    essential = False
    on_every_process = True

    def __init__(self, *, evaluations: Annotated[Sequence[Mapping[str, Any]], EVALUATIONS]) -> None:
        self._tasks = build_tasks(evaluations)
        self._when = dict(zip(self._tasks, evaluations, strict=True))
        for cfg in evaluations:
            if not cfg.get("every"):
                raise ConfigError(f"EvaluateHook: {cfg['type']} does not say every how many steps")
        self._done_at = dict.fromkeys(self._tasks, -1)

    def before_train(self, run: Run) -> None:
        """Measure the untouched model; a resumed run has done so."""
        if run.step == 0:
            self._evaluate(run, list(self._tasks))

    def after_train_iter(self, run: Run, metrics: dict[str, Any]) -> None:
        """Measure what is due.

        Args: as `Hook.after_train_iter`.
        """
        ends = run.step == run.max_steps
        due = [name for name, cfg in self._when.items() if ends or run.step % cfg["every"] == 0]
        self._evaluate(run, due)

    def after_train(self, run: Run) -> None:
        """Measure the result, if the run has ended early."""
        self._evaluate(run, list(self._tasks))

    def _evaluate(self, run: Run, due: Sequence[str]) -> None:
        from xtune.eval.result_files import write_results

        due = [name for name in due if self._done_at[name] != run.step]
        if not due:
            return
        self._done_at |= dict.fromkeys(due, run.step)
        began = time.perf_counter()
        results = self._measured(run, due)
        seconds = time.perf_counter() - began
        if not run.world.is_main or not results.tasks:
            return
        write_results(results, run.work_dir / "evaluation" / f"step_{run.step:06d}")
        headlines = {
            f"eval/{name}": task.score
            for name, task in results.tasks.items()
            if task.score is not None
        }
        said = ", ".join(f"{name} {value:.4f}" for name, value in headlines.items())
        run.logger.info("step %d: %s (%.1f s)", run.step, said, seconds)
        run.call_hooks("after_evaluate", {"step": run.step, **headlines, "evaluation_s": seconds})

    def _measured(self, run: Run, due: Sequence[str]) -> Results:
        """Measure tasks one by one; those that fail are reported and left out."""
        from xtune.engine.rng import preserved_rng
        from xtune.eval.results import Results
        from xtune.models.adapters import without_idle_adapter

        subject = _subject(run)
        whole = Results(subject.name, {})
        idle = without_idle_adapter(run.llm) if run.world.size == 1 else nullcontext()
        with preserved_rng(), idle:
            for name in due:
                found = run.strategy.run_apart(partial(self._attempt, run, subject, name))
                if isinstance(found, str):
                    run.logger.warning(
                        "step %d: %s is not measured, and the training goes on: %s",
                        run.step,
                        name,
                        found,
                    )
                    continue
                found.tasks = whole.tasks | found.tasks
                found.run["seconds"] += whole.run.get("seconds", 0)
                whole = found
        return whole

    def _attempt(self, run: Run, subject: Subject, name: str) -> Results | str:
        """Measure a task; or say why it cannot be: the strategy knows of no error, and goes on."""
        from xtune.engine.memory_check import is_out_of_memory
        from xtune.eval.evaluate import measure
        from xtune.parallel.in_step import NotHeard

        task, rows = {name: self._tasks[name]}, self._when[name].get("rows")
        try:
            return measure(subject, task, rows=rows, world=run.world)
        except NotHeard:
            raise
        except Exception as error:
            return "memory has run out" if is_out_of_memory(error) else repr(error)


def _subject(run: Run) -> Any:
    """The model that is being trained, as one to ask."""
    from xtune.eval.subject import Subject

    return Subject(
        llm=run.llm,
        tokenizer=run.tokenizer,
        name=f"{run.sheet.name} at step {run.step}",
        stop_words=tuple(run.template.stop_words) if run.template is not None else (),
        system=run.recipe.system,
        has_dialogues=bool(run.tokenizer.chat_template),
        together=run.strategy.shards_model,
        token_budget=max(run.longest, _LEAST_BUDGET) if run.longest else None,
        known_weights=f"{run.fingerprint} step {run.step}",
    )
