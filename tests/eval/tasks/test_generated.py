"""Tasks answered in words: files in the published forms, prompts written out, answers scored."""

from __future__ import annotations

import json
import sys

import pytest

from tests.eval.tasks.files import lines, one_text, write
from xtune.errors import DataError, UsageError
from xtune.eval.metrics.bleu import corpus_bleu
from xtune.eval.tasks.base import Score, Text, Texts
from xtune.eval.tasks.bbh import BBH, KINDS
from xtune.eval.tasks.cmrc import CMRC
from xtune.eval.tasks.gsm8k import GSM8K
from xtune.eval.tasks.ifeval import IFEval
from xtune.eval.tasks.math import MATH, MATH500
from xtune.eval.tasks.mmlu_pro import MMLUPro
from xtune.eval.tasks.needle import Needle
from xtune.eval.tasks.nq_open import NQOpen
from xtune.eval.tasks.triviaqa import TriviaQA
from xtune.eval.tasks.xsum import XSum


def prompt_of(task, number=0):
    return one_text(task.ask(task.items()[number], "completion").prompt)


def said(text, ended_by="stop"):
    return Texts((Text(text, ended_by, len(text.split())),))


def worth(task, text, number=0, **how) -> Score:
    return task.score(task.items()[number], said(text, **how))


# ----------------------------------------------------------------------------------- GSM8K

NATALIA = {"question": "How many clips?", "answer": "48/2 = <<48/2=24>>24.\n#### 24"}
WENG = {"question": "How much did she earn?", "answer": "It is $1,250.\n#### 1,250"}


@pytest.fixture
def gsm8k(tmp_path):
    lines(tmp_path / "gsm8k/test.jsonl", [WENG])
    lines(tmp_path / "gsm8k/train.jsonl", [NATALIA] * 6)
    return GSM8K(data_path=str(tmp_path), shots=1)


def test_gsm8k_is_asked_as_lm_eval_asks_it(gsm8k):
    assert prompt_of(gsm8k) == (
        "Question: How many clips?\nAnswer: 48/2 = <<48/2=24>>24.\n#### 24\n\n"
        "Question: How much did she earn?\nAnswer:"
    )
    (item,) = gsm8k.items()
    assert (item.id, item.gold, item.where) == ("0", "1250", "test.jsonl:1")
    assert gsm8k.ask(item, "completion").stop == ("Question:", "</s>", "<|im_end|>")
    assert gsm8k.ask(item, "chat").stop == ()
    assert gsm8k.ask(item, "chat").max_new_tokens == 512
    assert gsm8k.settings()["shots_from"] == "the first of train"


@pytest.mark.parametrize(
    ("answer", "flexible", "strict"),
    [
        ("She works 50 minutes.\n#### 1,250", 1, 1),
        ("She earns $1,250.00 in all.", 1, 0),
        ("一共是1250元。", 1, 0),
        ("#### 1250\nWait, 40.", 0, 1),
        ("#### 125", 0, 0),
        ("<think>\nIt is 1250</think>\n7", 0, 0),
        ("I cannot tell.", 0, 0),
    ],
)
def test_gsm8ks_numbers(gsm8k, answer, flexible, strict):
    score = worth(gsm8k, answer)
    assert score.metrics == {"exact_match": flexible, "strict": strict}
    assert score.unanswered == (answer == "I cannot tell.")
    assert score.expected == "1250"


def test_shares_of_cut_and_empty_answers(gsm8k):
    item = gsm8k.items()[0]
    scores = [worth(gsm8k, "one two", ended_by="length"), worth(gsm8k, "1250"), worth(gsm8k, " ")]
    expected = {"share_cut": 1 / 3, "share_empty": 1 / 3, "mean_tokens": 1.0}
    assert gsm8k.overall([item] * 3, scores) == pytest.approx(expected)


def test_gsm8ks_damaged_rows_and_settings(tmp_path):
    lines(tmp_path / "test.jsonl", [WENG, WENG | {"answer": "24"}])
    task = GSM8K(data_path=str(tmp_path), shots=0)
    with pytest.raises(DataError, match="test.jsonl:2: the answer has no '#### number'"):
        task.items()
    with pytest.raises(UsageError, match="gsm8k: no train.jsonl or main/train-"):
        GSM8K(data_path=str(tmp_path))
    with pytest.raises(UsageError, match="gsm8k: max_new_tokens=0; allowed: 1 or more"):
        GSM8K(data_path=str(tmp_path), shots=0, max_new_tokens=0)


