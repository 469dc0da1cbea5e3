"""What a verb may import, as a table: not timed, but counted over the modules that it has loaded.

Each line is a promise: at its end, the command has imported none of these. torch costs a second of
a processor, transformers' models two more, PEFT brings bitsandbytes and torch's compiler.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.runs import write_inputs

LIBRARIES = (
    "torch",
    "transformers",
    "tokenizers",
    "peft",
    "accelerate",
    "bitsandbytes",
    "deepspeed",
    "datasets",
    "pyarrow",
    "pandas",
    "sklearn",
    "scipy",
    "matplotlib",
    "sympy",
    "tensorboard",
)
PEFT = ("peft", "bitsandbytes", "torch._inductor.compile_fx")
UNUSED = ("deepspeed", "datasets", "pyarrow", "pandas", "sklearn", "scipy", "matplotlib")

EXAMPLES = Path(__file__).parents[2] / "examples"
CHECK = "check custom_sft_lora"
# command -> what it must not have imported. MODEL and DATA are a tiny model and a few dialogues.
PROMISES = {
    "--help": (*LIBRARIES, "numpy", "mmengine", "rich"),
    "list-cfg": (*LIBRARIES, "numpy", "mmengine", "rich"),
    "list-cfg qwen --gpu-memory 8GB": LIBRARIES,
    "list-formats": LIBRARIES,
    "list-models": LIBRARIES,
    "list-models chatglm": LIBRARIES,
    "list-templates": LIBRARIES,
    "list-tools": LIBRARIES,
    CHECK: LIBRARIES,
    "check custom_sft_full": LIBRARIES,
    "check custom_sft_qlora": LIBRARIES,
    "check internlm_7b_qlora_alpaca --json": LIBRARIES,
    "check smollm2_135m_lora_toolcall": LIBRARIES,  # names layers, and linear layers in them
    "check custom_sft_lora --cfg-options lora.target_modules=['q_proj','v_proj']": LIBRARIES,
    f"{CHECK} --cfg-options adapter=MODEL": LIBRARIES,  # there is no such adapter
    f"{CHECK} --cfg-options lora.rr=3": LIBRARIES,  # misspelt
    f"{CHECK} --cfg-options optimizer.type=AdamWW strategy.type=DeepSpeedStrateg": LIBRARIES,
    f"{CHECK} --cfg-options lora.type=peft.IA3Config": LIBRARIES,
    f"{CHECK} --cfg-options lora.type=LoraConfg": LIBRARIES,
    "train custom_sft_lora --cfg-options map_fn=alpca": LIBRARIES,
    "train custom_sft_lora --dry-run --cfg-options prompt_template=chatmll": LIBRARIES,
    "log-dataset custom_sft_lora --cfg-options map_fn=alpca": LIBRARIES,
    "estimate custom_sft_lora --cfg-options map_fn=alpca": LIBRARIES,
    "scaling custom_sft_lora --cfg-options map_fn=alpca": LIBRARIES,
    "profile custom_sft_lora --cfg-options map_fn=alpca": LIBRARIES,
    "copy-cfg custom_sft_lora copied.py": LIBRARIES,
    "diff-cfg custom_sft_lora custom_sft_qlora": LIBRARIES,
    "explain custom_sft_lora": LIBRARIES,
    "check-dataset DATA": LIBRARIES,
    "check-dataset custom_sft_lora": LIBRARIES,
    "chat --adapter nothing/here --prompt hi": LIBRARIES,  # a wrong folder is said first
    "chat MODEL --prompt-template chatml --prompt hi --max-new-tokens 2": (*PEFT, *UNUSED),
    "log-dataset custom_sft_lora --n 1 --cfg-options pretrained_model_name_or_path=MODEL": (
        *PEFT,
        *UNUSED,
    ),
    "estimate custom_sft_full --gpu-memory 24GB": UNUSED,
    # PEFT itself imports bitsandbytes, and that torch's compiler
    "estimate custom_sft_lora --gpu-memory 24GB": UNUSED,
    "train custom_sft_lora --dry-run --cfg-options pretrained_model_name_or_path=MODEL": UNUSED,
}
# Those that ask for what is not there: they end with 2, all others with 0
WRONG = (
    "adapter=MODEL",
    "=alpca",
    "chatmll",
    "lora.rr=",
    "AdamWW",
    "IA3Config",
    "LoraConfg",
    "nothing/here",
)
WATCH = (
    "import sys\n"
    "from xtune.cli.entry import main\n"
    "code = main(sys.argv[1:])\n"
    "print('imported:', *sorted(sys.modules))\n"
    "sys.exit(code)\n"
)


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    return write_inputs(tmp_path_factory.mktemp("inputs"))


@pytest.mark.parametrize("command", PROMISES)
def test_a_verb_imports_what_it_uses(command, inputs, tmp_path):
    promised, is_wrong = PROMISES[command], any(part in command for part in WRONG)
    (tmp_path / "examples").symlink_to(EXAMPLES)  # the data that the config names
    names = {"MODEL": str(inputs.model), "DATA": str(inputs.data)}
    for name, path in names.items():
        command = command.replace(name, path)
    done = subprocess.run(
        [sys.executable, "-c", WATCH, *command.split()],
        cwd=tmp_path,
        env=os.environ | {"XTUNE_CACHE": str(tmp_path / "cache"), "HF_HUB_OFFLINE": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == (2 if is_wrong else 0), done.stdout + done.stderr
    (line,) = [line for line in done.stdout.splitlines() if line.startswith("imported:")]
    assert "did not foresee" not in done.stderr
    assert {*line.split()} & set(promised) == set()
