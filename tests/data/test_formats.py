"""What is said of a format is what the function does."""

import pytest

from xtune.data.formats import Format, all_formats, kind_of, read_fields
from xtune.data.map_fns import UnusableRow
from xtune.data.recognise import recognise
from xtune.errors import DataError
from xtune.registry import MAP_FNS, names

FORMATS = all_formats()
XTUNER = {
    *("alpaca", "alpaca_zh", "arxiv", "code_alpaca", "colors", "crime_kg_assitant", "default"),
    *("intel_orca_dpo", "law_reference", "medical", "msagent_react", "oasst1", "openai"),
    *("openorca", "orpo_dpo_mix_40k", "pretrain", "sql", "stack_exchange", "tiny_codes"),
    "wizardlm",
}
OTHERS = {
    *("belle", "coig", "colossalchat_preference", "colossalchat_prompt", "colossalchat_sft"),
    *("dolly", "firefly", "gsm8k", "guanaco", "hh_rlhf", "moss_003_sft", "msagent", "oasst_tree"),
    *("preference", "prompt_output", "prompt_reject_response", "sharegpt", "tokenized"),
    *("toolbench", "turns", "ultrachat", "xlam"),
}
PREFERENCES = {
    *("colossalchat_preference", "hh_rlhf", "intel_orca_dpo", "orpo_dpo_mix_40k", "preference"),
    *("prompt_reject_response", "ultrafeedback_binarized", "ultrafeedback_cleaned", "shp"),
    *("webgpt_comparisons", "summarize_from_feedback", "helpsteer2_preference", "pku_saferlhf"),
    *("rm_static", "oasst1_pairwise"),
}
RANKINGS = {"ranking", "ultrafeedback", "helpsteer2"}


def test_all_that_users_expect_are_there():
    assert {*XTUNER, *OTHERS} <= set(FORMATS) == set(names(MAP_FNS))
    assert len(XTUNER) == 20  # of its names; the two for images are not ours


@pytest.mark.parametrize("name", sorted({*PREFERENCES, *RANKINGS, "unpaired_preference"}))
def test_answers_that_were_judged_are_recognised(name):
    """By their own format, or by one that makes the same of them."""
    format = FORMATS[name]
    choice = recognise([("f:1", format.row)])
    assert choice.format.map_fn(format.row) == format.becomes


def test_a_users_own_function_is_chosen_by_name_only():
    @MAP_FNS.register_module("my_own")
    def my_own_map_fn(row):
        return {"text": row["instruction"]}

    all_formats.cache_clear()
    try:
        assert "my_own" in names(MAP_FNS)
        assert "my_own" not in all_formats()
        rows = [("f:1", {"instruction": "Add.", "input": "", "output": "4"})]
        assert recognise(rows).format.name == "alpaca"
    finally:
        del MAP_FNS.module_dict["my_own"]
        all_formats.cache_clear()


@pytest.mark.parametrize("format", FORMATS.values(), ids=FORMATS)
def test_a_format_describes_itself(format: Format):
    assert format.title
    assert format.reads.startswith("Read `")
    assert all(f"`{name}`" in format.reads for name in (*format.required, *format.optional))
    assert format.required


@pytest.mark.parametrize("format", FORMATS.values(), ids=FORMATS)
def test_a_required_field_is_fatal_to_miss_and_no_other_is(format: Format):
    for name in format.row:
        row = {key: value for key, value in format.row.items() if key != name}
        if name in format.required:
            assert format.missing(row) == [name]
            with pytest.raises(DataError) as caught:
                format.map_fn(row)
            assert not isinstance(caught.value, UnusableRow)
        else:
            assert format.missing(row) == []
            format.map_fn(row)


def test_what_each_makes_is_of_one_kind():
    kinds = {name: kind_of(format.becomes) for name, format in FORMATS.items()}
    assert {name for name, kind in kinds.items() if kind == "preference pair"} == PREFERENCES
    assert {name for name, kind in kinds.items() if kind == "ranking"} == RANKINGS
    assert kinds["unpaired_preference"] == "judged answer"
    assert {kinds[name] for name in ("openai", "alpaca", "xlam", "msagent")} == {"dialogue"}
    assert (kinds["pretrain"], kinds["tokenized"]) == ("text", "tokens")
    assert kinds["colossalchat_prompt"] == "prompt"


def test_switches_are_the_arguments_besides_the_row():
    assert FORMATS["prompt_output"].switches == {"train_on_inputs": False}
    assert FORMATS["alpaca"].switches == {}


def test_fields_are_told_apart_by_leaving_them_out():
    row = {"system": "Be brief.", "conversations": FORMATS["sharegpt"].row["conversations"], "x": 1}
    assert read_fields(FORMATS["sharegpt"].map_fn, row) == (["conversations"], ["system"])
    assert FORMATS["sharegpt"].fields == "conversations, system (optional)"
