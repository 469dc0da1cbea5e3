"""A model of our own as the judge: a parrot that has learnt two verdicts by heart."""

from __future__ import annotations

import json

import pytest
import torch

from tests.eval.judge.judging import write_rows
from tests.parrot import write_parrot
from xtune.cli.entry import main
from xtune.eval.judge.local_judge import LocalJudge
from xtune.generation.model import ChatModel

PROMPT = {
    "prompt_id": "short",
    "system_prompt": "",
    "prompt_template": "{question} {answer}",
    "category": "general",
    "output_format": "[[rating]]",
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("judge")
    write_parrot(folder, [("1+1? 2", "Right. [[9]]"), ("1+1? 3", "Wrong. [[2]]"), ("?", "Hm.")])
    return folder


def test_the_verb_with_a_local_judge(folder, tmp_path, capsys):
    rows = [{"question": "1+1?", "answer": "2"}, {"id": 2, "question": "1+1?", "answer": "3"},
            {"question": "x" * 9000, "answer": "y"}]  # fmt: skip
    (tmp_path / "p.json").write_text(json.dumps(PROMPT))
    words = [write_rows(tmp_path / "m.jsonl", rows), "--judge", str(folder)]
    words += ["--prompts", str(tmp_path / "p.json"), "--out", str(tmp_path / "out")]
    assert main(["judge", *words, "--max-new-tokens", "32"]) == 0
    shown = capsys.readouterr().out
    assert "| m |  | 5.50 | 5.50 | 5.50 |" in shown
    assert "1 requests were refused" in shown
    lines = (tmp_path / "out/verdicts.jsonl").read_text().splitlines()
    refused, *answered = map(json.loads, lines)
    assert "the judge's context" in refused["refused"]
    assert sorted(line["raw"] for line in answered) == ["Right. [[9]]", "Wrong. [[2]]"]


def test_a_tuned_model_is_another_judge(folder):
    model = ChatModel.load(folder)
    before = LocalJudge(model).identity
    assert LocalJudge(ChatModel.load(folder)).identity == before
    with torch.no_grad():
        model.llm.get_output_embeddings().weight.mul_(1.1)  # bf16 keeps three digits
    after = LocalJudge(model)
    assert after.identity != before
    assert after.name == str(folder)


@pytest.mark.parametrize(
    "system",
    [
        "{{ raise_exception('no system') if m.role == 'system' else '' }}",
        "",  # dropped without a word
        "{% if m.role == 'system' %}{{ m.content }}|{% endif %}",
    ],
)
def test_a_judge_is_told_its_system_text_whatever_its_template_does(folder, system):
    model = ChatModel.load(folder)
    model.tokenizer.chat_template = (
        f"{{% for m in messages %}}{system}{{% if m.role != 'system' %}}{{{{ m.content }}}}"
        "{% endif %}{% endfor %}"
    )
    asked = [{"role": "system", "content": "Be fair."}, {"role": "user", "content": "A or B?"}]
    text = model.tokenizer.decode(LocalJudge(model)._prompt(asked))
    assert text.split("|" if "m.content" in system else "\n\n") == ["Be fair.", "A or B?"]
