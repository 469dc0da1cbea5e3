# PART 5  Runtime
strategy = dict(type='SingleStrategy', precision='auto')
parallel = dict(sequence_parallel_size=sequence_parallel_size)
default_hooks = dict(
    data_report=dict(type='DataReportHook'),
    check_loss=dict(type='CheckLossHook'),
    metrics=dict(type='MetricsHook'),
    progress=dict(type='ProgressHook'),
    tensorboard=dict(type='TensorboardHook'),
    loss_curve=dict(type='LossCurveHook'),
    checkpoint=dict(type='CheckpointHook', interval=save_steps, max_keep=save_total_limit))
custom_hooks = [
    dict(
        type='EvaluateChatHook',
        interval=evaluation_freq,
        system=SYSTEM,
        evaluation_inputs=evaluation_inputs)
]
randomness = dict(seed=seed)
env_cfg = dict(hang_timeout=600)  # seconds that one process of several may stand still
work_dir = None  # None: work_dirs/<name of this config>
