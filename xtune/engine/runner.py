"""The runner: builds what a sheet names, in order, and owns what is global to a run.

    check the sheet -> work_dir -> tokenizer -> data -> model -> strategy -> hooks -> loop

Nothing large is loaded before everything small has been found to be right.
"""

from __future__ import annotations

import copy
import logging
import signal
import traceback
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import Tensor, nn

from xtune.checkpoint.background import BackgroundWriter
from xtune.checkpoint.disk import is_full_disk
from xtune.config import Sheet, require_valid
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
from xtune.engine.checkpoints import checkpoint_writer, load_checkpoint
from xtune.engine.hooks.base import Hook
from xtune.engine.identity import require_same_inputs
from xtune.engine.logs import close_logs, log_to_console, log_to_file, open_console
from xtune.engine.loops import TrainLoop
from xtune.engine.memory_check import MemoryCheck, is_out_of_memory, out_of_memory
from xtune.engine.rank_stats import RankStats
from xtune.engine.rng import load_rng_state, rng_state, seed_everything
from xtune.engine.signals import StopSignals
from xtune.engine.strategies.base import Strategy
from xtune.engine.throughput import Throughput
from xtune.engine.vocabulary_check import require_rows
from xtune.engine.work_dir import WorkDir, require_shared
from xtune.errors import ConfigError, TrainingError
from xtune.models import base_fingerprint
from xtune.models.build import build_model
from xtune.models.tokenizer import open_vocabulary
from xtune.optim.optimizers import build_optimizer
from xtune.optim.schedules import Schedule
from xtune.parallel.progress import beat, enter, now
from xtune.parallel.sequence import SequenceGroup, sequence_group, sequence_parallel_size
from xtune.parallel.world import world_of_environment
from xtune.planning.recomputation import decided_model
from xtune.planning.requirement import place_of
from xtune.registry import SCHEDULES, STRATEGIES, build
from xtune.watch.watchdog import watched

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from xtune.data.dataset import SFTDataset
    from xtune.data.loader import StepLoader
    from xtune.data.streaming import StreamedSFTDataset, StreamLoader

__all__ = ["Runner"]


