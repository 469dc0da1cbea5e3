import pytest

from xtune.data.map_fns import UnusableRow
from xtune.data.map_fns.ranking import ranking_map_fn
from xtune.errors import DataError

ROW = {"prompt": "2?", "answers": ["Two.", "", "Three."]}


def test_answers_may_be_messages_and_so_may_the_prompt():
    prompt = [{"role": "system", "content": "Sum."}, {"role": "user", "content": "2?"}]
    said = [{"role": "assistant", "content": "Two."}]
    tools = [{"name": "clock"}]
    made = ranking_map_fn({"prompt": prompt, "answers": [said, "Three."], "tools": tools})
    assert (made["prompt"], made["tools"]) == (prompt, tools)
    assert made["answers"] == [said, [{"role": "assistant", "content": "Three."}]]


def test_an_empty_answer_is_left_for_whoever_counts_it():
    assert [answer[0]["content"] for answer in ranking_map_fn(ROW)["answers"]] == ROW["answers"]


def test_what_cannot_be_used():
    with pytest.raises(UnusableRow, match="a tie"):
        ranking_map_fn({**ROW, "ranks": [0, 0, 0]})
    with pytest.raises(UnusableRow, match="empty request"):
        ranking_map_fn({**ROW, "prompt": " "})
    with pytest.raises(DataError, match="must come best first, and their ranks are"):
        ranking_map_fn({**ROW, "ranks": [2, 1, 0]})
    with pytest.raises(DataError, match=r"answers\[0\] must end with a message of the role ass"):
        ranking_map_fn({**ROW, "answers": [[{"role": "user", "content": "2?"}], "Two."]})
