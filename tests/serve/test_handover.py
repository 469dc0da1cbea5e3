"""`xtune handover`: files for OpenCompass, loaded as it loads them; and what is refused."""

from __future__ import annotations

import json
import shutil
import sys

import pytest
from mmengine.config import Config
from transformers import AutoTokenizer

from tests.once import once
from tests.runs import train
from tests.tiny import write_tiny_llama
from xtune.cli.entry import main
from xtune.export.system_text import with_system
from xtune.generation.generate import prompt_ids
from xtune.generation.locate import find_adapter
from xtune.models import load_tokenizer
from xtune.serve.handover.given import Given
from xtune.serve.handover.tokenizer import PROBES

SYSTEM = 'Be "brief", {% kind %} and 直接。\nAlways.'


@pytest.fixture(scope="session")
def run_folder(inputs, shared_folder):
    """The work_dir of a run of two steps with LoRA and a system text."""
    return once(
        shared_folder / "handover_run",
        lambda folder: train(inputs, folder, "max_steps=2", "save_steps=2", f"SYSTEM={SYSTEM!r}"),
    )


@pytest.fixture
def opencompass(tmp_path, monkeypatch):
    """A package of its name, whose classes are names."""
    package = tmp_path / "packages/opencompass/models"
    package.mkdir(parents=True)
    (package.parent / "__init__.py").touch()
    names = ("HuggingFacewithChatTemplate", "HuggingFaceBaseModel")
    (package / "__init__.py").write_text("".join(f"class {name}: pass\n" for name in names))
    monkeypatch.syspath_prepend(tmp_path / "packages")
    yield
    for name in [name for name in sys.modules if name.partition(".")[0] == "opencompass"]:
        del sys.modules[name]


def model_in(file):
    """The config as OpenCompass reads it."""
    (model,) = Config.fromfile(file)["models"]
    return model


def test_a_runs_adapter(run_folder, inputs, tmp_path, opencompass, capsys):
    out = tmp_path / "out"
    assert main(["handover", str(run_folder), "opencompass", "--out", str(out)]) == 0
    shown = capsys.readouterr().out
    assert f"opencompass --config-dir {out} --models xtune_handover_run --datasets" in shown
    model = model_in(out / "models/xtune_handover_run.py")
    assert model["type"].__name__ == "HuggingFacewithChatTemplate"
    assert model["path"] == str(inputs.model)
    assert model["peft_path"] == str(find_adapter(run_folder).resolve())
    assert model["tokenizer_path"] == str(out / "tokenizer")
    assert "<|im_end|>" in model["stop_words"]
    assert model["model_kwargs"]["trust_remote_code"] is False
    # As OpenCompass renders a question
    read = AutoTokenizer.from_pretrained(out / "tokenizer")
    ours = load_tokenizer(str(find_adapter(run_folder)))
    for probe in PROBES:
        text = read.apply_chat_template(probe, add_generation_prompt=True, tokenize=False)
        whole = [{"role": "system", "content": SYSTEM}, *probe]
        assert read(text, add_special_tokens=False)["input_ids"] == prompt_ids(ours, whole)
        assert SYSTEM in text
    own = [{"role": "system", "content": "Other."}, *PROBES[0]]
    assert SYSTEM not in read.apply_chat_template(own, tokenize=False)
    readme = (out / "README.md").read_text()
    for said in ("pip install opencompass==0.5.4", "system text included", "4- or 8-bit base"):
        assert said in readme
    assert main(["handover", str(run_folder), "opencompass", "--out", str(out)]) == 2
    assert "exists already" in capsys.readouterr().err


