"""What the flags of XTuner and of other tools are here."""

from __future__ import annotations

import re
from collections.abc import Collection

__all__ = ["hint", "meaningless"]

_STARTS = "the processes are found without it (NPROC_PER_NODE=8 xtune train CONFIG, or torchrun)"
_STREAMS = "an answer is shown as it is written"
_STOPS = "what ends an answer is the model's and its template's own"
_SHARDS = "weights are written as safetensors, in shards that every program loads"
_TEXT = "xtune reads text, no pictures"

# verb or '' for all: flag -> why it is left out, and whether a value follows it
_MEANINGLESS = {
    "train": {"launcher": (_STARTS, True), "local-rank": (_STARTS, True)},
    "chat": {
        "no-streamer": (_STREAMS, False),
        "streamer": (_STREAMS, False),
        "stream": (_STREAMS, False),
        "bot-name": ("the answer stands alone", True),
    },
    "convert": {
        "max-shard-size": (_SHARDS, True),
        "safe-serialization": (_SHARDS, False),
        "device": ("it is done in the host's memory", True),
    },
    "export": {
        "max-shard-size": (_SHARDS, True),
        "safe-serialization": (_SHARDS, False),
        "device": ("it is done in the host's memory", True),
    },
}

# flags of other tools -> the knob; {} is the value
_KNOBS = {
    "lr": "learning-rate",
    "batch_size": "per-device-train-batch-size micro-batch-size train-batch-size bs",
    "accumulative_counts": "gradient-accumulation-steps gradient-accumulation accumulation-steps",
    "max_epochs": "num-train-epochs epochs num-epochs epoch",
    "max_steps": "max-train-steps max-iters total-steps",
    "max_length": "cutoff-len max-seq-length max-seq-len seq-len sequence-len model-max-length",
    "pretrained_model_name_or_path": "model model-name-or-path base-model model-path model-id",
    "data_path": "dataset data train-file dataset-path dataset-dir dataset-name train-data",
    "prompt_template": "template chat-template",
    "pack_to_max_length": "packing pack sample-packing",
    "max_norm": "max-grad-norm gradient-clipping gradient-clip-val",
    "evaluation_freq": "eval-steps evaluation-steps eval-interval",
    "dataloader_num_workers": "num-workers workers",
    "optimizer.type": "optim optimizer",
    "lora.r": "lora-rank lora-r rank",
    "lora.lora_alpha": "lora-alpha",
    "lora.lora_dropout": "lora-dropout",
    "lora.target_modules": "lora-target target-modules lora-target-modules lora-modules",
    "strategy.precision": "precision torch-dtype dtype mixed-precision",
    "strategy.precision=bf16": "bf16 amp",
    "strategy.precision=fp16": "fp16",
}

