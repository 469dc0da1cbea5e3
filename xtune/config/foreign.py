"""What the words of XTuner's sheets and of other tools are here: hints only, nothing is run.

option_of('learning_rate')         the knob 'lr'
hint('EvaluateChatHook')           how that is said in a sheet of ours
foreign_imports(lines)             `from xtuner… import …` and MMEngine's rooms, line by line
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Sequence

from xtune.config.foreign_configs import PAIRS, PICTURES, REWARDS
from xtune.config.source import Line, parse

__all__ = ["foreign_imports", "hint", "option_of"]

# our option -> what other tools call it
_OPTIONS = {
    "lr": "learning-rate base-lr",
    "batch_size": "per-device-train-batch-size micro-batch-size train-batch-size bs",
    "accumulative_counts": "gradient-accumulation-steps gradient-accumulation accumulation-steps",
    "max_epochs": "num-train-epochs epochs num-epochs epoch",
    "max_steps": "max-train-steps max-iters total-steps",
    "max_length": "cutoff-len max-seq-length max-seq-len seq-len sequence-len model-max-length",
    "pretrained_model_name_or_path": "model model-name-or-path base-model model-path "
    "model-id model-name",
    "data_path": "dataset data train-file dataset-path dataset-dir dataset-name train-data "
    "datasets data-files",
    "val_data_path": "eval-dataset val-dataset-path validation-file val-data",
    "map_fn": "dataset-format data-format formatting dataset-type",
    "prompt_template": "template chat-template",
    "pack_to_max_length": "packing pack sample-packing",
    "max_norm": "max-grad-norm gradient-clipping gradient-clip-val",
    "evaluation_freq": "eval-steps evaluation-steps eval-interval",
    "save_total_limit": "max-keep-ckpts keep-checkpoints",
    "save_steps": "save-interval checkpoint-interval",
    "dataloader_num_workers": "num-workers workers",
    "param_scheduler.type": "lr-scheduler-type lr-scheduler scheduler",
    "optimizer.type": "optim optimizer",
    "lora.r": "lora-rank lora-r rank",
    "lora.lora_alpha": "lora-alpha",
    "lora.lora_dropout": "lora-dropout",
    "lora.target_modules": "lora-target target-modules lora-target-modules lora-modules",
    "strategy.precision": "precision torch-dtype dtype mixed-precision",
    "strategy.precision=bf16": "bf16 amp",
    "strategy.precision=fp16": "fp16",
    "SYSTEM": "system system-prompt",
    "work_dir": "output-dir save-dir out-dir workdir",
}
_OURS = {name: ours for ours, names in _OPTIONS.items() for name in names.split()}


def option_of(name: str) -> str:
    """Return the option that another tool's name stands for, or ''; 'lora.r=…' of '--lora_rank'.

    >>> option_of('learning_rate'), option_of('--lora-rank'), option_of('lr')
    ('lr', 'lora.r', '')
    """
    return _OURS.get(name.lstrip("-").lower().replace("_", "-"), "")


_HOOK = "a hook of that name is here too, named and not imported: "
_PACKED = "leave it out: documents in a pack never see each other here"
_LOG = "leave it out: the log says tokens a second, and metrics.jsonl"
_DATASET = "train_dataset = dict(type='SFTDataset', data_path=...), as `xtune copy-cfg` writes it"
_LOOP = "train_cfg = dict(type='TrainLoop', max_epochs=3)"
_OPTIMIZER = "optimizer = dict(type='AdamW', lr=lr) and clip_grad = dict(max_norm=1.0)"
_SCHEDULE = "param_scheduler = dict(type='CosineSchedule', warmup_ratio=0.03)"
_ORDER = "train_dataloader = dict(batch_size=1, shuffle=True): the order follows from the seed"
_ALWAYS = "leave it out: it is always so here"
_PLAIN_NAME = "name it as a string, and import nothing: type='{}'"

# A name in a sheet of XTuner's or MMEngine's -> what is said in its place here
_NAMES = {
    "PROMPT_TEMPLATE": "prompt_template = 'internlm2_chat': its name (xtune list-templates)",
    "SYSTEM_TEMPLATE": "SYSTEM = '...': the text itself",
    "template_map_fn": "leave it out: prompt_template says it all",
    "template_map_fn_factory": "leave it out: prompt_template says it all",
    "process_hf_dataset": _DATASET,
    "process_intern_repo_dataset": "rows of tokens are read with map_fn = 'tokenized'",
    "load_intern_repo_tokenized_dataset": "rows of tokens are read with map_fn = 'tokenized'",
    "load_dataset": _DATASET,
    "ConcatDataset": "data_path = [dict(data_path=...), ...]: a mixture",
    "default_collate_fn": "leave it out: rows lie end to end, without padding",
    "SupervisedFinetune": _PLAIN_NAME.format("SupervisedFinetune"),
    "DatasetInfoHook": "DataReportHook reports on the data; xtune log-dataset shows their tokens",
    "EvaluateChatHook": (
        f"{_HOOK}custom_hooks = [dict(type='EvaluateChatHook', interval=evaluation_freq, "
        "system=SYSTEM, evaluation_inputs=evaluation_inputs)]"
    ),
    "ThroughputHook": _LOG,
    "HFCheckpointHook": "leave it out: checkpoints are in Hugging Face's format as they are",
    "VarlenAttnArgsToMessageHubHook": _PACKED,
    "CheckpointHook": f"{_HOOK}dict(type='CheckpointHook', interval=500, max_keep=2)",
    "LoggerHook": "ProgressHook and MetricsHook, which default_hooks has",
    "IterTimerHook": _LOG,
    "ParamSchedulerHook": _ALWAYS,
    "DistSamplerSeedHook": _ALWAYS,
    "RuntimeInfoHook": _ALWAYS,
    "EmptyCacheHook": _ALWAYS,
    "TrainLoop": _LOOP,
    "ValLoop": "val_data_path names validation data; evaluation_freq says how often",
    "TestLoop": "xtune eval RUN",
    "EpochBasedTrainLoop": _LOOP,
    "IterBasedTrainLoop": "train_cfg = dict(type='TrainLoop', max_epochs=None, max_steps=1000)",
    "AmpOptimWrapper": _OPTIMIZER,
    "OptimWrapper": _OPTIMIZER,
    "DeepSpeedOptimWrapper": f"{_OPTIMIZER}, and --deepspeed deepspeed_zero2",
    "CosineAnnealingLR": _SCHEDULE,
    "LinearLR": _SCHEDULE,
    "DefaultSampler": _ORDER,
    "InfiniteSampler": _ORDER,
    "LengthGroupedSampler": "leave it out: packing fills rows of one length",
    "SequenceParallelSampler": "sequence_parallel_size = 2: rows are shared as it says",
    "Visualizer": "default_hooks has tensorboard",
    "TensorboardVisBackend": "default_hooks has tensorboard",
    "WandbVisBackend": "custom_hooks = [dict(type='WandbHook')]",
    **dict.fromkeys(("DPO", "ORPO", "preference_collate_fn"), PAIRS),
    "build_preference_dataset": "train_dataset.type = 'PreferenceDataset', as in custom_dpo_lora",
    "RewardModel": REWARDS,
    **dict.fromkeys(("LLaVAModel", "LLaVADataset", "InternVL_V1_5"), PICTURES),
    # Sections and plain variables
    "load_from": (
        "to start from trained weights name them as pretrained_model_name_or_path, or an adapter "
        "as adapter='work_dirs/OTHER'"
    ),
    "resume": "xtune train CONFIG --resume; delete it here",
    "optim_wrapper": _OPTIMIZER,
    "optim_type": "optimizer.type, 'AdamW'",
    "visualizer": "default_hooks has tensorboard; delete it here",
    "vis_backends": "default_hooks has tensorboard; delete it here",
    "log_level": "train.log has everything; delete it here",
    "log_processor": "steps are optimizer steps; delete it here",
    "default_scope": "delete it: names are looked up in xtune's own registries",
    "launcher": "NPROC_PER_NODE=8 xtune train CONFIG; delete it here",
    "cudnn_benchmark": "delete it here",
    "use_varlen_attn": "delete it: documents in a pack never see each other here",
    "alpaca_en_path": "data_path names the data",
    "sequence_parallel": "sequence_parallel_size = 2",
}
_MAP_FN = re.compile(r"(?P<format>\w+)_map_fn")


def hint(name: str, formats: Iterable[str] = ()) -> str:
    """Return what a name of XTuner's, MMEngine's or another tool's is here, or ''.

    Args:
        name: of a hook, a class, a function, a section or a variable.
        formats: the names of our map_fns.

    >>> hint('alpaca_map_fn', ['alpaca'])
    "map_fn = 'alpaca'"
    """
    if known := _NAMES.get(name):
        return known
    if option := option_of(name):
        return f"here it is {option}"
    if (found := _MAP_FN.fullmatch(name)) and found["format"] in formats:
        return f"map_fn = {found['format']!r}"
    return ""


_ROOMS = re.compile(
    r"xtuner(\..+)?|mmengine\.(hooks|optim|runner|dataset|model|evaluator|visualization|_strategy|"
    r"dist|fileio|logging)(\..+)?"
)


def foreign_imports(lines: Sequence[Line], formats: Iterable[str] = ()) -> list[str]:
    """Return a line for each import that no sheet of ours can use, with what to write instead.

    Args:
        lines: of a flat sheet.
        formats: the names of our map_fns.
    """
    known = set(formats)
    found = []
    for node in ast.walk(parse(lines)):
        if isinstance(node, ast.ImportFrom) and _ROOMS.fullmatch(node.module or ""):
            module, imported = node.module, [alias.name for alias in node.names]
        elif isinstance(node, ast.Import):
            modules = [alias.name for alias in node.names if _ROOMS.fullmatch(alias.name)]
            module, imported = ", ".join(modules), []
        else:
            continue
        if not module:
            continue
        told = [f"{name}: {said}" for name in imported if (said := hint(name, known))]
        what = f"{module} is not used here"
        origin = lines[node.lineno - 1].origin
        found.append(f"{origin}: {'; '.join([what, *told])}")
    if found and any("xtuner" in one for one in found):
        found.append(
            "This is a sheet of XTuner's. Its PART 1 goes into one of ours, whose knobs have the "
            "same names: xtune list-cfg finds it, xtune copy-cfg NAME . writes it"
        )
    return found