def test_a_whole_model_and_one_without_a_template(parrot_folder, tmp_path, opencompass, capsys):
    out = tmp_path / "chat"
    assert main(["handover", str(parrot_folder), "opencompass", "--out", str(out)]) == 0
    (config,) = (out / "models").iterdir()
    assert "peft_path" not in model_in(config)
    base = write_tiny_llama(tmp_path / "base")
    (base / "chat_template.jinja").unlink()
    out = tmp_path / "completion"
    assert main(["handover", str(base), "opencompass", "--out", str(out)]) == 0
    assert "notice: there is no chat template" in capsys.readouterr().out
    model = model_in(out / "models/xtune_base.py")
    assert model["type"].__name__ == "HuggingFaceBaseModel"
    assert "`*_ppl` and `*_gen` sets both work" in (out / "README.md").read_text()


def edited(folder, to, name, **changes):
    """A copy of a folder with fields of one of its files changed."""
    shutil.copytree(folder, to, symlinks=True)
    file = to / name
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))
    return to


def test_a_grown_vocabulary_is_refused(run_folder, tmp_path, capsys):
    adapter = edited(find_adapter(run_folder), tmp_path / "a", "xtune.json", base_vocab_size=999)
    assert main(["handover", str(adapter), "opencompass", "--out", str(tmp_path / "out")]) == 2
    said = capsys.readouterr().err
    assert "the run gave the vocabulary new rows" in said
    assert f"xtune export {adapter} OUT\n  xtune handover OUT opencompass\n" in said
    assert not (tmp_path / "out").exists()


def test_a_lost_template_is_refused(run_folder, tmp_path, capsys):
    adapter = edited(find_adapter(run_folder), tmp_path / "a", "xtune.json")
    (adapter / "chat_template.jinja").unlink()
    assert main(["handover", str(adapter), "opencompass", "--out", str(tmp_path / "out")]) == 2
    assert "its tokenizer has none: copy the folder once more" in capsys.readouterr().err


def test_a_layout_with_code_of_its_own_is_refused(parrot_folder, tmp_path, capsys):
    auto_map = {"AutoModelForCausalLM": "modeling_x.X"}
    model = edited(parrot_folder, tmp_path / "m", "config.json", auto_map=auto_map)
    assert main(["handover", str(model), "opencompass", "--out", str(tmp_path / "out")]) == 2
    assert "is not in transformers' own layout" in capsys.readouterr().err


def test_several_templates_are_refused_and_nothing_is_left(parrot_folder, tmp_path, capsys):
    model = edited(parrot_folder, tmp_path / "m", "tokenizer_config.json")
    (model / "additional_chat_templates").mkdir()
    (model / "additional_chat_templates/tool_use.jinja").write_text("x")
    assert main(["handover", str(model), "opencompass", "--out", str(tmp_path / "out")]) == 2
    assert "several chat templates (default, tool_use)" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["m"]


def test_a_template_without_a_system_text_stays(run_folder):
    assert with_system("{{ x }}", "") == "{{ x }}"
    given = Given.find(str(run_folder), target="vllm")
    assert (given.system, given.is_chat, given.name) == (SYSTEM, True, "handover_run")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["m", "opencompas"], "unknown target 'opencompas'; did you mean 'opencompass'?"),
        (["./nope", "opencompass"], "nope"),
        (["vllm", "./nope"], "the model comes first: xtune handover ./nope vllm"),
    ],
)
def test_misuse(words, said, tmp_path, capsys):
    assert main(["handover", *words, "--out", str(tmp_path / "out")]) == 2
    assert said in capsys.readouterr().err


@pytest.mark.parametrize(
    ("target", "words"),
    [
        ("vllm", ["vllm serve ", "--enable-lora --max-lora-rank 8 ", "--generation-config "]),
        ("sglang", ["--model-path ", "--enable-lora --max-lora-rank 4 ", "--lora-paths "]),
        ("lmdeploy", ["xtune export ", "/model\n", "lmdeploy serve api_server "]),
        (
            "llamacpp",
            [".gguf --format gguf --quant q8_0\n", "llama-server -m ", "--jinja -c 2048 "],
        ),
        ("ollama", [".gguf --format gguf --quant q8_0\n", "ollama create handover_run -f "]),
    ],
)
def test_other_programs_get_their_commands(target, words, run_folder, tmp_path, capsys):
    out = tmp_path / "out"
    assert main(["handover", str(run_folder), target, "--out", str(out)]) == 0
    shown = capsys.readouterr().out
    for word in words:
        assert word in shown
    page = (out / "README.md").read_text()
    assert "itself was not run here" in page
    assert shown.strip().splitlines()[-1] in page