_IN_THE_NAME = "the config's name says it: full, lora or qlora; see xtune list-cfg"
_FIRST = "give it as the first word, without a flag"
_HINTS = {
    "train": {
        "gpus gpu num-gpus n-gpus ngpus nproc-per-node nproc devices num-processes world-size": (
            "set it before: NPROC_PER_NODE={} xtune train CONFIG"
        ),
        "nnodes num-machines num-nodes": "set it before, on each host: NNODES={}",
        "node-rank machine-rank": "set it before, on each host: NODE_RANK={}",
        "master-addr addr main-process-ip": "set it before, on each host: ADDR={}",
        "master-port port main-process-port": "set it before, on each host: PORT={}",
        "gpu-ids gpu-id device cuda": "set it before: CUDA_VISIBLE_DEVICES={}",
        "output-dir save-dir out out-dir workdir output-path output save-path": "--work-dir {}",
        "resume-from resume-from-checkpoint": "--resume {}",
        "auto-resume": "--resume",
        "load-from checkpoint": (
            "to start from trained weights: --cfg-options pretrained_model_name_or_path={}; to go "
            "on with a run: --resume"
        ),
        "finetuning-type stage quantization-bit load-in-4bit load-in-8bit qlora use-lora peft "
        "use-peft lora do-train quantize": _IN_THE_NAME,
        "framework": "there is one loop, xtune's own; leave it out",
        "no-validate": "leave it out, or without val_data_path nothing is validated",
        "flash-attn flash-attention attn-implementation attn-impl use-flash-attn": (
            "the fastest attention that is installed is chosen, and named in the log"
        ),
        "gradient-checkpointing": "--cfg-options model.gradient_checkpointing={}",
    },
    "chat": {
        "adapter-path adapter-name-or-path adapters peft lora lora-path peft-model ckpt-dir": (
            "--adapter {}"
        ),
        "model model-path model-name-or-path base-model model-id": _FIRST,
        "torch-dtype precision": "--dtype {}",
        "load-in-4bit quantize": "--bits 4",
        "load-in-8bit": "--bits 8",
        "max-length max-tokens max-new-token max-gen-len num-tokens": "--max-new-tokens {}",
        "temp": "--temperature {}",
        "template chat-template": "--prompt-template {}",
        "input query question message": "--prompt {}",
        "stop-words command-stop-word answer-stop-word stop": f"leave it out: {_STOPS}",
        "llava visual-encoder visual-select-layer image images": _TEXT,
        "offload-folder": "leave it out; --bits 4 takes a quarter of the memory",
    },
    "log-dataset": {
        "show": "what is trained and what is masked is shown together; --json has the numbers"
    },
    "convert": {"fp32": "the weights stay as they are; xtune export MODEL OUT --dtype fp32"},
    "export": {
        "fp32": "--dtype fp32",
        "fp16": "--dtype fp16",
        "bf16": "--dtype bf16",
        "adapter-path adapter-name-or-path lora": "--adapter {}",
        "model model-path model-name-or-path": _FIRST,
        "out output export-dir output-dir save-dir": "give it as the second word, without a flag",
    },
    "eval": {"checkpoint": "--adapter DIR", "llava visual-encoder": _TEXT},
    "": {
        "config cfg config-file": f"{_FIRST}: CONFIG",
        "options override overrides set": "--cfg-options {}",
    },
}


def meaningless(verb: str, flag: str) -> tuple[str, bool] | None:
    """Return why a flag is left out, and whether a value follows it; None if it is not.

    Args:
        verb: of xtune.
        flag: as it is typed, with its hyphens.

    >>> meaningless('train', '--local-rank')[1]
    True
    """
    return _MEANINGLESS.get(verb, {}).get(flag.removeprefix("--"))


def hint(verb: str, flag: str, value: str | None, ours: Collection[str]) -> str:
    """Return what to write instead of a flag that the verb does not have, or ''.

    Args:
        verb: the verb.
        flag: as given, with dashes.
        value: what follows it.
        ours: the flags that the verb does have.

    >>> hint('train', '--learning-rate', '1e-5', ['--cfg-options'])
    'write --cfg-options lr=1e-5'
    >>> hint('train', '--num-gpus', None, [])
    'set it before: NPROC_PER_NODE=N xtune train CONFIG'
    """
    name = flag.lstrip("-")
    for group in (_HINTS.get(verb, {}), _HINTS[""]):
        for names, said in group.items():
            if name in names.split():
                text = said.replace("{}", value or "N")
                return f"write {text}" if text.startswith("--") else text
    if "--cfg-options" not in ours:
        return ""
    for knob, names in _KNOBS.items():
        if name in names.split():
            written = knob if "=" in knob else f"{knob}={value or 'VALUE'}"
            return f"write --cfg-options {written}"
    knob = name.replace("-", "_")
    return f"write --cfg-options {knob}={value or 'VALUE'}" if knob in _our_knobs() else ""


def _our_knobs() -> set[str]:
    """The plain variables of the configs' parts."""
    from xtune.config.find import config_root

    parts = (config_root() / "_base_").rglob("*.py")
    return {
        name
        for part in parts
        for name in re.findall(r"^(\w+) =", part.read_text(encoding="utf-8"), re.M)
    }