# ------------------------------------------------------------------------------------ MATH

PROBLEM = {
    "problem": "What is $\\frac{1}{4} + \\frac{1}{4}$?",
    "level": "Level 1",
    "type": "Counting & Probability",
    "solution": "It is $\\boxed{\\frac{1}{2}}$.",
}


@pytest.fixture
def math(tmp_path):
    path = tmp_path / "MATH/test/counting_and_probability/7.json"
    write(path, json.dumps(PROBLEM, indent=1))
    write(path.with_name("12.json"), json.dumps(PROBLEM))
    return MATH(data_path=str(tmp_path), subjects=["counting_and_probability"])


def test_math_is_asked_with_minervas_shots(math):
    text = prompt_of(math)
    assert text.startswith(
        "Problem:\nFind the domain of the expression  $\\frac{\\sqrt{x-2}}{\\sqrt{5-x}}$.\n\n"
        "Solution: The expressions inside each square root must be non-negative. Therefore,"
    )
    assert text.endswith(
        "=\\boxed{-\\frac{2}{3}}.$$\nFinal Answer: The final answer is $-\\frac{2}{3}$. "
        "I hope it is correct.\n\n"
        "Problem:\nWhat is $\\frac{1}{4} + \\frac{1}{4}$?\n\nSolution:"
    )
    assert text.count("Problem:\n") == 5
    items = math.items()
    assert [item.group for item in items] == ["counting_and_probability"] * 2
    assert items[0].gold == r"\frac{1}{2}"
    assert len({item.id for item in items}) == 2
    assert math.notices(items, []) == ["1 of 7 subjects"]


@pytest.mark.parametrize(
    ("answer", "verified", "same"),
    [
        (r"So it is $\boxed{\frac{1}{2}}$.", 1, 1),
        (r"So it is $\boxed{\dfrac12}$.", 1, 1),
        (r"Thus \boxed{0.5}", 1, 0),
        (r"Final Answer: The final answer is $\frac{2}{4}$. I hope it is correct.", 1, 0),
        (r"答案是 $\boxed{\frac{1}{2}}$。", 1, 1),
        (r"\boxed{\frac{1}{3}}", 0, 0),
        (r"\boxed{}", 0, 0),
        ("It is one half.", 0, 0),
    ],
)
def test_maths_formulas(math, answer, verified, same):
    score = worth(math, answer)
    assert score.metrics == {"math_verify": verified, "exact_match": same}
    assert score.unanswered == ("boxed{}" in answer or "half" in answer)


def test_math_500_is_one_file(tmp_path):
    row = {
        "problem": "1+1?",
        "solution": "…",
        "answer": "2",
        "subject": "Algebra",
        "level": 1,
        "unique_id": "test/algebra/1.json",
    }
    lines(tmp_path / "test.jsonl", [row])
    task = MATH500(data_path=str(tmp_path), shots=0)
    assert prompt_of(task) == "Problem:\n1+1?\n\nSolution:"
    assert (task.items()[0].gold, task.items()[0].group) == ("2", "algebra")
    with pytest.raises(UsageError, match="math500: shots=5; Minerva has 4"):
        MATH500(data_path=str(tmp_path), shots=5)


def test_maths_missing_subjects(tmp_path):
    write(tmp_path / "test/algebra/1.json", json.dumps(PROBLEM))
    with pytest.raises(UsageError, match="math: 6 of 7 subjects have no file: counting_and"):
        MATH(data_path=str(tmp_path))
    write(tmp_path / "test/algebra/1.json", json.dumps(PROBLEM | {"solution": "none"}))
    with pytest.raises(DataError, match=r"algebra/1.json:1: the solution has no \\boxed"):
        MATH(data_path=str(tmp_path), subjects=["algebra"]).items()


# ------------------------------------------------------------------------ TriviaQA, NQ-open

DC = {"value": "Washington, D.C.", "aliases": ["Washington, D.C.", "DC", "The Capital"]}


