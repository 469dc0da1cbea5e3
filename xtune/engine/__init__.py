"""Turning a sheet into a training run.

    start.py       what `xtune train` and `xtune.train` share; results.py what a run has left
    run.py         how far a run is, and what loops, hooks and checkpoints may ask of it
    runner.py      builds everything in order into a run, and starts its loop
    loops.py       where the batches of each optimizer step come from
    update.py      one optimizer step
    strategies/    where a model runs: device, precision, backward, clipping, the optimizer's step
    hooks/         what watches a run: one file each
    work_dir.py    which folder a run may write to, and what is kept of the one before
    dry_run.py     `xtune train --dry-run`
    rng.py  signals.py  logs.py    random generators, Ctrl-C and SIGTERM, the console and train.log

An iteration is an optimizer step, everywhere: accumulation is inside it.
"""
