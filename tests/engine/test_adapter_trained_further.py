"""`adapter=DIR`: an adapter goes on where it stood, on its base, with its template and tokens."""

from __future__ import annotations

import json
import shutil

import pytest
import torch
from peft import PeftModel
from safetensors.torch import load_file

from tests.runs import losses, options, sheet_of, train
from tests.tiny import write_tiny_llama
from xtune.config import check, render
from xtune.engine.dry_run import make_plan
from xtune.engine.runner import Runner
from xtune.errors import AdapterError, ConfigError
from xtune.models import SupervisedFinetune, generation_mode, load_adapter, load_model

# Without dropout and with a learning rate that does not fall, two runs can be compared
STEADY = (
    "lora.lora_dropout=0.0",
    "param_scheduler.warmup_ratio=0.0",
    "param_scheduler.min_lr_ratio=1.0",
    "max_steps=4",
    "save_steps=4",
)


@pytest.fixture(scope="module")
def first(inputs, tmp_path_factory):
    """A run of four steps with two new tokens."""
    work_dir = tmp_path_factory.mktemp("first") / "first"
    train(inputs, work_dir, *STEADY, "added_tokens=[<a>,<b>]", "prompt_template=qwen_chat")
    return work_dir


def run(inputs, work_dir, *further, resume=None):
    """A run that says nothing of LoRA."""
    chosen = [o for o in (*options(inputs), *STEADY, *further) if not o.startswith("lora.")]
    return Runner(render("custom_sft_lora", chosen), work_dir=work_dir, resume=resume).train()


def weights_of(work_dir):
    return load_file(work_dir / "checkpoints/latest/adapter/adapter_model.safetensors")


def test_it_begins_with_the_weights_the_tokens_and_the_template(inputs, first, tmp_path):
    before = weights_of(first)
    trained = run(inputs, tmp_path / "next", f"adapter={first}", "lr=1e-12", "max_steps=1")
    after = weights_of(tmp_path / "next")
    assert after.keys() == before.keys()
    for name, weight in before.items():
        torch.testing.assert_close(after[name], weight, rtol=0, atol=1e-9)
    assert trained.tokenizer.convert_tokens_to_ids("<b>") == 385
    notes = json.loads((first / "checkpoints/latest/adapter/xtune.json").read_text())
    own = json.loads((tmp_path / "next/checkpoints/latest/adapter/xtune.json").read_text())
    assert own["vocabulary"] == notes["vocabulary"]
    assert own["base_model"] == str(inputs.model)
    templates = [
        (root / "checkpoints/latest/adapter/chat_template.jinja").read_text()
        for root in (first, tmp_path / "next")
    ]
    assert templates[0] == templates[1]


def test_its_first_loss_is_that_of_the_saved_model(inputs, first, tmp_path):
    trained = run(inputs, tmp_path / "next", f"adapter={first}", "max_steps=1")
    llm = load_model(str(inputs.model), dtype="fp32")
    model = SupervisedFinetune(load_adapter(llm, first / "checkpoints/latest/adapter")).eval()
    batches = trained.loader.step(0)
    trained = sum(batch.trained_tokens for batch in batches)
    with torch.no_grad():
        expected = sum(float(model(batch, normalizer=trained)["loss"]) for batch in batches)
    assert losses(tmp_path / "next")[0][1] == pytest.approx(expected, rel=1e-5)
    assert expected < 0.9 * losses(first)[0][1]


def test_metadata_name_the_adapter_and_its_run(inputs, first, tmp_path):
    run(inputs, tmp_path / "next", f"adapter={first}", "max_steps=1")
    latest = tmp_path / "next/checkpoints/latest"
    began = json.loads((latest / "adapter/xtune.json").read_text())["began_with"]
    assert began["run"] == "first"
    assert began["step"] == 4
    assert len(began["sha256"]) == 64
    assert json.loads((latest / "meta.json").read_text())["began_with"] == began


def test_the_folder_named_as_the_model_is_the_same(inputs, first, tmp_path):
    folder = first / "checkpoints/latest/adapter"
    run(inputs, tmp_path / "knob", f"adapter={folder}")
    run(inputs, tmp_path / "model", f"pretrained_model_name_or_path={folder}")
    assert losses(tmp_path / "knob") == losses(tmp_path / "model")


