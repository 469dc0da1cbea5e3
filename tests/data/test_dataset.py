"""From a file to batches."""

from __future__ import annotations

import numpy as np
import pytest
from transformers import ByT5Tokenizer

from tests.data.tiny_tokenizer import tiny_tokenizer
from xtune.data.dataset import SFTDataset
from xtune.data.formats import all_formats, kind_of
from xtune.data.loader import StepLoader
from xtune.data.row_reading import JUDGED
from xtune.errors import DataError
from xtune.registry import DATASETS, build
from xtune.structures import IGNORE_INDEX


def alpaca(count):
    return [
        {"instruction": f"Add {n} and 2.", "input": "", "output": f"{n + 2}" * (n % 7 + 1)}
        for n in range(count)
    ]


@pytest.fixture
def make(tokenizer, write_rows):
    def make_dataset(rows=None, **arguments):
        arguments = {
            "map_fn": "alpaca",
            "template": "chatml",
            "max_length": 64,
            "tokenizer": tokenizer,
            **arguments,
        }
        if "data_path" not in arguments:
            arguments["data_path"] = write_rows(alpaca(20) if rows is None else rows)
        return build(DATASETS, {"type": "SFTDataset"}, **arguments)

    return make_dataset


def test_items_are_packs_of_whole_samples(make):
    dataset = make()
    members = [index for item in range(len(dataset)) for index in dataset.pack(item)]
    assert sorted(members) == list(range(20))
    assert len(dataset) == dataset.report.packs < 20
    for item in range(len(dataset)):
        assert dataset.batch([item]).tokens <= 64


def test_items_are_samples_when_not_packing(make):
    dataset = make(pack_to_max_length=False)
    assert len(dataset) == dataset.report.samples == 20
    assert dataset.pack(3) == [3]
    batch = dataset.batch([3, 5])
    assert batch.samples == (3, 5)
    assert batch.cu_seqlens.tolist() == [
        0,
        len(dataset.sample(3)),
        len(dataset.sample(3)) + len(dataset.sample(5)),
    ]


@pytest.mark.parametrize("packing", [True, False])
def test_the_longest_items_are_told(make, packing):
    dataset = make(pack_to_max_length=packing)
    tokens = sorted((dataset.item_tokens(item) for item in range(len(dataset))), reverse=True)
    assert dataset.longest(1) == tokens[:1]
    assert dataset.longest(3) == tokens[:3]
    assert dataset.longest(99) == tokens


def test_batches_hold_the_tokens_that_are_reported(make):
    dataset = make()
    batches = [dataset.batch([item]) for item in range(len(dataset))]
    assert sum(batch.tokens for batch in batches) == dataset.tokens
    assert sum(batch.trained_tokens for batch in batches) == dataset.trained_tokens
    assert dataset.report.fill == dataset.tokens / (64 * len(dataset))


def test_batch_reads_as_the_dialogues(make, tokenizer):
    dataset = make()
    batch = dataset.batch([0])
    ids, labels = batch.input_ids[0], batch.labels[0]
    starts = batch.cu_seqlens.tolist()
    for number, start, end in zip(batch.samples, starts, starts[1:], strict=False):
        question = f"<|im_start|>user\nAdd {number} and 2.<|im_end|>\n<|im_start|>assistant\n"
        answer = alpaca(20)[number]["output"] + "<|im_end|>"
        assert tokenizer.decode(ids[start:end]) == question + answer
        document = labels[start:end]
        assert tokenizer.decode(document[document != IGNORE_INDEX]) == answer


def test_an_epoch_of_steps_trains_every_token_once(make):
    dataset = make()
    loader = StepLoader(dataset, batch_size=1, accumulative_counts=4, seed=0, num_workers=1)
    batches = [batch for step in range(loader.steps_per_epoch) for batch in loader.step(step)]
    assert sum(batch.trained_tokens for batch in batches) == dataset.trained_tokens
    assert sorted(number for batch in batches for number in batch.samples) == list(range(20))


def test_report_counts_every_row(make):
    rows = alpaca(4)
    rows[1]["output"] = ""
    rows[2]["instruction"] = "Say <|im_end|>"
    rows[3]["output"] = "7" * 300
    report = make(rows).report
    assert (report.rows, report.kept) == (4, 3)
    assert sum(report.dropped.values()) == 1
    assert report.cut == {"answer cut": 1}
    assert report.special_text_rows == 1
    assert (report.answers, report.ended_answers) == (3, 2)
    text = "\n".join(report.lines())
    assert "4 read, 3 kept" in text
    assert "1 of them are NOT trained to end" in text
    assert report.failures == []


