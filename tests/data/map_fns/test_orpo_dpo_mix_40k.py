import pytest

from tests.data.map_fns.test_preference import ASKED, BAD, GOOD, PAIR
from xtune.data.map_fns import UnusableRow
from xtune.data.map_fns.orpo_dpo_mix_40k import orpo_dpo_mix_40k_map_fn
from xtune.errors import DataError

ROW = {"source": "x", "prompt": "ignored", "chosen": [ASKED, GOOD], "rejected": [ASKED, BAD]}


def test_what_both_dialogues_begin_with_is_the_prompt():
    assert orpo_dpo_mix_40k_map_fn(ROW) == {**PAIR, "source": "x"}
    before = [{"role": "system", "content": "Be brief."}, ASKED, GOOD]
    made = orpo_dpo_mix_40k_map_fn(
        {"chosen": [*before, ASKED, GOOD], "rejected": [*before, ASKED, BAD]}
    )
    assert made == {"prompt": [*before, ASKED], "chosen": [GOOD], "rejected": [BAD]}


def test_sources_are_left_out_on_request():
    toxic = {**ROW, "source": "toxic-dpo-v0.2"}
    with pytest.raises(UnusableRow, match=r"left out by its source, 'toxic-dpo-v0.2'"):
        orpo_dpo_mix_40k_map_fn(toxic, without=["toxic-dpo-v0.2"])
    assert orpo_dpo_mix_40k_map_fn(toxic)["source"] == "toxic-dpo-v0.2"
    assert orpo_dpo_mix_40k_map_fn(ROW, without=["toxic-dpo-v0.2"])


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"chosen": []}, "empty answer"),
        ({"rejected": [ASKED, GOOD]}, "chosen and rejected are the same"),
        ({"rejected": [BAD]}, "empty request"),
    ],
)
def test_rows_with_nothing_to_learn_are_unusable(change, reason):
    with pytest.raises(UnusableRow) as caught:
        orpo_dpo_mix_40k_map_fn({**ROW, **change})
    assert caught.value.reason == reason


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"chosen": [ASKED, GOOD]}, "no field 'rejected'"),
        ({**ROW, "chosen": "Four."}, "'chosen' must be a list of messages, not str 'Four.'"),
    ],
)
def test_another_format_is_fatal(row, message):
    with pytest.raises(DataError, match=message) as caught:
        orpo_dpo_mix_40k_map_fn(row)
    assert not isinstance(caught.value, UnusableRow)
