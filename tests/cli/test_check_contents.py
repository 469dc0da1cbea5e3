"""`check` reads the first rows and the tokenizer's ids: what stops a run, what it would skip."""

from __future__ import annotations

import json

import pytest
from datasets import Dataset, DatasetDict

from tests.tiny import write_tiny_tokenizer
from xtune.cli.check_contents import contents_of
from xtune.cli.entry import main
from xtune.config import render

ASK, ANSWER = {"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Ho"}
GOOD = {"messages": [ASK, ANSWER]}
EMPTY = {"messages": [ASK, {**ANSWER, "content": ""}]}


@pytest.fixture
def contents(tmp_path):
    """What is found of these rows, without the folder's name."""

    def of(*rows, name="a.jsonl", options=()):
        text = "".join(row if isinstance(row, str) else json.dumps(row) + "\n" for row in rows)
        (tmp_path / name).write_text(text)
        sheet = render("custom_sft_lora", [f"data_path={tmp_path / name}", *options])
        problems, notes = contents_of(sheet)
        told = [(one.key, one.message.replace(f"{tmp_path}/", "")) for one in problems]
        return told, [note.replace(f"{tmp_path}/", "") for note in notes]

    return of


def test_good_rows_are_nothing_to_tell(contents):
    assert contents(GOOD) == ([], [])


def test_rows_that_would_be_skipped_and_keys_that_nobody_reads_are_notes(contents):
    problems, notes = contents(GOOD, EMPTY, EMPTY, {**GOOD, "score": 3})
    assert problems == []
    assert notes == [
        "of train_dataset's rows 2 would be skipped: empty answer (a.jsonl:2, a.jsonl:3)",
        "train_dataset: score (1 row): the map_fn does not read it",
    ]
    problems, notes = contents(*[GOOD] * 99, *[EMPTY] * 9)
    assert notes == [
        "of the first 100 rows of train_dataset 1 would be skipped: empty answer (a.jsonl:100)"
    ]


@pytest.mark.parametrize(
    ("rows", "options", "key", "said"),
    [
        ([EMPTY], ["map_fn=openai"], "data_path", "of train_dataset's rows none can be used"),
        ([], [], "data_path", "the data set is empty: a.jsonl is empty (0 bytes)"),
        (
            [{"instruction": "a", "output": "b"}],
            ["map_fn=openai"],
            "map_fn",
            "a run would stop at a.jsonl:1: the row has no field 'messages'; fields seen: "
            "'instruction', 'output'. no row can be read so. The first row has instruction, "
            "output: map_fn='alpaca' reads that",
        ),
        (
            [{"prompt": "a", "chosen": "b", "rejected": "c"}],
            ["map_fn=preference"],
            "map_fn",
            "it makes preference pairs, which supervised fine-tuning cannot learn from",
        ),
        (['{"messages": [\n'], [], "map_fn", "a run would stop at a.jsonl:1: broken JSON"),
        ([{"foo": 1}], ["map_fn=auto"], "map_fn", "map_fn='auto': no format fits the first row"),
    ],
)
def test_what_would_stop_a_run_is_a_problem(contents, rows, options, key, said):
    ((where, message),), _ = contents(*rows, options=options)
    assert where == f"train_dataset.{key}"
    assert message.startswith(said)


def test_pairs_are_for_a_data_set_of_pairs_and_dialogues_are_not(contents, tmp_path):
    pair = {"prompt": "a", "chosen": "b", "rejected": "c"}
    data = {"type": "PreferenceDataset", "data_path": str(tmp_path / "a.jsonl"), "max_length": 64}

    def found(row, map_fn):
        (tmp_path / "a.jsonl").write_text(json.dumps(row) + "\n")
        option = f"train_dataset={ {**data, 'map_fn': map_fn}!r}"
        return contents(row, options=[option, f"map_fn={map_fn}"])

    assert found(pair, "preference") == ([], [])
    (((where, message),), _) = found(GOOD, "openai")
    assert where == "train_dataset.map_fn"
    assert message == (
        "it makes dialogues, and the data set takes preference pairs or rankings: "
        "xtune list-formats shows what makes pairs"
    )


