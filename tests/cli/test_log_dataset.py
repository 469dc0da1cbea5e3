"""The label audit, run as a user runs it, on a tiny tokenizer."""

from __future__ import annotations

import json
import re

import pytest

from tests.data.tiny_tokenizer import tiny_tokenizer
from xtune.cli.entry import main

CHATML = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XTUNE_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def log_dataset(tmp_path, capsys):
    """Run the verb on three rows; returns the exit code and what it printed."""

    def run(*words, jinja=CHATML, answers=("Hello.", "Good day.", ""), options=()):
        tiny_tokenizer(chat_template=jinja).save_pretrained(tmp_path / "model")
        rows = [
            {"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": a}]}
            for a in answers
        ]
        (tmp_path / "data.jsonl").write_text("\n".join(map(json.dumps, rows)))
        code = main(
            [
                "log-dataset",
                "custom_sft_lora",
                *words,
                "--cfg-options",
                f"pretrained_model_name_or_path={tmp_path / 'model'}",
                f"data_path={tmp_path / 'data.jsonl'}",
                "max_length=64",
                *options,
            ]
        )
        return code, capsys.readouterr()

    return run


def test_shows_what_is_trained_and_the_totals(log_dataset):
    code, printed = log_dataset("--n", "2")
    assert code == 0, printed.err
    assert (
        "<|im_start|>user⏎\nHi<|im_end|>⏎\n<|im_start|>assistant⏎\n«Hello.<|im_end|>»"
        in printed.out
    )
    assert "══ pack 0: 2 samples, 37 tokens ══" in printed.out
    assert "3 read, 2 kept" in printed.out
    assert "every time" in printed.out


def test_n_counts_samples_and_says_what_of_the_pack_is_left(log_dataset):
    """Two go into a pack: the five are shuffled into packs of samples 2 4, 3 and another, one."""
    answers = [f"Answer {n}." for n in range(5)]
    shown = {}
    for count in (1, 3, 9):
        _, printed = log_dataset("--n", str(count), answers=answers, options=["max_length=50"])
        shown[count] = re.findall(r"«Answer (\d)\.<\|im_end\|>»|(more) in this", printed.out)
        shown[count] = "".join(number or more for number, more in shown[count])
    assert shown[1] == "2more"
    assert shown[3] == "243more"
    assert shown[9][:3] == "243"
    assert sorted(shown[9]) == list("01234")


def test_json_holds_every_token(log_dataset):
    code, printed = log_dataset("--json", "--n", "2")
    assert code == 0
    result = json.loads(printed.out)
    (item,) = result["items"]
    text = ["".join(t["text"] for t in d["tokens"] if t["trained"]) for d in item["documents"]]
    assert sorted(text) == ["Good day.<|im_end|>", "Hello.<|im_end|>"]
    assert result["report"]["kept"] == 2


def test_weights_are_shown_where_they_are_not_one(log_dataset):
    code, printed = log_dataset(options=["loss_weights={'answer': 2.5}"])
    assert code == 0, printed.err
    assert "«×2.5 Hello.<|im_end|>»" in printed.out
    _, printed = log_dataset("--json", "--n", "2", options=["loss_weights={'answer': 2.5}"])
    documents = json.loads(printed.out)["items"][0]["documents"]
    assert {t["weight"] for d in documents for t in d["tokens"] if t["trained"]} == {2.5}


def test_index_chooses_an_item(log_dataset):
    code, printed = log_dataset("--index", "1", options=["pack_to_max_length=False"])
    assert code == 0
    assert "Good day." in printed.out
    assert "Hello." not in printed.out


def test_index_beyond_the_data_is_misuse(log_dataset):
    code, printed = log_dataset("--index", "9")
    assert code == 2
    assert "items 0 to 0" in printed.err


def test_template_that_never_ends_an_answer_fails(log_dataset):
    jinja = "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}"
    code, printed = log_dataset(jinja=jinja)
    assert code == 1
    assert "writes no end-of-turn token" in printed.out


def test_data_whose_every_answer_is_cut_fail(log_dataset):
    code, printed = log_dataset(answers=["weather " * 80])
    assert code == 1
    assert "'<|im_end|>' is never trained" in printed.out


WORLD = ["我很好，谢谢。", "Ahoy 👩‍🚀🏴‍☠️!", "مرحبا بالعالم", "e\u0301 and é", "a\ufffdb"]


