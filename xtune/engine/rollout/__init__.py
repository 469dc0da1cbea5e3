"""Training on answers that the model writes itself.

    prompts -> sampling.py -> rewards.py -> scoring.py -> advantages -> micro-batches -> update

loop.py       `RolloutLoop`, which goes round that circle
rollout.py    `Rollout`, the answers of an iteration with all that is known of them
"""
