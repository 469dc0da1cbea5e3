import pytest

from tests.data.map_fns.pairs import asked_and_answered, check_what_cannot_be_used
from xtune.data.map_fns import UnusableRow
from xtune.data.map_fns.prompt_completion import prompt_completion_map_fn
from xtune.errors import DataError

ROW = {"prompt": "Sky?", "completion": "Blue."}
ASKED, ANSWERED = {"role": "user", "content": "Sky?"}, {"role": "assistant", "content": "Blue."}


def test_texts_become_a_request_and_its_answer():
    assert asked_and_answered("prompt_completion", ROW) == ("Sky?", "Blue.")


def test_of_messages_those_that_complete_are_trained():
    before = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello."}]
    made = prompt_completion_map_fn({"prompt": [*before, ASKED], "completion": [ANSWERED]})
    assert made == {"messages": [before[0], before[1] | {"loss": False}, ASKED, ANSWERED]}
    as_text = {"prompt": '[{"role": "user", "content": "Sky?"}]', "completion": [ANSWERED]}
    assert prompt_completion_map_fn(as_text) == {"messages": [ASKED, ANSWERED]}


def test_what_cannot_be_used():
    check_what_cannot_be_used("prompt_completion", ROW, asked=("prompt",), answer="completion")
    with pytest.raises(DataError, match="must be texts or messages both, not list"):
        prompt_completion_map_fn({"prompt": [ASKED], "completion": "Blue."})
    with pytest.raises(UnusableRow, match="no answer that is trained"):
        prompt_completion_map_fn({"prompt": [ASKED, ANSWERED], "completion": [ASKED]})