@pytest.mark.parametrize("form", ["lines", "published"])
def test_triviaqa_in_both_forms(tmp_path, form):
    if form == "lines":
        row = {"question": "Which city is it?", "question_id": "tc_1", "answer": DC}
        lines(tmp_path / "triviaqa/validation.jsonl", [row])
    else:
        answer = {"Value": DC["value"], "Aliases": DC["aliases"], "Type": "WikipediaEntity"}
        row = {"Question": "Which city is it?", "QuestionId": "tc_1", "Answer": answer}
        whole = {"Data": [row], "Split": "dev", "Version": 1.0}
        write(tmp_path / "triviaqa-rc/qa/wikipedia-dev.json", json.dumps(whole))
    task = TriviaQA(data_path=str(tmp_path))
    assert prompt_of(task) == "Question: Which city is it??\nAnswer:"
    (item,) = task.items()
    assert (item.id, item.gold) == ("tc_1", ["Washington, D.C.", "DC", "The Capital"])
    assert task.ask(item, "completion").stop == ("\n", ".", ",")
    assert task.ask(item, "chat").stop == ("\n",)
    assert worth(task, " washington D.C").metrics["exact_match"] == 1
    assert worth(task, "It is the DC, of course").metrics == {
        "exact_match": 0,
        "f1": pytest.approx(2 / 7),  # one word of six, and of one
        "contains": 1,
    }
    assert worth(task, "London").metrics == {"exact_match": 0, "f1": 0, "contains": 0}
    assert worth(task, "").unanswered


def test_triviaqas_damaged_file(tmp_path):
    write(tmp_path / "qa/web-dev.json", '{"data": []}')
    with pytest.raises(DataError, match="web-dev.json: this file of TriviaQA is one object with"):
        TriviaQA(data_path=str(tmp_path)).items()


def test_nq_open(tmp_path):
    lines(tmp_path / "NQ-open.dev.jsonl", [{"question": "who sang it", "answer": ["The Beatles"]}])
    lines(tmp_path / "NQ-open.train.jsonl", [{"question": "when", "answer": ["1912", "in 1912"]}])
    task = NQOpen(data_path=str(tmp_path), shots=1)
    assert prompt_of(task) == ("Answer these questions:\n\nQ: when?\nA: 1912\nQ: who sang it?\nA:")
    assert worth(task, "beatles").metrics["exact_match"] == 1
    assert worth(task, "the Beatles").metrics["exact_match"] == 1
    assert worth(task, "a beetle").metrics["exact_match"] == 0
    lines(tmp_path / "NQ-open.dev.jsonl", [{"question": "who", "answer": "x"}])
    with pytest.raises(DataError, match="NQ-open.dev.jsonl:1: 'answer' must be a list, not 'x'"):
        NQOpen(data_path=str(tmp_path)).items()


# ------------------------------------------------------------------------------------- BBH


def bbh_files(folder, kinds=("navigate",)):
    example = "Q: Go {n}.\nA: Let's think step by step.\nWe go.\nSo the answer is Yes."
    prompt = "BIG-bench canary GUID 1\n-----\nDo we return?\n\n"
    prompt += "\n\n".join(example.format(n=n) for n in (1, 2, 3)) + "\n"
    rows = [{"input": "Turn left.\nOptions:\n- Yes\n- No", "target": "No"}]
    rows.append({"input": "Which?\nOptions:\n(A) one\n(B) two", "target": "(B)"})
    for kind in kinds:
        write(folder / f"bbh/{kind}.json", json.dumps({"canary": "…", "examples": rows}))
        write(folder / f"cot-prompts/{kind}.txt", prompt)


def test_bbh_is_asked_with_the_authors_examples(tmp_path):
    bbh_files(tmp_path / "BIG-Bench-Hard", KINDS)
    task = BBH(data_path=str(tmp_path))
    assert len(task.items()) == 2 * 27
    assert prompt_of(task) == (
        "Do we return?\n\n"
        "Q: Go 1.\nA: Let's think step by step.\nWe go.\nSo the answer is Yes.\n\n"
        "Q: Go 2.\nA: Let's think step by step.\nWe go.\nSo the answer is Yes.\n\n"
        "Q: Go 3.\nA: Let's think step by step.\nWe go.\nSo the answer is Yes.\n\n"
        "Q: Turn left.\nOptions:\n- Yes\n- No\nA: Let's think step by step.\n"
    )
    item = task.items()[1]
    assert (item.id, item.group) == ("boolean_expressions/1", "boolean_expressions")
    assert task.ask(item, "completion").stop == ("</s>", "Q:", "\n\n")