def test_stopped_and_resumed_is_never_stopped(inputs, first, tmp_path):
    whole = run(inputs, tmp_path / "whole", f"adapter={first}", "save_steps=2")
    cut = tmp_path / "cut"
    run(inputs, cut, f"adapter={first}", "save_steps=2")
    (cut / "checkpoints/latest").unlink()
    shutil.rmtree(cut / "checkpoints/step_000004")
    resumed = run(inputs, cut, f"adapter={first}", "save_steps=2", resume="auto")
    assert losses(cut)[-1] == losses(tmp_path / "whole")[-1]
    assert resumed.step == whole.step == 4
    for name, weight in weights_of(tmp_path / "whole").items():
        torch.testing.assert_close(weights_of(cut)[name], weight, rtol=0, atol=0)
    assert resumed.began_with == whole.began_with


def test_plain_peft_loads_what_was_trained_twice(inputs, first, tmp_path):
    trained = run(inputs, tmp_path / "next", "adapter=" + str(first))
    ids = torch.tensor([[5, 6, 7, 385, 9]])
    base = load_model(str(inputs.model), dtype="fp32")
    base.resize_token_embeddings(386)
    folder = tmp_path / "next/checkpoints/latest/adapter"
    plain = PeftModel.from_pretrained(base, str(folder)).eval()
    with torch.no_grad(), generation_mode(trained.llm):
        expected = trained.llm(input_ids=ids, use_cache=False).logits
    # The row of a new token begins as xtune says; all that PEFT trains of it is in the file.
    with torch.no_grad():
        found = plain(input_ids=ids, use_cache=False).logits
    torch.testing.assert_close(found[..., :384], expected[..., :384], rtol=1e-4, atol=1e-4)


def test_contradictions_are_errors(inputs, first, tmp_path):
    def problems(*further, config="custom_sft_lora"):
        sheet = sheet_of(inputs, f"adapter={first}", *further, config=config)
        return [str(problem) for problem in check(sheet)]

    (dropout,) = problems()  # runs.options has lora.r=4, as the adapter, and another dropout
    assert "lora_dropout = 0.1: the adapter that is trained further has 0.0" in dropout
    assert problems("lora.lora_dropout=0.0") == []
    (rank,) = problems("lora.lora_dropout=0.0", "lora.r=8")
    assert "model.adapter.r = 8: the adapter that is trained further has 4" in rank
    (missing,) = problems("lora.lora_dropout=0.0", f"adapter={tmp_path}")
    assert "there is no adapter_config.json" in missing
    sheet = sheet_of(inputs, f"pretrained_model_name_or_path={first}", config="custom_sft_full")
    assert "is an adapter, and this config trains a whole model" in str(check(sheet)[0])
    with pytest.raises(ConfigError, match="the adapter that is trained further has 4"):
        train(inputs, tmp_path / "x", f"adapter={first}", "lora.r=8")


def test_more_new_tokens_and_another_base_are_refused(inputs, first, tmp_path):
    with pytest.raises(AdapterError, match="1 of added_tokens are not in the adapter"):
        run(inputs, tmp_path / "a", f"adapter={first}", "added_tokens=[<a>,<b>,<c>]")
    other = write_tiny_llama(tmp_path / "other", seed=9)
    with pytest.raises(AdapterError, match="is another model"):
        run(inputs, tmp_path / "b", f"adapter={first}", f"pretrained_model_name_or_path={other}")


def test_what_the_configs_lora_says_otherwise_is_said_at_the_start(inputs, first, tmp_path, caplog):
    """The options of tests.runs say r=4 of a file's r=16: the adapter has 4, and no dropout."""
    run(inputs, tmp_path / "next", f"adapter={first}", "max_steps=1")
    said = "`lora` of the config says otherwise, and does not hold: r=16"
    assert any(said in record.getMessage() for record in caplog.records)
    chosen = [o for o in (*options(inputs), f"adapter={first}") if not o.startswith("lora.")]
    plan = "\n".join(make_plan(render("custom_sft_lora", chosen), tmp_path / "plan"))
    assert f"adapter     {first}/checkpoints/latest/adapter, trained further as it is" in plan
    assert said in plan
