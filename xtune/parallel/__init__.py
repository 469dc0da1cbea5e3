"""Process groups and sequence-parallel collectives: empty until a run spans several devices.

The `single` strategy needs neither. The issues that add data parallelism (ddp, DeepSpeed, FSDP) and
sequence parallelism fill this room; xtune/engine/strategies/base.py names the verbs they implement.
"""
