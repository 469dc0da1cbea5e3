"""From published files to scores with a model, next to a plain loop in float64 without our code.

The plain loop writes each text by hand: shots, question, delimiter, option; the tokens behind the
question's are those that are scored.
"""

from __future__ import annotations

import pytest
import torch
from transformers import AutoModelForCausalLM

from benchmarks.harness.eval_rows import write_published
from tests.eval.tasks.files import asked, one_text
from tests.tiny import write_tiny_model
from xtune.eval.prompts import Renderer
from xtune.eval.scoring import score_likelihoods
from xtune.eval.tasks.arc import ARCEasy
from xtune.eval.tasks.base import Likelihoods
from xtune.eval.tasks.boolq import BoolQ
from xtune.eval.tasks.ceval import CEval
from xtune.eval.tasks.cmmlu import CMMLU
from xtune.eval.tasks.hellaswag import HellaSwag
from xtune.eval.tasks.mmlu import MMLU
from xtune.eval.tasks.piqa import PIQA
from xtune.eval.tasks.race import RACE
from xtune.eval.tasks.truthfulqa import TruthfulQA
from xtune.eval.tasks.winogrande import WinoGrande
from xtune.models.loading import load_model
from xtune.models.tokenizer import load_tokenizer

ITEMS = 3


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """The tiny model as users load it, its tokenizer, and the same weights in float64."""
    folder = write_tiny_model(tmp_path_factory.mktemp("model"), "llama")
    exact = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float64).eval()
    return load_model(str(folder), dtype="fp32"), load_tokenizer(str(folder)), exact


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    write_published(folder)
    return str(folder)


def by_hand(exact, tokenizer, text, continuation):
    """The sum of the continuation's log-probabilities, blanks of the text's end among it."""
    bare = text.rstrip()
    start = len(tokenizer.encode(bare, add_special_tokens=False))
    ids = tokenizer.encode(text + continuation, add_special_tokens=False)
    with torch.no_grad():
        logs = exact(torch.tensor([ids]), use_cache=False).logits[0].log_softmax(-1)
    return sum(float(logs[place - 1, ids[place]]) for place in range(start, len(ids)))


@pytest.mark.parametrize(
    "made",
    [
        lambda data: MMLU(data_path=data, subjects=["astronomy"]),
        lambda data: CEval(data_path=data, subjects=["accountant"]),
        lambda data: CMMLU(data_path=data, subjects=["agronomy"], prompt="original"),
        lambda data: ARCEasy(data_path=data, shots=2),
        lambda data: HellaSwag(data_path=data),
        lambda data: PIQA(data_path=data),
        lambda data: WinoGrande(data_path=data, shots=2),
        lambda data: BoolQ(data_path=data),
        lambda data: RACE(data_path=data),
        lambda data: TruthfulQA(data_path=data),
    ],
    ids=["mmlu", "ceval", "cmmlu", "arc", "swag", "piqa", "wino", "boolq", "race", "truth"],
)
def test_a_task_with_a_model_is_what_a_plain_loop_finds(made, model, data):
    llm, tokenizer, exact = model
    task = made(data)
    items = list(task.items())[:ITEMS]
    renderer = Renderer(tokenizer, form="completion", max_length=2048)
    groups = [renderer.choices(asked(task, item)) for item in items]
    flat = score_likelihoods(llm, [request for group in groups for request in group])
    for item, group in zip(items, groups, strict=True):
        found, flat = flat[: len(group)], flat[len(group) :]
        plain = [
            by_hand(exact, tokenizer, one_text(one.prompt), one.prompt.delimiter + one.continuation)
            for one in asked(task, item).candidates
        ]
        assert [one.log_prob for one in found] == pytest.approx(plain, abs=1e-4)
        score = task.score(item, Likelihoods(tuple(found)))
        if task.headline == "acc":
            assert score.metrics["acc"] == float(max(plain) == plain[item.gold])
        assert score.margin >= 0