@pytest.mark.parametrize(
    ("answer", "number", "right"),
    [
        ("We turn.\nSo the answer is No.", 0, 1),
        ("So the answer is **No**.", 0, 1),
        ("the answer is Yes. No: the answer is no", 0, 1),
        ("So the answer is Yes.", 0, 0),
        ("So the answer is (B).", 1, 1),
        ("So the answer is (B) two.", 1, 1),
        ("So the answer is (A).", 1, 0),
        ("No.", 0, 0),
    ],
)
def test_bbhs_answers(tmp_path, answer, number, right):
    bbh_files(tmp_path)
    task = BBH(data_path=str(tmp_path), subjects=["navigate"])
    score = worth(task, answer, number)
    assert score.metrics == {"exact_match": right}
    assert score.unanswered == (answer == "No.")


def test_bbhs_missing_prompts(tmp_path):
    bbh_files(tmp_path)
    task = BBH(data_path=str(tmp_path), subjects=["navigate"], shots=0)
    assert prompt_of(task, 1).startswith("Q: Which?\nOptions:")
    (tmp_path / "cot-prompts/navigate.txt").write_text("Do we return?\n\nQ: Go.\nA: Yes.\n")
    with pytest.raises(DataError, match=r"cot-prompts/navigate.txt: an example has no line \"A: L"):
        BBH(data_path=str(tmp_path), subjects=["navigate"])
    (tmp_path / "cot-prompts/navigate.txt").unlink()
    with pytest.raises(UsageError, match="bbh: no cot-prompts/navigate.txt or navigate.txt in"):
        BBH(data_path=str(tmp_path), subjects=["navigate"])


# ------------------------------------------------------------------------------- XSum, CMRC


def test_xsum(tmp_path):
    row = {"document": "A long story.\nIt goes on.", "summary": "The cat sat.", "id": "35232142"}
    lines(tmp_path / "test.jsonl", [row, row | {"id": "2"}])
    task = XSum(data_path=str(tmp_path))
    assert prompt_of(task) == (
        "Document：A long story.\nIt goes on.\n"
        "Based on the previous text, provide a brief single summary:"
    )
    score = worth(task, " The cat ran.\nAnd more.")
    assert score.got == "The cat ran."
    assert score.metrics == pytest.approx({"rouge1": 2 / 3, "rouge2": 1 / 2, "rougeL": 2 / 3})
    scores = [score, worth(task, "A cat ran", 1)]
    found = task.overall(task.items(), scores)
    # the cat ran a cat ran: 4 words of 6; the cat, cat ran, a cat, cat ran: 3 of 4
    assert (found["distinct-1"], found["distinct-2"]) == (4 / 6, 3 / 4)
    assert found["share_empty"] == 0


def test_xsums_bleu_is_sacrebleus_with_its_signature(tmp_path, monkeypatch):
    summary = "The cat sat on the mat."
    lines(tmp_path / "test.jsonl", [{"document": "A story.", "summary": summary, "id": "1"}])
    task = XSum(data_path=str(tmp_path), bleu=True)
    # as long as the reference; of its tokens 6 of 7, of their runs 5 of 6, 4 of 5 and 3 of 4
    found = task.overall(task.items(), [worth(task, "A cat sat on the mat.")])
    assert found["bleu"] == pytest.approx(100 * (6 / 7 * 5 / 6 * 4 / 5 * 3 / 4) ** 0.25)
    assert task.settings()["bleu"] == corpus_bleu(["a"], [[summary]])[1]
    plain = XSum(data_path=str(tmp_path))
    assert "bleu" not in plain.overall(plain.items(), [worth(plain, "A cat")])
    assert "bleu" not in plain.settings()
    monkeypatch.setitem(sys.modules, "sacrebleu.metrics", None)
    with pytest.raises(UsageError, match="BLEU needs the package sacrebleu"):
        XSum(data_path=str(tmp_path), bleu=True)


def cmrc_file(path, **question):
    asked = {"id": "DEV_0_QUERY_0", "question": "《战国无双3》是由哪两个公司合作开发的？"}
    asked["answers"] = [{"text": "光荣和ω-force", "answer_start": 11}] * 2
    asked["answers"].append({"text": "光荣和 ω-force", "answer_start": 11})
    passage = {
        "id": "DEV_0",
        "context": "《战国无双3》是由光荣和ω-force开发的。",
        "qas": [asked | question],
    }
    whole = {"version": "v1.0", "data": [{"title": "战国", "paragraphs": [passage]}]}
    return write(path, json.dumps(whole, ensure_ascii=False))


