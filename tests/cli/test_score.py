"""`xtune score`, as a user types it: files, table, page, refusals."""

from __future__ import annotations

import json
import shutil

import pytest
import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from tests.once import once
from xtune.checkpoint.folder import save_checkpoint
from xtune.cli.entry import main
from xtune.config import render
from xtune.config.continued import origin_of_adapter
from xtune.export.export import write_model
from xtune.models import RewardModel, load_tokenizer
from xtune.models.sequence_classifier import load_classifier
from xtune.registry import REWARD_LOSSES, build

PAIRS = [
    {
        "prompt": f"Question {n}?",
        "chosen": "a long answer " * (1 + n % 3),
        "rejected": "short",
        "source": "even" if n % 2 == 0 else "odd",
    }
    for n in range(12)
]


@pytest.fixture(scope="module")
def reward(inputs, shared_folder):
    """A reward model's folder."""

    def write(folder, kind="bradley_terry"):
        torch.manual_seed(3)
        llm = load_classifier(str(inputs.model), dtype="fp32")
        model = RewardModel(llm, loss=build(REWARD_LOSSES, {"type": kind}))
        notes = {"stop_words": ["<|im_end|>"], **model.notes()}
        write_model(folder, model.llm, load_tokenizer(str(inputs.model)), notes)

    once(shared_folder / "cost", lambda folder: write(folder, "safe_rlhf_cost"))
    return once(shared_folder / "reward", write)


def write_rows(path, rows):
    path.write_text("\n".join(map(json.dumps, rows)) + "\n", encoding="utf-8")
    return str(path)


def score(*words, out):
    return main(["score", *map(str, words), "--out", str(out), "--dtype", "fp32"])


def test_pairs(reward, tmp_path, capsys):
    data = write_rows(tmp_path / "pairs.jsonl", PAIRS)
    assert score(reward, data, out=tmp_path / "out") == 0
    shown = capsys.readouterr().out
    values = json.loads((tmp_path / "out" / "results.json").read_text())
    rows = [json.loads(line) for line in (tmp_path / "out" / "scores.jsonl").open()]
    assert values["rows"] == 12
    assert len(rows) == values["answers"] == 24
    # by the pairs of its own file
    ahead = [rows[at]["score"] - rows[at + 1]["score"] for at in range(0, 24, 2)]
    right = sum(one > 0 for one in ahead) / 12
    assert values["accuracy"]["right"] == pytest.approx(right)
    assert f"{100 * right:.1f} %" in shown
    even = sum(one > 0 for one in ahead[::2]) / 6
    assert [(one["source"], one["prompts"]) for one in values["by_source"]] == [
        ("even", 6),
        ("odd", 6),
    ]
    assert values["by_source"][0]["right"] == pytest.approx(even)
    assert values["margin"]["mean"] == pytest.approx(sum(ahead) / 12)
    assert [row["rank"] for row in rows] == [0, 1] * 12
    assert all(row["ended"] for row in rows)
    assert sum(one["pairs"] for one in values["by_margin"]) == 12
    assert values["template"] == "auto"
    page = (tmp_path / "out" / "report.html").read_text()
    assert "data:image/png;base64," in page
    assert "http" not in page.replace("http-equiv", "")
    assert (tmp_path / "out" / "scores.png").read_bytes()[:4] == b"\x89PNG"


def test_a_score_is_that_of_plain_transformers(reward, tmp_path):
    """As docs/en/reward.md shows it."""
    data = write_rows(tmp_path / "pairs.jsonl", PAIRS[:2])
    assert score(reward, data, out=tmp_path / "out") == 0
    rows = [json.loads(line) for line in (tmp_path / "out" / "scores.jsonl").open()]
    model = AutoModelForSequenceClassification.from_pretrained(reward)
    tokenizer = AutoTokenizer.from_pretrained(reward)
    for row, answer in zip(rows, (PAIRS[0]["chosen"], PAIRS[0]["rejected"]), strict=False):
        messages = [
            {"role": "user", "content": PAIRS[0]["prompt"]},
            {"role": "assistant", "content": answer},
        ]
        text = tokenizer.apply_chat_template(messages, tokenize=False).rstrip()
        with torch.no_grad():
            ids = tokenizer(text, add_special_tokens=False, return_tensors="pt")
            found = model(**ids).logits[0, 0].item()
        assert row["score"] == pytest.approx(found, abs=1e-5)


def test_dialogues_without_pairs_and_the_shift(reward, inputs, tmp_path, capsys):
    own = tmp_path / "reward"
    shutil.copytree(reward, own)
    assert score(own, inputs.data, "--centre", "--rows", "9", out=tmp_path / "one") == 0
    first = json.loads((tmp_path / "one" / "results.json").read_text())
    assert "pairs" not in first
    assert first["answers"] == 9
    notes = json.loads((own / "xtune.json").read_text())
    assert notes["reward"]["shift"] == pytest.approx(first["scores"]["mean"])
    assert score(own, inputs.data, "--rows", "9", out=tmp_path / "two") == 0
    second = json.loads((tmp_path / "two" / "results.json").read_text())
    assert second["scores"]["mean"] == pytest.approx(0, abs=1e-6)
    assert second["shift"] == notes["reward"]["shift"]


def write_adapter(inputs, folder, value):
    from peft import LoraConfig

    from xtune.models import attach_adapter, load_model

    tuned = attach_adapter(load_model(str(inputs.model), dtype="fp32"), LoraConfig(r=2))
    for name, parameter in tuned.named_parameters():
        if "lora_B" in name:
            parameter.data.fill_(value)
    tuned.save_pretrained(str(folder))


