import pytest

from xtune.data.map_fns import UnusableRow
from xtune.data.map_fns.summarize_from_feedback import summarize_from_feedback_map_fn
from xtune.errors import DataError

ROW = {
    "info": {"id": "t3", "subreddit": "ask", "title": "Sums", "post": "I add.", "article": None},
    "summaries": [
        {"text": " Bad.", "policy": "sup1", "note": None},
        {"text": " Good.", "policy": "ref", "note": None},
    ],
    "choice": 1,
    "worker": "w",
    "batch": "batch3",
    "split": "train",
    "extra": {"confidence": None},
}


def test_a_post_is_asked_for_as_the_paper_has_it():
    made = summarize_from_feedback_map_fn(ROW)
    asked = "SUBREDDIT: r/ask\n\nTITLE: Sums\n\nPOST: I add.\n\nTL;DR:"
    assert made == {
        "prompt": [{"role": "user", "content": asked}],
        "chosen": [{"role": "assistant", "content": "Good."}],
        "rejected": [{"role": "assistant", "content": "Bad."}],
        "source": "batch3",
    }


def test_an_article_has_no_post():
    info = {"id": "x", "subreddit": None, "title": None, "post": None, "article": "It rained."}
    made = summarize_from_feedback_map_fn({**ROW, "info": info})
    assert made["prompt"][0]["content"] == "It rained.\n\nTL;DR:"


def test_policies_may_be_the_source_whichever_won():
    one = summarize_from_feedback_map_fn(ROW, source="policies")
    other = summarize_from_feedback_map_fn({**ROW, "choice": 0}, source="policies")
    assert one["source"] == other["source"] == "ref and sup1"
    assert one["chosen"] == other["rejected"]


def test_what_cannot_be_used():
    with pytest.raises(UnusableRow, match="empty request"):
        summarize_from_feedback_map_fn({**ROW, "info": {"id": "x"}})
    with pytest.raises(DataError, match="'choice' must be 0 or 1, not 2"):
        summarize_from_feedback_map_fn({**ROW, "choice": 2})
