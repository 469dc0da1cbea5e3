"""A task's way from its file to its score, through a model that knows its lines."""

from __future__ import annotations

import pytest

from tests.eval.tasks.files import lines
from tests.parrot import LINES
from xtune.eval.prompts import Renderer
from xtune.eval.tasks.base import Texts
from xtune.eval.tasks.ifeval import IFEval
from xtune.generation.continuous import generate_texts
from xtune.generation.model import ChatModel


@pytest.fixture(scope="module")
def parrot(parrot_folder):
    return ChatModel.load(str(parrot_folder), dtype="fp32")


def test_ifeval_of_a_parrot(parrot, tmp_path):
    ends = {"Who are you?": "a parrot.", "Bye": "never", "301 miles in km?": "}}"}
    rows = [
        {
            "key": number,
            "prompt": request,
            "instruction_id_list": ["startend:end_checker", "punctuation:no_comma"],
            "kwargs": [{"end_phrase": end}, {}],
        }
        for number, (request, end) in enumerate(ends.items())
    ]
    lines(tmp_path / "input_data.jsonl", rows)
    task = IFEval(data_path=str(tmp_path), max_new_tokens=80)
    renderer = Renderer(parrot.tokenizer, form="chat", max_length=parrot.context)
    items = task.items()
    requests = [renderer.generation(task.ask(item, "chat")) for item in items]
    texts = generate_texts(parrot.llm, parrot.tokenizer, requests, slots=2)
    assert [text.text for text in texts] == [dict(LINES)[request] for request in ends]
    scores = [task.score(i, Texts((text,))) for i, text in zip(items, texts, strict=True)]
    assert [score.metrics["prompt_strict"] for score in scores] == [1, 0, 0]
    assert [score.notes["strict"] for score in scores] == [
        [True, True],
        [False, True],
        [True, False],
    ]
    overall = task.overall(items, scores)
    assert overall["instruction_strict"] == 4 / 6
    assert overall["share_cut"] == 0