def test_what_dpo_has_taught(inputs, tmp_path, capsys):
    write_adapter(inputs, tmp_path / "adapter", 0.05)
    data = write_rows(tmp_path / "pairs.jsonl", PAIRS[:4])
    words = [inputs.model, data, "--adapter", tmp_path / "adapter", "--reference"]
    assert score(*words, "--beta", "0.2", out=tmp_path / "out") == 0
    values = json.loads((tmp_path / "out" / "results.json").read_text())
    assert values["kind"] == "implicit reward"
    assert score(*words, inputs.model, out=tmp_path / "same") == 0  # beta 0.1, named
    named = json.loads((tmp_path / "same" / "results.json").read_text())
    assert values["margin"]["mean"] == pytest.approx(2 * named["margin"]["mean"], rel=1e-4)
    assert abs(values["margin"]["mean"]) > 1e-4


def test_what_was_trained_further_is_held_against_what_it_began_as(inputs, tmp_path, capsys):
    """And an adapter that is named as reference is not taken for its base."""
    for name, value in (("start", 0.05), ("further", -0.03)):
        write_adapter(inputs, tmp_path / name, value)
    began = origin_of_adapter(tmp_path / "start")
    (tmp_path / "further" / "xtune.json").write_text(json.dumps({"began_with": began}))
    data = write_rows(tmp_path / "pairs.jsonl", PAIRS[:2])

    def scores(name, *words):
        words = [inputs.model, data, "--adapter", tmp_path / name, "--reference", *words]
        assert score(*words, out=tmp_path / "out") == 0
        return [json.loads(line)["score"] for line in (tmp_path / "out" / "scores.jsonl").open()]

    own, other = scores("further", inputs.model), scores("start", inputs.model)
    further = pytest.approx([a - b for a, b in zip(own, other, strict=True)], abs=1e-4)
    assert scores("further") == further
    assert scores("further", tmp_path / "start") == further
    assert max(map(abs, other)) > 0.01  # the base would be another reference
    (tmp_path / "start" / "adapter_model.safetensors").unlink()
    words = [inputs.model, data, "--adapter", tmp_path / "further", "--reference"]
    assert score(*words, out=tmp_path / "out") == 2
    assert "which is the reference, and the folder has none now" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("{model} {pairs}", "is a language model: it writes answers and has no score"),
        ("{model} {pairs} --reference", "name the model that its training began with"),
        ("{reward} {pairs} --beta 0.1", "goes with --reference"),
        ("{reward} {pairs} --rows 0", "give 1 or more"),
        ("{cost} {pairs} --centre", "is a cost model, whose 0 lies between safe and unsafe"),
        ("{reward} {pairs} --reference {model} --centre", "give one"),
        ("{reward} nowhere.jsonl", "nowhere.jsonl"),
        ("{reward} {prompts} --map-fn openai", "answer"),
    ],
)
def test_what_cannot_be_is_refused(words, said, reward, inputs, tmp_path, capsys):
    named = {
        "model": inputs.model,
        "reward": reward,
        "cost": reward.with_name("cost"),
        "pairs": write_rows(tmp_path / "pairs.jsonl", PAIRS[:2]),
        "prompts": write_rows(
            tmp_path / "prompts.jsonl", [{"messages": [{"role": "user", "content": "Who?"}]}]
        ),
    }
    code = score(*words.format(**named).split(), out=tmp_path / "out")
    assert code in (1, 2)
    assert said in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "verb",
    [
        "chat {reward}",
        "eval {reward} --tasks everyday_text",
        "eval {reward}",
        "handover {reward} opencompass --out {out}",
    ],
)
def test_a_reward_model_is_asked_for_no_words(verb, reward, tmp_path, capsys):
    assert main(verb.format(reward=reward, out=tmp_path / "out").split()) in (1, 2)
    said = capsys.readouterr().err
    assert "is a reward model" in said
    assert f"xtune score {reward} DATA" in said


@pytest.mark.parametrize("tasks", [[], ["--tasks", "everyday_text"]], ids=["its own", "named"])
def test_eval_of_a_reward_models_run_names_score(tasks, reward, inputs, tmp_path, capsys):
    work_dir = tmp_path / "run"
    save_checkpoint(
        work_dir / "checkpoints",
        1,
        write=lambda folder: shutil.copytree(reward, folder / "model"),
        bytes_needed=0,
        max_keep=1,
    )
    knob = f"pretrained_model_name_or_path='{inputs.model}'"
    (work_dir / "config.py").write_text(render("custom_reward_lora", [knob]).text)
    assert main(["eval", str(work_dir), *tasks]) == 2
    said = capsys.readouterr().err
    assert f"{work_dir} is a reward model: it scores answers and writes none" in said
    assert f"xtune score {work_dir} DATA" in said
    assert not (work_dir / "evaluation").exists()


def test_a_checkpoint_stays_whole_when_its_shift_is_noted(tmp_path):
    from xtune.checkpoint.meta import damage, write_meta
    from xtune.generation.reward_scorer import note_shift

    file = tmp_path / "adapter" / "xtune.json"
    file.parent.mkdir()
    file.write_text('{"reward": {"kind": "reward", "reading": "end", "shift": 0.0}}')
    write_meta(tmp_path, step=1)
    note_shift(file, 0.25)
    assert damage(tmp_path) is None
    assert json.loads(file.read_text())["reward"] == {
        "kind": "reward",
        "reading": "end",
        "shift": 0.25,
    }