def test_cmrc(tmp_path):
    cmrc_file(tmp_path / "cmrc2018/squad-style-data/cmrc2018_dev.json")
    task = CMRC(data_path=str(tmp_path))
    assert prompt_of(task) == (
        "根据文章回答问题。你的答案应该尽可能简练，请以 ‘答案是’ 开头的句式作答。\n"
        "文章：《战国无双3》是由光荣和ω-force开发的。\n"
        "问：《战国无双3》是由哪两个公司合作开发的？\n答："
    )
    (item,) = task.items()
    assert (item.id, item.gold) == ("DEV_0_QUERY_0", ["光荣和ω-force", "光荣和 ω-force"])
    assert worth(task, "答案是光荣和ω－force。").metrics == {"exact_match": 1, "f1": 1}
    score = worth(task, "答案是光荣。")
    assert score.metrics == {"exact_match": 0, "f1": pytest.approx(4 / 7)}  # 2 of 2, 2 of 5
    assert worth(task, "答案是：").unanswered


def test_cmrcs_damaged_files(tmp_path):
    file = cmrc_file(tmp_path / "dev.json", answers=[])
    with pytest.raises(DataError, match=r"dev.json: data\[0\]: answers has no list of texts"):
        CMRC(data_path=str(tmp_path)).items()
    file.write_text('{"data": [{"title": "x"}]}')
    with pytest.raises(DataError, match=r"dev.json: this file is data\[\].paragraphs\[\].qas"):
        CMRC(data_path=str(tmp_path)).items()


# --------------------------------------------------------------------------------- IFEval


def test_ifeval(tmp_path):
    row = {
        "key": 1000,
        "prompt": "Write two words without commas. End with so.",
        "instruction_id_list": ["punctuation:no_comma", "startend:end_checker"],
        "kwargs": [{"end_phrase": None}, {"end_phrase": "so."}],
    }
    lines(tmp_path / "input_data.jsonl", [row])
    task = IFEval(data_path=str(tmp_path))
    (item,) = task.items()
    ask = task.ask(item, "chat")
    assert one_text(ask.prompt) == row["prompt"]
    assert (ask.stop, ask.max_new_tokens, task.forms[0]) == ((), 1280, "chat")
    good, loose, bad = (worth(task, t) for t in ("It is so.", "Sure, yes:\nIt is so.", "It, is"))
    assert good.metrics == {"prompt_strict": 1, "prompt_loose": 1}
    assert loose.metrics == {"prompt_strict": 0, "prompt_loose": 1}
    assert loose.got == "not followed: punctuation:no_comma"
    assert bad.metrics == {"prompt_strict": 0, "prompt_loose": 0}
    found = task.overall([item] * 3, [good, loose, bad])
    assert found["instruction_strict"] == 3 / 6
    assert found["instruction_loose"] == 4 / 6
    lines(tmp_path / "input_data.jsonl", [row | {"kwargs": [{}, {}]}])
    with pytest.raises(DataError, match="input_data.jsonl:1: startend:end_checker needs end_phr"):
        IFEval(data_path=str(tmp_path)).items()


# --------------------------------------------------------------------------------- MMLU-Pro


def pro_row(number, category="law", answer="B", **more):
    row = {
        "question_id": number,
        "question": f"Question {number}?",
        "options": ["one ", "two", "three"],
        "answer": answer,
        "answer_index": "ABCDEFGHIJ".index(answer),
        "cot_content": f"A: Let's think step by step. It is {answer}. The answer is ({answer}).",
        "category": category,
        "src": "x",
    }
    return row | more


def test_mmlu_pro(tmp_path):
    rows = [pro_row(1, "law"), pro_row(2, "computer science", "C")]
    lines(tmp_path / "test.jsonl", rows)
    shots = [pro_row(7, "computer science"), pro_row(8, "law", "A"), pro_row(9, "law")]
    lines(tmp_path / "validation.jsonl", shots)
    task = MMLUPro(data_path=str(tmp_path), shots=1)
    description = (
        "The following are multiple choice questions (with answers) about law. Think step by step "
        'and then finish your answer with "the answer is (X)" where X is the correct letter '
        "choice.\n"
    )
    assert prompt_of(task) == description + (
        "Question:\nQuestion 8?\nOptions:\nA. one\nB. two\nC. three\n"
        "Answer: Let's think step by step. It is A. The answer is (A).\n\n"
        "Question:\nQuestion 1?\nOptions:\nA. one\nB. two\nC. three\n"
        "Answer: Let's think step by step."
    )
    assert "Question 7?" in prompt_of(task, 1)
    assert task.chance(task.items()) == pytest.approx(1 / 3)
    assert worth(task, "So the answer is (B).").metrics == {"acc": 1, "strict": 1}
    assert worth(task, "Answer: B").metrics == {"acc": 1, "strict": 0}
    assert worth(task, "the answer is (A). No: the answer is (B).").metrics == {
        "acc": 1,
        "strict": 0,
    }
    assert worth(task, "I do not know.").unanswered
    with pytest.raises(UsageError, match="shots=2, but validation has 1 rows of 'computer science"):
        MMLUPro(data_path=str(tmp_path), shots=2).items()
    lines(tmp_path / "test.jsonl", [pro_row(1, answer="E")])
    with pytest.raises(DataError, match="test.jsonl:1: the answer 4 is none of the 3 options"):
        MMLUPro(data_path=str(tmp_path), shots=0).items()


