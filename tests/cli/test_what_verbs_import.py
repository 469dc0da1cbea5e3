"""What a verb may import, as a table: not timed, but counted over the modules that it has loaded.

Each line is a promise: at its end, the command has imported none of these. torch costs a second of
a processor, transformers' models two more, PEFT brings bitsandbytes and torch's compiler.
"""

from __future__ import annotations

import itertools
import json
import os
import re
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest

from tests.once import once

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
    # an algorithm with a loss of its own says itself what does not go together
    "check custom_dpo_lora": (*PEFT, *UNUSED),
    "check custom_reward_lora": (*PEFT, *UNUSED),
    "check custom_kto_lora": (*PEFT, *UNUSED),
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
# One process for all, those that promise most first: what is imported by then, none of them may
WATCH = """
import json, sys
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from xtune.cli.entry import main
for command in json.load(open(sys.argv[1])):
    before, out, err = set(sys.modules), StringIO(), StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        try:
            code = main(command.split())
        except SystemExit as end:
            code = end.code or 0
    new = sorted(set(sys.modules) - before)
    print("WATCHED", json.dumps([code, err.getvalue() + out.getvalue(), new]), flush=True)
"""


@pytest.fixture(scope="session")
def watched(inputs, shared_folder):
    """Command -> its exit code, what it said, and the modules that it was the first to import."""
    file = once(shared_folder / "what_verbs_import", partial(_watch, inputs)) / "found.json"
    return json.loads(file.read_text(encoding="utf-8"))


def _watch(inputs, folder):
    folder.mkdir()
    (folder / "examples").symlink_to(EXAMPLES)  # the data that the config names
    names = {"MODEL": str(inputs.model), "DATA": str(inputs.data)}
    commands = [re.sub("MODEL|DATA", lambda found: names[found[0]], one) for one in PROMISES]
    (folder / "commands.json").write_text(json.dumps(commands), encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-c", WATCH, "commands.json"],
        cwd=folder,
        env=os.environ | {"XTUNE_CACHE": str(folder / "cache"), "HF_HUB_OFFLINE": "1"},
        capture_output=True,
        text=True,
    )
    lines = [line for line in done.stdout.splitlines() if line.startswith("WATCHED ")]
    assert len(lines) == len(PROMISES), done.stdout + done.stderr
    found = [json.loads(line.removeprefix("WATCHED ")) for line in lines]
    (folder / "found.json").write_text(json.dumps(dict(zip(PROMISES, found, strict=True))))


@pytest.mark.parametrize("command", PROMISES)
def test_a_verb_imports_what_it_uses(command, watched):
    code, said, imported = watched[command]
    is_wrong = any(part in command for part in WRONG)
    assert code == (2 if is_wrong else 0), said
    assert "did not foresee" not in said
    assert {*imported} & {*PROMISES[command]} == set()


def test_those_that_promise_most_come_first():
    """Or what one is the first to import would be no fault of a later one that may not."""
    promises = [{name.split(".")[0] for name in promised} for promised in PROMISES.values()]
    assert all(later <= earlier for earlier, later in itertools.pairwise(promises))
