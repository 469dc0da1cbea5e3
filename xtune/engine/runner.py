"""The runner: builds what a sheet names, in order, into a `Run`, and starts its loop.

    check the sheet -> work_dir -> tokenizer -> data -> model -> strategy -> hooks -> loop

Nothing large is loaded before everything small has been found to be right.
"""

from __future__ import annotations

import threading
from contextlib import suppress
from functools import partial
from pathlib import Path

from xtune.checkpoint.disk import is_full_disk
from xtune.config import Sheet, require_valid
from xtune.config.recipe import recipe_of
from xtune.data.templates.named import trained_templates
from xtune.engine.build import (
    adapter_trained_further,
    build_datasets,
    build_hooks,
    build_loop,
    count_parameters,
    day_of_run,
    require_ends,
    require_sliceable,
    validation_loader,
    weights_from,
)
from xtune.engine.checkpoints import checkpoint_writer, load_checkpoint, load_further_parts
from xtune.engine.identity import require_same_inputs
from xtune.engine.logs import HeldLog, close_logs, log_to_console
from xtune.engine.memory_check import MemoryCheck, is_out_of_memory, out_of_memory
from xtune.engine.own_parts import require_writable
from xtune.engine.reference import attach_reference
from xtune.engine.rng import load_rng_state, rng_state, seed_everything
from xtune.engine.run import Run
from xtune.engine.run_record import RunRecord
from xtune.engine.share_check import check_shares
from xtune.engine.throughput import Throughput
from xtune.engine.vocabulary_check import require_rows, require_same_tokens
from xtune.engine.work_dir import WorkDir, require_shared
from xtune.errors import ConfigError, TrainingError, XtuneError
from xtune.models import base_fingerprint
from xtune.models.build import build_model
from xtune.models.tokenizer import open_vocabulary
from xtune.optim.optimizers import build_optimizer
from xtune.parallel.progress import enter, now
from xtune.parallel.sequence import sequence_group
from xtune.planning.recomputation import decided_model
from xtune.planning.requirement import MicroBatch, place_of
from xtune.registry import SCHEDULES, STRATEGIES, build
from xtune.watch.watchdog import watched

__all__ = ["Runner"]