@pytest.mark.parametrize("colours", [False, True])
def test_characters_of_several_tokens_are_shown_whole(log_dataset, monkeypatch, colours):
    """The tiny tokenizer is byte-level: each of these characters is two to four tokens."""
    if colours:
        monkeypatch.setenv("FORCE_COLOR", "1")
        monkeypatch.setenv("TERM", "xterm-256color")
    code, printed = log_dataset("--index", "0", answers=WORLD, options=["max_length=512"])
    assert code == 0, printed.err
    plain = re.sub(r"\x1b\[[0-9;]*m", "", printed.out)
    assert ("\x1b[" in printed.out) == colours
    for answer in WORLD:
        assert f"{answer}<|im_end|>" in plain
    assert plain.count("\ufffd") == 1  # the data's own


def test_the_texts_of_the_tokens_of_json_make_the_whole_text(log_dataset):
    words = ["--json", "--index", "0"]
    _, printed = log_dataset(*words, answers=WORLD, options=["max_length=512"])
    documents = json.loads(printed.out)["items"][0]["documents"]
    text = ["".join(t["text"] for t in d["tokens"] if t["trained"]) for d in documents]
    assert sorted(text) == sorted(f"{answer}<|im_end|>" for answer in WORLD)


@pytest.mark.parametrize(("words", "fault"), [(["--n", "-1"], "--n -1: give how many")])
def test_a_number_below_none_is_misuse(log_dataset, words, fault):
    code, printed = log_dataset(*words)
    assert code == 2
    assert fault in printed.err


def test_a_system_text_that_the_template_adds_is_said(log_dataset):
    jinja = (
        "{% if messages[0].role != 'system' %}<|im_start|>system\nYou are a Tin Man.<|im_end|>\n"
        "{% endif %}" + CHATML
    )
    code, printed = log_dataset("--n", "0", jinja=jinja)
    assert code == 0
    said = " ".join(printed.out.split())
    assert (
        "template 'auto' begins 2 dialogues without a system text with its own, 'You are a Tin "
        "Man.': SYSTEM='…' puts yours there" in said
    )
    _, printed = log_dataset("--n", "0", jinja=jinja, options=["SYSTEM=Be kind."])
    assert "Tin Man" not in printed.out


@pytest.mark.parametrize(
    "row",
    [
        {"instruction": "Hi", "input": "", "output": "Hello."},
        {"conversations": [{"from": "human", "value": "Hi"}, {"from": "gpt", "value": "Hello."}]},
        {"conversation": [{"input": "Hi", "output": "Hello."}]},
    ],
    ids=["alpaca", "sharegpt", "turns"],
)
@pytest.mark.parametrize("config", ["custom_sft_lora", "custom_sft_full", "custom_sft_qlora"])
def test_rows_of_any_known_form_are_read_as_they_are(row, config, tmp_path, capsys):
    """A config for one's own data recognises their form; nobody has to name it."""
    tiny_tokenizer(chat_template=CHATML).save_pretrained(tmp_path / "model")
    data = tmp_path / "data.json"
    options = [f"pretrained_model_name_or_path={tmp_path / 'model'}", f"data_path={data}"]
    words = ["log-dataset", config, "--cfg-options", *options, "max_length=64"]
    data.write_text(json.dumps([row]))
    assert main(words) == 0
    assert "Hi<|im_end|>⏎\n<|im_start|>assistant⏎\n«Hello.<|im_end|>»" in capsys.readouterr().out
    data.write_text(json.dumps([{"frage": "Hi", "antwort": "Hello."}]))
    assert main(words) == 1
    assert "no format fits the first row" in capsys.readouterr().err


def test_the_sides_of_a_pair_are_shown_together(log_dataset, tmp_path):
    pairs = tmp_path / "pairs.jsonl"
    pairs.write_text(json.dumps({"prompt": "2?", "chosen": "Two.", "rejected": "Three."}))
    data = {
        "type": "PreferenceDataset",
        "data_path": str(pairs),
        "map_fn": "auto",
        "max_length": 64,
    }
    code, printed = log_dataset(options=[f"train_dataset={data}"])
    assert code == 0, printed.err
    assert "── samples 0 and 1, a pair: prompt of " in printed.out
    assert printed.out.count("2?<|im_end|>") == 1  # the prompt once
    _, chosen, rejected = re.split("   (?:chosen|rejected): ", printed.out)
    assert re.match(r"(\d+) tokens, \1 trained\n«Two.<\|im_end\|>»\n", chosen)
    assert re.match(r"(\d+) tokens, \1 trained\n«Three.<\|im_end\|>»\n", rejected)
    assert "samples   2 in 1 groups" in printed.out
    assert "pairs     1\n" in printed.out
    assert "lengths   chosen " in printed.out
    code, printed = log_dataset("--json", options=[f"train_dataset={data}"])
    (item,) = json.loads(printed.out)["items"]
    assert [document["side"] for document in item["documents"]] == [0, 1]