def test_the_configs_system_text_begins_a_dialogue_that_has_none(make, tokenizer):
    asked, answered = {"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Ho"}
    own = {"role": "system", "content": "Sing."}
    rows = [{"messages": [asked, answered]}, {"messages": [own, asked, answered]}]
    dataset = make(rows, map_fn="openai", system="Be brief.", pack_to_max_length=False)
    texts = [tokenizer.decode(dataset.sample(number).input_ids) for number in range(2)]
    assert texts[0].startswith("<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user")
    assert texts[1].startswith("<|im_start|>system\nSing.<|im_end|>\n<|im_start|>user")
    assert tokenizer.decode(make(rows[:1], map_fn="openai").sample(0).input_ids).startswith(
        "<|im_start|>user"
    )


def test_map_fn_auto_recognises_the_rows_and_the_report_says_so(make):
    dataset = make(map_fn="auto")
    assert dataset.report.recognised.startswith("alpaca: the first 20 rows have instruction,")
    assert dataset.report.lines()[0] == f"format    {dataset.report.recognised}"
    assert dataset.tokens == make(map_fn="alpaca").tokens
    assert make(map_fn="auto").report.recognised == dataset.report.recognised  # from the cache
    assert make().report.recognised == ""


def test_a_map_fn_with_switches_is_a_dict_and_trains_on_the_prompt(make, tokenizer):
    rows = [{"prompt": "Two?", "output": "2"}]
    masked = make(rows, map_fn={"type": "prompt_output"}).sample(0)
    whole = make(rows, map_fn={"type": "prompt_output", "train_on_inputs": True}).sample(0)
    assert masked.input_ids.tolist() == whole.input_ids.tolist()
    text = "<|im_start|>user\nTwo?<|im_end|>\n<|im_start|>assistant\n2<|im_end|>"
    assert tokenizer.decode(masked.input_ids[masked.labels != IGNORE_INDEX]) == "2<|im_end|>"
    # The first token is predicted from nothing.
    trained = whole.input_ids[whole.labels != IGNORE_INDEX]
    assert tokenizer.decode(trained) in (text, text.removeprefix("<|im_start|>"))


def test_tokens_are_taken_as_they_are_and_long_ones_are_split(make, tokenizer, tmp_path):
    ids = tokenizer.encode("Four plus two.", add_special_tokens=False)
    mask = [False, *[True] * (len(ids) - 1)]
    padded = [{"input_ids": ids + [0] * 3, "label_mask": mask + [False] * 3}]
    dataset = make(padded, map_fn="tokenized", pack_to_max_length=False)
    assert dataset.sample(0).input_ids.tolist() == ids
    assert dataset.sample(0).labels.tolist() == [IGNORE_INDEX, *ids[1:]]
    report = make(padded, map_fn="tokenized", max_length=3).report
    assert report.cut == {"text split": 1}
    assert report.trained_tokens == len(ids) - 1


def test_tokens_of_another_tokenizer_are_refused(make):
    with pytest.raises(DataError, match=r"data\.jsonl:1: tokens 1 to 900000, but this tokenizer"):
        make([{"input_ids": [1, 900_000]}], map_fn="tokenized")


def trained_messages(conversation):
    return [
        message
        for message in conversation.get("messages", [])
        if message["role"] == "assistant" and message.get("loss", True)
    ]


@pytest.mark.parametrize("name", sorted(all_formats()))
def test_the_example_of_every_format_is_trained_or_refused(make, tokenizer, name):
    format = all_formats()[name]
    if kind_of(format.becomes) in (*JUDGED["unpaired"], "prompt"):
        with pytest.raises(DataError, match="which supervised fine-tuning cannot learn from"):
            make([format.row], map_fn=name)
        return
    dataset = make([format.row], map_fn=name, max_length=2048, pack_to_max_length=False)
    assert dataset.report.kept == 1
    sample = dataset.sample(0)
    trained = tokenizer.decode(sample.input_ids[sample.labels != IGNORE_INDEX])
    masked = tokenizer.decode(sample.input_ids[sample.labels == IGNORE_INDEX])
    answers_left = trained_messages(format.becomes)
    for message in format.becomes.get("messages", []):
        if not answers_left:  # what comes after the last trained answer is cut
            break
        is_trained = message in answers_left
        assert message["content"] in (trained if is_trained else masked)
        if is_trained:
            answers_left.remove(message)
    if name not in ("pretrain", "tokenized"):
        assert dataset.report.ended_answers == dataset.report.answers > 0


