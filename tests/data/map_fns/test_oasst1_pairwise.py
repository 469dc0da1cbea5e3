from xtune.data.map_fns.oasst1_pairwise import oasst1_pairwise_map_fn
from xtune.data.recognise import recognise

ROW = {"lang": "en", "parent_id": "p", "prompt": "", "chosen": "Four.", "rejected": "Five."}


def test_speakers_begin_the_turns_of_the_prompt():
    text = "prompter: Hi\nassistant: Hello!\nYou?\nprompter: Two and two: go."
    assert oasst1_pairwise_map_fn({**ROW, "prompt": text}) == {
        "prompt": [
            {"role": "user", "content": "Hi"},
            {"role": "assistant", "content": "Hello!\nYou?"},
            {"role": "user", "content": "Two and two: go."},
        ],
        "chosen": [{"role": "assistant", "content": "Four."}],
        "rejected": [{"role": "assistant", "content": "Five."}],
        "source": "en",
    }


def test_a_prompt_without_speakers_is_one_request():
    made = oasst1_pairwise_map_fn({**ROW, "prompt": "Two: 2?", "chosen": "assistant: Four."})
    assert made["prompt"] == [{"role": "user", "content": "Two: 2?"}]
    assert made["chosen"][0]["content"] == "Four."


def test_it_is_recognised():
    rows = [("a:1", {**ROW, "prompt": "prompter: 2?"})]
    assert recognise(rows).format.name == "oasst1_pairwise"