class Runner:
    """Trains what a sheet names.

        run = Runner(render('smollm2_135m_lora_toolcall'), work_dir=Path('work_dirs/demo')).train()
        run.metrics['loss']

    Args:
        sheet: what to run.
        work_dir: where its results go; see xtune/engine/work_dir.py.
        resume: None starts from the beginning; 'auto' goes on from the newest whole checkpoint
            of work_dir; or a step folder, or another work_dir.
        memory_check: asked before the model is loaded, and when memory has run out.
        stop: ends the run after a step once another thread sets it.

    Attributes:
        run: the run, which has what the runner has built so far.
    """

    def __init__(
        self,
        sheet: Sheet,
        *,
        work_dir: Path,
        resume: str | None = None,
        memory_check: MemoryCheck | None = None,
        stop: threading.Event | None = None,
    ) -> None:
        self.run = Run(sheet, work_dir=work_dir, writer_of=checkpoint_writer, stop=stop)
        self.resume = resume
        self.memory_check = memory_check

    def train(self) -> Run:
        """Build everything, train to the end, and return the run as it is then.

        Raises:
            XtuneError: of the kind that fits; checkpoints written before stay whole.
        """
        run = self.run
        require_valid(run.sheet)
        run.recipe = recipe_of(run.cfg)
        with watched(run.world, **(run.cfg.get("env_cfg") or {})) as self._watchdog:
            self._train()
        return run

    def _train(self) -> None:
        run = self.run
        handlers = [log_to_console(run.console)] if run.world.is_main else []
        folder = WorkDir(run.work_dir, run.sheet)
        handlers.append(log := HeldLog())  # a run that is refused leaves no log
        enter("opening the work dir", slow=True)
        self._record: RunRecord | None = None
        try:
            checkpoint = folder.open(self.resume) if run.world.is_main else None
            goes_on = folder.goes_on(checkpoint)
            checkpoint, goes_on = run.world.from_main((checkpoint, goes_on))
            folder.create()  # on another host it may be another folder
            self._watchdog.write_stacks_to(run.work_dir)
            run.logger.info("%s -> %s", run.sheet.path, folder.config)
            self._prepare_data(checkpoint)
            self._plan(checkpoint)
            if not goes_on:
                self._begin(folder, log, checkpoint)
            run.call_hooks("after_load_data")
            attach_reference(run, self._model_settings)
            self._load_model(checkpoint)
            if goes_on:  # what follows the checkpoint stays until it is loaded
                self._begin(folder, log, checkpoint)
            self._run()
            if self._record is not None:
                stopped = run.interrupted is not None
                why = "" if run.interrupted is None else run.interrupted.name
                self._record.end(run.work_dir, "stopped" if stopped else "finished", why)
        except BaseException as error:
            if self._record is not None:
                self._record.end(run.work_dir, "failed", f"{type(error).__name__}: {error}")
            run.logger.debug("the run ends with an error", exc_info=True)  # in train.log only
            if not isinstance(error, XtuneError | KeyboardInterrupt):  # nobody has foreseen it
                with suppress(OSError):  # a full disk, which is said below
                    log.append_to(run.work_dir, run.world)
            if is_out_of_memory(error):
                raise out_of_memory(run, error, self.memory_check) from None
            if isinstance(error, OSError) and is_full_disk(error):
                raise TrainingError(
                    f"the disk is full: {error.filename or run.work_dir} cannot be written. Free "
                    "some space, then go on with --resume"
                ) from error
            raise
        finally:
            folder.close()
            close_logs(handlers)

    def _begin(self, folder: WorkDir, log: HeldLog, checkpoint: Path | None) -> None:
        """Nothing has been found that refuses the run: from here on it leaves traces."""
        if self.run.world.is_main:
            folder.record(checkpoint)
            self._record = RunRecord.of(self.run)
            self._record.write(self.run.work_dir)
        self.run.world.wait()  # what an earlier run left is out of the way
        log.append_to(self.run.work_dir, self.run.world)

    def _prepare_data(self, checkpoint: Path | None) -> None:
        run = self.run
        enter("preparing the data", slow=True)
        run.sequence = sequence_group(run.world, run.recipe.sharing)
        require_sliceable(run.recipe)
        if run.sequence.size > 1:
            run.logger.info("%d processes share each row of tokens", run.sequence.size)
        run.tokenizer, run.pieces = open_vocabulary(run.cfg["tokenizer"])
        if run.pieces:
            run.logger.info("%d new tokens: the vocabulary grows", len(run.pieces))
        run.day = day_of_run(checkpoint, run.world)
        run.train_dataset, run.val_dataset = build_datasets(run.cfg, run.tokenizer, run.day)
        if checkpoint is not None:
            require_same_inputs(checkpoint, run.recipe, run.tokenizer, run.train_dataset.identity)
        require_rows(run.recipe, run.tokenizer, run.pieces, run.train_dataset, run.val_dataset)
        require_same_tokens(run.cfg["model"], run.tokenizer, run.pieces)
        run.template = run.train_dataset.template
        run.tokenizer.chat_template = trained_templates(run.template, run.tokenizer)
        run.loop, run.loader = build_loop(run.cfg, run.train_dataset, run.sequence.as_one)
        require_ends(run.loader.report, force=getattr(self.memory_check, "force", False))
        run.max_steps = run.loop.total_steps(run.loader.steps_per_epoch)
        if not isinstance(run.max_steps, int) or run.max_steps < 1:
            raise ConfigError(
                f"train_cfg: {type(run.loop).__name__}.total_steps gives {run.max_steps!r}; it is "
                "a whole number of steps from 1 on"
            )
        run.val_loader = validation_loader(run.cfg, run.val_dataset, run.sequence.as_one)
        run.schedule = build(SCHEDULES, run.cfg["param_scheduler"])
        run.hooks = build_hooks(run.cfg)

    def _plan(self, checkpoint: Path | None) -> None:
        """Decide what may be decided and refuse what will not do, before any weight is loaded."""
        run = self.run
        enter("planning", slow=True)
        run.strategy = build(STRATEGIES, run.cfg["strategy"])
        self._check_processes()
        if run.strategy.divides_state and not run.recipe.trains_adapter:
            require_shared(run.work_dir, run.world)
        run.logger.info(
            "%s, %s (%s)",
            run.strategy.device,
            run.strategy.precision.name,
            run.strategy.precision.reason,
        )
        largest = MicroBatch.of(run.recipe, run.train_dataset)
        run.began_with = adapter_trained_further(run.recipe, checkpoint)
        precision, place = run.strategy.precision, place_of(run.strategy.device, run.world.size)
        self._model_settings = decided_model(
            run.cfg, precision, place, run.world, largest, run.pieces
        )
        if self.memory_check is not None and run.world.is_main:
            self.memory_check.before_loading(run)

    def _load_model(self, checkpoint: Path | None) -> None:
        run = self.run
        enter("loading the model", slow=True)
        seed_everything(run.recipe.seed)
        run.model = build_model(
            weights_from(checkpoint, self._model_settings),
            device=run.strategy.loads_on,
            precision=run.strategy.precision,
            as_stored=run.strategy.divides_state,
            pieces=run.pieces,
            # A checkpoint's whole model has grown, and its new rows are trained.
            grown=checkpoint is not None and (checkpoint / "model").is_dir(),
            sequence=run.sequence,
        )
        if checkpoint is not None:
            load_further_parts(run.model, checkpoint)
        run.throughput = Throughput(run.model, run.strategy)
        run.llm = run.model.language_model
        # While this process has all weights: a strategy may take them apart.
        run.fingerprint = base_fingerprint(run.llm)
        self._parameters = count_parameters(run.model)
        enter("giving the model to the strategy", slow=True)
        run.strategy.prepare(
            run.model,
            partial(
                build_optimizer,
                cfg=run.cfg["optimizer"],
                paramwise_cfg=run.cfg.get("paramwise_cfg"),
            ),
        )
        enter("trying the algorithm out", slow=True)
        check_shares(run)
        # Training begins at the same random numbers, however many the model's building drew; each
        # process has dropout of its own.
        seed_everything(run.recipe.seed + run.world.rank)
        if checkpoint is not None:
            enter("loading the checkpoint", slow=True)
            load_checkpoint(run, checkpoint)

    def _check_processes(self) -> None:
        run = self.run
        name, count = type(run.strategy).__name__, run.world.size
        if run.strategy.sharding.processes == "one" and count > 1:
            raise ConfigError(
                f"{name} is for one process, and {count} were started: leave --strategy out, or "
                "name ddp"
            )
        if run.strategy.sharding.processes == "several" and count == 1:
            raise ConfigError(
                f"{name} is for several processes, and this is the only one. Start them: "
                "NPROC_PER_NODE=2 xtune train CONFIG, or use --strategy single"
            )

    def _run(self) -> None:
        run, (trainable, total) = self.run, self._parameters
        run.logger.info(
            "%d steps in all, %d done; %s of %s parameters are trained",
            run.max_steps,
            run.step,
            f"{trainable:,}",
            f"{total:,}",
        )
        start = rng_state()
        enter("hooks before the first step", slow=True)
        try:
            run.call_hooks("before_run")
            states = {f"hook {name}": hook.state_dict() for name, hook in run.hooks.items()}
            require_writable({"train_cfg": run.loop.state_dict(), **states})
            with run.signals:
                run.call_hooks("before_train")
                load_rng_state(start)
                with self._watchdog.telling():
                    run.loop.run(run)
                    enter("writing the checkpoint", step=run.step, slow=True)
                    run.take_saved(wait=True)
                if run.signals.received is None:
                    enter("hooks after the last step", step=run.step, slow=True)
                    run.call_hooks("after_train")
                else:
                    run.call_hooks("on_interrupt")
                    run.interrupted = run.signals.received
        finally:
            run.ended_in = str(now())
            if lost := run.writer.close():
                run.logger.error("the checkpoint that was being written is lost: %s", lost)
            run.strategy.close()
            run.call_hooks("after_run")