class Runner:
    """One training run.

        runner = Runner(render('smollm2_135m_lora_toolcall'), work_dir=Path('work_dirs/demo'))
        runner.train()

    Args:
        sheet: what to run.
        work_dir: where its results go; see xtune/engine/work_dir.py.
        resume: None starts from the beginning; 'auto' goes on from the newest whole checkpoint
            of work_dir; or a step folder, or another work_dir.
        memory_check: asked before the model is loaded, and when memory has run out.

    Attributes:
        sheet, work_dir: as given.
        cfg: the sheet's values.
        console, logger: what is said; the logger also writes work_dir/train.log.
        tokenizer: its chat_template is the one trained with.
        pieces: the tokens that the sheet adds to it; see `token_pieces`.
        train_dataset, val_dataset: val_dataset is None without validation data.
        template: of the training data.
        day: on which the run began, '2026-11-30', for templates that tell today's date.
        model: the algorithm; `llm` the language model in it, a PeftModel with an adapter.
        strategy, loader, schedule, loop, hooks: what the sheet names.
        throughput: what its steps cost, and how fast they are.
        world: the processes of the run; one of them logs and writes.
        sequence: those of them that share each row with this one.
        began_with: notes of the adapter that is trained further: its origin, its new tokens.
        fingerprint: of the model that the training began with; see `base_fingerprint`.
        step: optimizer steps done; max_steps of how many.
        tokens, trained_tokens: seen since the beginning of the run.
        metrics: of the last step.
        spread: of the last step, what differs between the processes.
        micro_losses: of the last step, the parts of the loss of this process's micro-batches.
        ended_in: the phase in which the steps ended, for an error's text.
        interrupted: the signal that ended it, or None.
        longest: tokens of the longest micro-batch of the last step.
        saved: the newest checkpoint that this process has written, or None; one of them writes.
    """

    tokenizer: PreTrainedTokenizerBase
    pieces: dict[int, list[int]]
    train_dataset: SFTDataset | StreamedSFTDataset
    val_dataset: SFTDataset | None
    model: nn.Module
    llm: Any
    sequence: SequenceGroup
    strategy: Strategy
    throughput: Throughput
    loader: StepLoader | StreamLoader
    val_loader: StepLoader | None
    schedule: Schedule
    loop: TrainLoop
    spread: RankStats
    ended_in: str = ""

    def __init__(
        self,
        sheet: Sheet,
        *,
        work_dir: Path,
        resume: str | None = None,
        memory_check: MemoryCheck | None = None,
    ) -> None:
        self.sheet, self.cfg = sheet, sheet.values
        self.work_dir = Path(work_dir)
        self.resume = resume
        self.memory_check = memory_check
        self.console = open_console()
        self.logger = logging.getLogger("xtune.engine")
        self.world = world_of_environment()
        self.began_with: dict[str, Any] = {}
        self.hooks: dict[str, Hook] = {}
        self.step = self.tokens = self.trained_tokens = self.longest = 0
        self.metrics: dict[str, Any] = {}
        self.micro_losses: list[Tensor] = []
        self._stopping = self._ending = False
        self.interrupted: signal.Signals | None = None
        self.saved: Path | None = None
        self._signals = StopSignals()
        self._writer = BackgroundWriter()

    def train(self) -> None:
        """Build everything and train to the end.

        Raises:
            XtuneError: of the kind that fits; checkpoints written before stay whole.
        """
        require_valid(self.sheet)
        with watched(self.world, **(self.cfg.get("env_cfg") or {})) as self._watchdog:
            self._train()

    def _train(self) -> None:
        handlers = [log_to_console(self.console)] if self.world.is_main else []
        folder = WorkDir(self.work_dir, self.sheet)
        enter("opening the work dir", slow=True)
        try:
            checkpoint = folder.open(self.resume) if self.world.is_main else None
            checkpoint = self.world.from_main(checkpoint)
            folder.create()  # on another host it may be another folder
            rank = "" if self.world.is_main else f".rank{self.world.rank}"
            handlers.append(log_to_file(self.work_dir / f"train{rank}.log"))
            self._watchdog.write_stacks_to(self.work_dir)
            self.logger.info("%s -> %s", self.sheet.path, folder.config)
            self._prepare(checkpoint)
            if checkpoint is not None and self.world.is_main:
                folder.record(checkpoint)
            self._run()
        except BaseException as error:
            self.logger.debug("the run ends with an error", exc_info=True)  # in train.log only
            if is_out_of_memory(error):
                raise out_of_memory(self, error) from None
            if isinstance(error, OSError) and is_full_disk(error):
                raise TrainingError(
                    f"the disk is full: {error.filename or self.work_dir} cannot be written. Free "
                    "some space, then go on with --resume"
                ) from error
            raise
        finally:
            folder.close()
            close_logs(handlers)

    def stop(self, reason: str) -> None:
        """End the run after this step, as if it were the last one."""
        if not self._stopping:
            self._stopping = True
            self.logger.warning("stopping after step %d: %s", self.step, reason)

    @property
    def is_over(self) -> bool:
        """Whether no further step is to be done."""
        return self._ending or self.step >= self.max_steps

    def agree_to_end(self) -> None:
        """End all processes after the same step, if one of them was told to."""
        own = (self._stopping, self._signals.received is not None)
        stopping, signals = zip(*self.world.gather(own), strict=True)
        signalled = any(signals)
        self._ending = signalled or any(stopping)
        if signalled and self._signals.received is None:
            self._signals.received = signal.SIGTERM

    @property
    def base_lr(self) -> float:
        """The learning rate that the schedule multiplies, in the sheet's own number."""
        return float(self.cfg["optimizer"]["lr"])

    @property
    def max_norm(self) -> float | None:
        """What gradients are clipped to, or None."""
        return (self.cfg.get("clip_grad") or {}).get("max_norm")

    @cached_property
    def tokenizer_to_write(self) -> PreTrainedTokenizerBase:
        """A copy: a tokenizer that is asked for a chat must not be written out meanwhile."""
        return copy.deepcopy(self.tokenizer)

    def call_hooks(self, point: str, *arguments: Any) -> None:
        """Call every hook at `point`; one that is not essential may fail, with a warning."""
        for name, hook in self.hooks.items():
            if not (self.world.is_main or hook.on_every_process):
                continue
            beat(f"{name}, {point}")
            try:
                getattr(hook, point)(self, *arguments)
            except Exception as error:
                if hook.essential:
                    raise
                self.logger.warning(
                    "%s failed in %s and is passed over: %s: %s",
                    name,
                    point,
                    type(error).__name__,
                    error,
                )
                self.logger.debug("%s", traceback.format_exc())

    def save_checkpoint(self, *, max_keep: int | None = None, wait: bool = True) -> None:
        """Write work_dir/checkpoints/step_…; all processes call this, and one of them writes.

        When it is written, `saved` of that process is its folder.

        Args:
            max_keep: delete the oldest beyond so many. None: keep all.
            wait: until it is written; False lets the training go on meanwhile.

        Raises:
            CheckpointError: the disk is full, now or for the one before; earlier checkpoints are
                untouched.
        """
        enter("saving", step=self.step, slow=True)
        self.take_saved(wait=True)
        if (write := checkpoint_writer(self, max_keep)) is not None:
            self._writer.submit(write)
        self.take_saved(wait=wait)

    def take_saved(self, *, wait: bool = False) -> None:
        """Say that a checkpoint has been written, if one has; raise what its writer has raised."""
        saved = self._writer.finished(wait=wait)
        if saved is not None:
            self.saved = saved
            self.logger.info("saved %s", saved)
            self.call_hooks("after_save_checkpoint", saved)

    def _prepare(self, checkpoint: Path | None) -> None:
        enter("preparing the data", slow=True)
        self.sequence = sequence_group(self.world, sequence_parallel_size(self.cfg))
        require_sliceable(self.cfg)
        if self.sequence.size > 1:
            self.logger.info("%d processes share each row of tokens", self.sequence.size)
        self.tokenizer, self.pieces = open_vocabulary(self.cfg["tokenizer"])
        if self.pieces:
            self.logger.info("%d new tokens: the vocabulary grows", len(self.pieces))
        self.day = day_of_run(checkpoint, self.world)
        self.train_dataset, self.val_dataset = build_datasets(self.cfg, self.tokenizer, self.day)
        if checkpoint is not None:
            require_same_inputs(checkpoint, self.cfg, self.tokenizer, self.train_dataset.identity)
        require_rows(self.cfg, self.tokenizer, self.pieces, self.train_dataset, self.val_dataset)
        self.template = self.train_dataset.template
        self.tokenizer.chat_template = trained_templates(self.template, self.tokenizer)
        self.loop, self.loader = build_loop(self.cfg, self.train_dataset, self.sequence.as_one)
        require_ends(self.loader.report, self.memory_check)
        self.max_steps = self.loop.total_steps(self.loader.steps_per_epoch)
        self.val_loader = validation_loader(self.cfg, self.val_dataset, self.sequence.as_one)
        self.schedule = build(SCHEDULES, self.cfg["param_scheduler"])
        self.hooks = build_hooks(self.cfg)
        self.call_hooks("after_load_data")
        enter("loading the model", slow=True)
        self.strategy = build(STRATEGIES, self.cfg["strategy"])
        self._check_processes()
        if self.strategy.divides_state and not self.cfg["model"].get("adapter"):
            require_shared(self.work_dir, self.world)
        self.logger.info(
            "%s, %s (%s)",
            self.strategy.device,
            self.strategy.precision.name,
            self.strategy.precision.reason,
        )
        share = self.train_dataset.report.trained_percent / 100
        self.began_with = adapter_trained_further(self.cfg, checkpoint)
        model_settings = decided_model(
            self.cfg,
            self.strategy.precision,
            place_of(self.strategy.device, self.world.size),
            self.world,
            share,
            self.pieces,
        )
        if self.memory_check is not None and self.world.is_main:
            self.memory_check.before_loading(self)
        seed_everything(self.cfg["randomness"]["seed"])
        self.model = build_model(
            weights_from(checkpoint, model_settings),
            device=self.strategy.loads_on,
            precision=self.strategy.precision,
            as_stored=self.strategy.divides_state,
            # A checkpoint's whole model has grown, and its new rows are trained.
            pieces=None if checkpoint and (checkpoint / "model").is_dir() else self.pieces,
            sequence=self.sequence,
        )
        self.throughput = Throughput(self.model, self.strategy)
        self.llm = self.model.llm
        # While this process has all weights: a strategy may take them apart.
        self.fingerprint = base_fingerprint(self.llm)
        self._parameters = count_parameters(self.model)
        enter("giving the model to the strategy", slow=True)
        self.strategy.prepare(
            self.model,
            partial(
                build_optimizer,
                cfg=self.cfg["optimizer"],
                paramwise_cfg=self.cfg.get("paramwise_cfg"),
            ),
        )
        # Training begins at the same random numbers, however many the model's building drew; each
        # process has dropout of its own.
        seed_everything(self.cfg["randomness"]["seed"] + self.world.rank)
        if checkpoint is not None:
            enter("loading the checkpoint", slow=True)
            load_checkpoint(self, checkpoint)

    def _check_processes(self) -> None:
        name, count = type(self.strategy).__name__, self.world.size
        if self.strategy.processes == "one" and count > 1:
            raise ConfigError(
                f"{name} is for one process, and {count} were started: leave --strategy out, or "
                "name ddp"
            )
        if self.strategy.processes == "several" and count == 1:
            raise ConfigError(
                f"{name} is for several processes, and this is the only one. Start them: "
                "NPROC_PER_NODE=2 xtune train CONFIG, or use --strategy single"
            )

    def _run(self) -> None:
        trainable, total = self._parameters
        self.logger.info(
            "%d steps in all, %d done; %s of %s parameters are trained",
            self.max_steps,
            self.step,
            f"{trainable:,}",
            f"{total:,}",
        )
        start = rng_state()
        enter("hooks before the first step", slow=True)
        try:
            self.call_hooks("before_run")
            with self._signals:
                self.call_hooks("before_train")
                load_rng_state(start)
                with self._watchdog.telling():
                    self.loop.run(self)
                    enter("writing the checkpoint", step=self.step, slow=True)
                    self.take_saved(wait=True)
                if self._signals.received is None:
                    enter("hooks after the last step", step=self.step, slow=True)
                    self.call_hooks("after_train")
                else:
                    self.call_hooks("on_interrupt")
                    self.interrupted = self._signals.received
        finally:
            self.ended_in = str(now())
            if lost := self._writer.close():
                self.logger.error("the checkpoint that was being written is lost: %s", lost)
            self.strategy.close()
            self.call_hooks("after_run")