# ---------------------------------------------------------------------------------- needle


@pytest.fixture
def story(tmp_path):
    text = "".join(f"This is sentence {n} of a story. " for n in range(10, 60))
    return str(write(tmp_path / "story.txt", text))


def test_the_needle_lies_between_sentences_at_its_depth(story):
    task = Needle(data_path=story, lengths=[400, 4000], depths=3)
    items = task.items()
    assert [item.id for item in items] == [
        *("400/0/0", "400/50/0", "400/100/0"),
        *("4000/0/0", "4000/50/0", "4000/100/0"),
    ]
    for item in items:
        needle = f"The secret number of {item.fields['city']} is {item.gold}."
        assert item.question.count(needle) == 1
        assert len(item.question) == pytest.approx(item.fields["length"], abs=3)
        at = item.question.index(needle)
        assert at / len(item.question) == pytest.approx(item.fields["depth"] / 100, abs=0.12)
        assert at == 0 or item.question[:at].rstrip().endswith(".") or item.fields["depth"] == 100
        assert len(item.gold) == 7
    assert items == Needle(data_path=story, lengths=[400, 4000], depths=3).items()


def test_the_needles_question_and_score(story):
    task = Needle(data_path=story, lengths=[300], depths=2, samples=2)
    item = task.items()[0]
    city = item.fields["city"]
    chat, completion = (task.ask(item, form) for form in ("chat", "completion"))
    question = f"{item.question}\n\nWhat is the secret number of {city}? Answer from the text."
    assert one_text(chat.prompt) == question
    assert one_text(completion.prompt) == f"{question}\nThe secret number of {city} is"
    right, comma, wrong = (
        task.score(item, said(text))
        for text in (f" {item.gold}.", f"{int(item.gold):,}", "1234567 or so")
    )
    assert [one.metrics["found"] for one in (right, comma, wrong)] == [1, 1, 0]
    assert task.score(item, said("I see none.")).unanswered
    assert task.attachments(task.items(), [right, wrong, right, comma]) == {
        "needle_grid.json": {"lengths": [300], "depths": [0, 100], "found": [[0.5, 1.0]]}
    }
    assert right.notes["cell"] == {"length": 300, "depth, %": 0}


def test_the_needles_lengths_in_tokens(story, tmp_path):
    from tests.tiny import write_tiny_tokenizer
    from xtune.models import load_tokenizer

    folder = str(write_tiny_tokenizer(tmp_path / "tokenizer"))
    task = Needle(data_path=story, lengths=[500], depths=3, tokenizer=folder)
    tokenizer = load_tokenizer(folder)
    for item in task.items():
        count = len(tokenizer.encode(item.question, add_special_tokens=False))
        assert count == pytest.approx(500, abs=3)
    assert task.settings()["lengths_count"] == f"tokens of {folder}"


def test_the_needles_bad_settings(tmp_path, story):
    for nothing in (None, str(tmp_path)):
        with pytest.raises(UsageError, match="needle needs a text file to hide it in: --task-opt"):
            Needle(data_path=nothing)
    with pytest.raises(UsageError, match="needle: .*nothing.txt"):
        Needle(data_path=str(tmp_path / "nothing.txt"))
    with pytest.raises(UsageError, match=r"lengths=\[50\]; allowed: 100 or more each"):
        Needle(data_path=story, lengths=[50])
    empty = write(tmp_path / "empty.txt", " \n")
    with pytest.raises(UsageError, match="is empty"):
        Needle(data_path=str(empty))