@pytest.mark.parametrize("target", ["vllm", "sglang"])
def test_a_page_says_what_was_checked_and_no_more(target, run_folder, tmp_path):
    rendered = "transformers alone renders the token ids of `xtune chat`"
    assert main(["handover", str(run_folder), target, "--out", str(tmp_path / "chat")]) == 0
    page = (tmp_path / "chat" / "README.md").read_text()
    assert f"- {rendered}, by `tokenizer/`, system text included\n" in page
    assert " --chat-template " in page
    base = write_tiny_llama(tmp_path / "base")
    (base / "chat_template.jinja").unlink()
    assert main(["handover", str(base), target, "--out", str(tmp_path / "plain")]) == 0
    page = (tmp_path / "plain" / "README.md").read_text()
    assert rendered not in page
    assert " --chat-template " not in page
    assert "/v1/chat/completions" not in page


def test_the_folder_is_named_for_the_model_and_the_program(
    run_folder, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    for code, said in ((0, "handover_run_vllm: written"), (2, "handover_run_vllm exists already")):
        assert main(["handover", str(run_folder), "vllm"]) == code
        assert said in "".join(capsys.readouterr())
    assert (tmp_path / "handover_run_vllm/README.md").is_file()


def test_who_may_read_the_folder_may_read_its_files(run_folder, tmp_path):
    """safetensors alone writes for the owner only: a server of another user could not load it."""
    assert main(["handover", str(run_folder), "vllm", "--out", str(tmp_path / "out")]) == 0
    for folder in (find_adapter(run_folder), tmp_path / "out"):
        files = [path for path in folder.rglob("*") if path.is_file()]
        assert "adapter_model.safetensors" in {path.name for path in files}
        assert {path.stat().st_mode & 0o777 for path in files} == {folder.stat().st_mode & 0o666}


def test_vllm_is_given_ends_and_the_trained_template(run_folder, tmp_path):
    out = tmp_path / "out"
    assert main(["handover", str(run_folder), "vllm", "--out", str(out)]) == 0
    said = json.loads((out / "generation/generation_config.json").read_text())
    assert said == {"eos_token_id": [2]}
    read = AutoTokenizer.from_pretrained(out / "tokenizer")
    ours = prompt_ids(
        load_tokenizer(str(find_adapter(run_folder))),
        [{"role": "system", "content": SYSTEM}, *PROBES[0]],
    )
    assert read.apply_chat_template(PROBES[0], add_generation_prompt=True)["input_ids"] == ours
    adapter = json.loads((out / "adapter/adapter_config.json").read_text())
    assert (adapter["r"], adapter["use_rslora"]) == (4, False)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"use_dora": True}, "it is DoRA"),
        ({"modules_to_save": ["lm_head"]}, "weights that it trains whole"),
        ({"rank_pattern": {"q_proj": 2}}, "rank_pattern gives layers scales of their own"),
        ({"r": 600}, "its rank is 600, and vLLM takes at most 512"),
    ],
)
def test_what_a_server_cannot_load_is_merged_first(changes, reason, run_folder, tmp_path, capsys):
    folder = edited(
        find_adapter(run_folder), tmp_path / "adapter", "adapter_config.json", **changes
    )
    out = tmp_path / "out"
    assert main(["handover", str(folder), "vllm", "--out", str(out)]) == 2
    said = capsys.readouterr().err
    assert reason in said
    assert f"xtune export {folder} OUT" in said
    assert not out.exists()
