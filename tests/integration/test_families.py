"""Every family's shipped config, as a user runs it, on a tiny checkpoint in the published layout.

`train.py LEAF --cfg-options pretrained_model_name_or_path=DIR data_path=FILE` trains, saves, and
chat talks to the result; the adapter merged into its base answers the same.
"""

from __future__ import annotations

import json

import pytest

from tests.models.families.case import Case, all_cases
from xtune.config import render
from xtune.engine.runner import Runner
from xtune.export.merge import export_model
from xtune.generation.model import ChatModel
from xtune.generation.settings import GenerationSettings
from xtune.structures import Message

CASES = {case.name: case for case in all_cases()}
ROWS = [
    {"instruction": "Give three tips.", "input": "", "output": "Eat, sleep and walk."},
    {"instruction": "What is the capital of", "input": "France?", "output": "Paris, 巴黎."},
    {"instruction": "上海有哪些地方？", "input": "", "output": "外滩、豫园。"},
] * 3


@pytest.fixture(params=CASES, ids=str, scope="module")
def case(request) -> Case:
    return CASES[request.param]


@pytest.fixture(scope="module")
def published(case, tmp_path_factory):
    return case.write(tmp_path_factory.mktemp(case.name) / "published")


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    file = tmp_path_factory.mktemp("data") / "alpaca.json"
    file.write_text(json.dumps(ROWS, ensure_ascii=False), encoding="utf-8")
    return file


def test_its_config_trains_saves_and_chats(case, published, data, tmp_path):
    sheet = render(
        case.leaf,
        [
            f"pretrained_model_name_or_path={published}",
            f"data_path={data}",
            "map_fn=alpaca",
            "max_length=256",
            "accumulative_counts=1",
            "max_steps=2",
            "lora.r=4",
            "evaluation_inputs=['Who?']",
            "strategy.precision=fp32",
            "default_hooks.tensorboard=None",
            "default_hooks.loss_curve=None",
            "custom_hooks.0.max_new_tokens=4",
        ],
    )
    trained = Runner(sheet, work_dir=tmp_path / "run").train()
    assert trained.step == 2
    adapter = tmp_path / "run/checkpoints/latest/adapter"
    settings = GenerationSettings(max_new_tokens=6, temperature=0.0)
    question = [Message(role="user", content="Give three tips.")]
    model = ChatModel.load(str(published), adapter=adapter, dtype="fp32")
    answer = model.stream(question, lambda text: None, settings=settings)
    if case.name == "qwen-long":
        # Its context is shorter here than the dialogues that an export is proven on: beyond it a
        # cached key has the frequencies of its own step, and one computed anew those of the end
        return
    export_model(
        str(published),
        tmp_path / "merged",
        adapter=adapter,
        notes={"stop_words": list(model.stop_words)},
        dtype="fp32",
    )
    merged = ChatModel.load(str(tmp_path / "merged"), dtype="fp32")
    assert merged.stream(question, lambda text: None, settings=settings).text == answer.text