def test_splits_that_datasets_has_saved_are_named(tmp_path):
    data = Dataset.from_list([GOOD])
    DatasetDict({"train": data, "test": data}).save_to_disk(tmp_path / "saved")
    place = str(tmp_path / "saved")
    options = [f"data_path={place}", f"val_data_path={place}"]
    (problem,), notes = contents_of(render("custom_sft_lora", options))
    assert problem.key == "val_dataset.data_path"
    assert f"{place} has the splits test, train. Name one of them: " in problem.message
    assert "val_dataset.split=" in problem.message
    assert contents_of(render("custom_sft_lora", [*options, "val_dataset.split=test"])) == ([], [])


@pytest.mark.parametrize(("rows", "ends"), [(384, None), (380, False), (2, True)])
def test_the_tokenizers_ids_are_compared_with_the_models_rows(contents, tmp_path, rows, ends):
    folder = write_tiny_tokenizer(tmp_path / "model")
    (folder / "config.json").write_text(json.dumps({"model_type": "llama", "vocab_size": rows}))
    options = [f"pretrained_model_name_or_path={folder}"]
    problems, notes = contents(GOOD, options=options)
    said = [message for _, message in problems] if ends else notes
    assert (len(problems), len(notes)) == (ends is True, ends is False)
    for message in said:
        assert f"has {384 - rows} tokens with ids from {rows} on" in message
    assert contents(GOOD, options=[*options, "added_tokens=['one more']"]) == ([], [])


def test_a_tokenizer_without_a_vocabulary_is_found(contents, tmp_path):
    (tmp_path / "bare").mkdir()
    (tmp_path / "bare" / "tokenizer_config.json").write_text("{}")
    options = [f"tokenizer.pretrained_model_name_or_path={tmp_path / 'bare'}"]
    ((key, message),), _ = contents(GOOD, options=options)
    assert key == "tokenizer.pretrained_model_name_or_path"
    assert message.startswith("bare has no vocabulary: copy it from the checkpoint (tokenizer.json")


def test_a_tokenizer_that_was_cut_short_is_found(contents, tmp_path):
    folder = write_tiny_tokenizer(tmp_path / "model")
    (folder / "config.json").write_text(json.dumps({"model_type": "llama", "vocab_size": 384}))
    file = folder / "tokenizer.json"
    file.write_text(file.read_text()[:1000])
    ((key, message),), _ = contents(GOOD, options=[f"pretrained_model_name_or_path={folder}"])
    assert key == "tokenizer.pretrained_model_name_or_path"
    assert "tokenizer.json is not whole JSON" in message


def test_the_command_line_prints_notes_and_ends_with_2_for_problems(tmp_path, capsys):
    (tmp_path / "a.jsonl").write_text(f"{json.dumps(GOOD)}\n{json.dumps(EMPTY)}\n")
    words = ["check", "custom_sft_lora", "--cfg-options", f"data_path={tmp_path / 'a.jsonl'}"]
    assert main(words) == 0
    out = capsys.readouterr().out
    assert out.startswith(
        "custom_sft_lora: no problems\n  note: of train_dataset's rows 1 would be"
    )
    assert main([*words, "map_fn=alpaca"]) == 2
    assert "a run would stop at" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("config", "options", "key", "said"),
    [
        ("custom_dpo_lora", {"loss": {"type": "ipo", "beta": 0}}, "model.loss.beta", "beta is 0;"),
        (
            "custom_dpo_lora",
            {"loss": {"type": "robust", "label_smoothing": 0.5}},
            "model.loss.label_smoothing",
            "label_smoothing is 0.5; it is the share of swapped pairs, from 0 to below 0.5",
        ),
        ("custom_dpo_lora", {"nll_on": "all"}, "model.nll_on", "nll_on='all' says which tokens"),
        (
            "custom_dpo_lora",
            {"loss": {"type": "simpo"}, "precompute_reference": True},
            "model.loss",
            "the loss SimPO has no reference: leave `precompute_reference` out",
        ),
        ("custom_dpo_lora", {"adapter": None}, "model.loss", "the loss Sigmoid holds the policy"),
        (
            "smollm2_135m_kto_lora",
            {"precompute_reference": True},
            "model.loss",
            "precompute_reference with Kto: it asks the reference",
        ),
        (
            "custom_reward_lora",
            {"loss": {"type": "token_aligned"}},
            "model.loss",
            "the loss TokenAligned trains the scores of all tokens, and reading='end' would",
        ),
    ],
)
def test_what_an_algorithm_refuses_is_found_before_any_weights(config, options, key, said):
    sheet = render(config, [f"model.{name}={value!r}" for name, value in options.items()])
    (problem,), _ = contents_of(sheet)
    assert problem.key == key
    assert problem.message.startswith(said)