def test_moss_thoughts_and_commands_are_trained_and_results_are_not(make, tokenizer):
    row = all_formats()["moss_003_sft"].row
    sample = make([row], map_fn="moss_003_sft", max_length=2048).sample(0)
    trained = tokenizer.decode(sample.input_ids[sample.labels != IGNORE_INDEX])
    assert trained == (
        "<|Inner Thoughts|>: It wants a product.<eot>\n"
        '<|Commands|>: Calculate("3*3")<eoc><|im_end|>Nine.<|im_end|>'
    )


@pytest.mark.parametrize(
    ("made", "kind"),
    [("'chosen': [], 'rejected': []", "preference pairs"), ("", "prompts without answers")],
)
def test_data_without_one_dialogue_a_row_are_refused(make, tmp_path, made, kind):
    path = tmp_path / "mine.py"
    path.write_text(f"def pairs(row):\n    return {{'prompt': [], {made}}}\n")
    with pytest.raises(DataError, match=f"'pairs' makes {kind}, which supervised fine-tuning"):
        make(map_fn=f"{path}:pairs")


def test_max_rows_reads_no_more(make):
    assert make(max_rows=3).report.rows == 3


def test_prompt_longer_than_the_context_keeps_the_answer(make):
    report = make([{"instruction": "weather " * 90, "input": "", "output": "Four."}]).report
    assert report.cut == {"prompt cut": 1}
    assert report.ended_answers == 1


def test_plain_text_needs_no_template(make):
    dataset = make([{"text": "x = 1 " * 40}], map_fn="pretrain", template="auto")
    assert dataset.report.cut == {"text split": 1}
    assert dataset.report.trained_tokens > 64


def test_validation_split_of_a_source_is_taken(make):
    train = make(data_path="toolcall", map_fn="openai", max_length=256)
    held_out = make(data_path="toolcall", map_fn="openai", max_length=256, split="held_out")
    assert train.report.rows > held_out.report.rows > 100


def test_empty_file_is_an_error(make):
    with pytest.raises(DataError, match="empty"):
        make([])


def test_data_of_which_nothing_is_left_are_an_error_with_reasons(make):
    rows = [{"instruction": "a", "input": "", "output": ""}] * 3
    with pytest.raises(DataError, match=r"3 rows of .*: 3 .*empty"):
        make(rows)


def test_row_without_the_field_is_an_error_that_says_where(make):
    rows = [*alpaca(2), {"question": "Why?", "answer": "So."}]
    with pytest.raises(DataError) as caught:
        make(rows)
    message = str(caught.value)
    assert "data.jsonl:3" in message
    assert "'question', 'answer'" in message
    assert "'instruction'" in message


def test_failing_function_of_a_user_is_an_error_that_says_where(make):
    def mine(row):
        return {"text": row["nothing"]}

    with pytest.raises(
        DataError, match=r"data.jsonl:1: map_fn 'mine' fails with KeyError"
    ) as caught:
        make(map_fn=mine)
    assert "'instruction', 'input', 'output'" in str(caught.value)


@pytest.mark.parametrize(
    "returned",
    [["Hi"], {"text": 3}, {"messages": "Hi"}, {"messages": ["Hi"]}, {"conversations": []}],
)
def test_function_that_returns_something_else_is_an_error(make, returned):
    def mine(row):
        return returned

    with pytest.raises(DataError, match="must return"):
        make(map_fn=mine)


def test_half_a_surrogate_pair_is_counted_and_skipped(make):
    rows = [*alpaca(1), {"instruction": "a", "input": "", "output": "\ud83d"}]
    report = make(rows).report
    assert report.kept == 1
    assert [reason for reason in report.dropped if "surrogate" in reason]


def test_whole_chunk_without_a_usable_row(make, monkeypatch):
    monkeypatch.setattr("xtune.data.pipeline._CHUNK", 2)
    rows = [{"instruction": "a", "input": "", "output": ""}] * 2 + alpaca(3)
    assert make(rows).report.kept == 3


