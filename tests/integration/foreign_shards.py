"""A hook that writes what DeepSpeed and torch.distributed.checkpoint would: folders of shards."""

from torch.distributed import checkpoint

from xtune.engine.hooks.base import Hook

__all__ = ["WriteShards"]


class WriteShards(Hook):
    """Writes work_dir/shards at the end, in the strategy's own format."""

    on_every_process = True

    def after_train(self, runner):
        folder = str(runner.work_dir / "shards")
        engine = getattr(runner.strategy, "engine", None)
        if engine is not None:
            engine.save_checkpoint(folder, tag="step")
        else:
            checkpoint.save({"model": runner.llm.state_dict()}, checkpoint_id=folder)