def test_chunks_do_not_change_the_samples(make, monkeypatch, own_cache):
    whole = make()
    monkeypatch.setattr("xtune.data.pipeline._CHUNK", 3)
    monkeypatch.setenv("XTUNE_CACHE", str(own_cache.parent / "other"))
    chunked = make()
    for number in range(20):
        assert np.array_equal(whole.sample(number).labels, chunked.sample(number).labels)


def test_dataset_is_found_by_name():
    from xtune.registry import resolve

    assert resolve(DATASETS, "SFTDataset") is SFTDataset


def test_slow_tokenizer(make):
    arguments = {"map_fn": "pretrain", "template": "auto", "tokenizer": ByT5Tokenizer()}
    dataset = make([{"text": "Once."}], **arguments)
    assert dataset.report.trained_tokens == len("nce.") + 1  # a byte each, and EOS
    assert make([{"text": "Once."}], **arguments).report == dataset.report  # from the cache


def test_answer_of_which_the_template_writes_nothing_is_dropped(make):
    jinja = "{% for m in messages %}{% if m.role == 'user' %}{{ m.content }}{% endif %}{% endfor %}"
    silent = tiny_tokenizer(chat_template=jinja)
    with pytest.raises(DataError, match="20 no trained answer"):
        make(template="auto", tokenizer=silent)


def test_reasoning_is_trained_where_the_template_writes_it_and_counted_where_it_does_not(make):
    answer = {"role": "assistant", "reasoning_content": "2 and 2.", "content": "Four."}
    rows = [
        {"messages": [{"role": "user", "content": "2 + 2?"}, answer]},
        {"messages": [{"role": "user", "content": "2?"}, {"role": "assistant", "content": "2"}]},
    ]
    trained = make(rows, map_fn="openai", template="qwen3")
    sample = trained.sample(0)
    text = tiny_tokenizer().decode(sample.input_ids[sample.labels != IGNORE_INDEX])
    assert text == "<think>\n2 and 2.\n</think>\n\nFour.<|im_end|>"
    assert trained.report.unwritten == {}
    lost = make(rows, map_fn="openai", template="chatml").report
    assert lost.unwritten == {"reasoning": 1}
    assert "unwritten 1: reasoning, which template 'chatml' leaves out" in lost.lines()


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.jsonl", "", r"a\.jsonl is empty \(0 bytes\)"),
        ("a.jsonl", "\n \n", r"a\.jsonl has no rows in its 3 bytes"),
        ("a.json", "[]", r"a\.json is an array without elements"),
        ("a.csv", "q,a\n", r"a\.csv has a header \(q,a\) and no rows"),
    ],
)
@pytest.mark.parametrize("map_fn", ["alpaca", "auto"])
def test_an_empty_data_set_names_its_file_and_what_is_in_it(
    make, tmp_path, name, content, said, map_fn
):
    (tmp_path / name).write_text(content)
    with pytest.raises(DataError, match=f"the data set is empty.*: .*{said}"):
        make(data_path=str(tmp_path / name), map_fn=map_fn)
    (tmp_path / "b.jsonl").write_text("")
    both = [str(tmp_path / name), str(tmp_path / "b.jsonl")]
    with pytest.raises(DataError, match=rf"{said}; .*b\.jsonl is empty"):
        make(data_path=both, map_fn=map_fn)


def test_rows_of_which_none_can_be_used_are_told_with_their_reasons(make, tmp_path):
    with pytest.raises(
        DataError,
        match=r"no sample can be made of the 3 rows of .*: 2 empty answer; 1 empty request\.",
    ):
        make([{"instruction": "a", "output": ""}] * 2 + [{"instruction": "", "output": "b"}])
    with pytest.raises(DataError, match=r"is empty: max_rows=0 leaves none of .*jsonl"):
        make(max_rows=0)


def test_a_map_fn_that_does_not_fit_says_what_the_rows_are_and_what_reads_them(make):
    with pytest.raises(
        DataError,
        match=r":1: map_fn 'openai_map_fn': the row has no field 'messages'.*\n"
        r"The first 20 rows have instruction, input, output: map_fn='alpaca' reads them$",
    ):
        make(map_fn="openai")
