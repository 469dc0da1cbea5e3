"""MMLU, C-Eval and CMMLU: files in the published forms, prompts written out, categories."""

from __future__ import annotations

import pytest

from tests.eval.tasks.files import answered, asked, continuations, one_text, write
from xtune.errors import DataError, UsageError
from xtune.eval.tasks.ceval import CEval
from xtune.eval.tasks.cmmlu import CMMLU
from xtune.eval.tasks.mmlu import MMLU
from xtune.eval.tasks.subjects import subject_table

ASTRONOMY = "How far is the Moon?,near,far,farther,away,B\n"


@pytest.fixture
def mmlu(tmp_path):
    write(tmp_path / "test/astronomy_test.csv", ASTRONOMY + '"What, is it?  ",1,2,3,4,D\n')
    write(tmp_path / "dev/astronomy_dev.csv", "Is it day?,a,b,c,d,C\nIs it night?,e,f,g,h,A\n")
    return tmp_path


def test_mmlu_as_its_paper_and_lm_eval_ask_it(mmlu):
    task = MMLU(data_path=str(mmlu), shots=2, subjects=["astronomy"])
    _, item = task.items()
    assert one_text(asked(task, item).candidates[0].prompt) == (
        "The following are multiple choice questions (with answers) about astronomy.\n\n"
        "Is it day?\nA. a\nB. b\nC. c\nD. d\nAnswer: C\n\n"
        "Is it night?\nA. e\nB. f\nC. g\nD. h\nAnswer: A\n\n"
        "What, is it?\nA. 1\nB. 2\nC. 3\nD. 4\nAnswer:"
    )
    assert continuations(task, item) == [" A", " B", " C", " D"]
    assert (item.id, item.gold, item.group, item.where) == (
        "astronomy/1",
        3,
        "astronomy",
        "test/astronomy_test.csv:2",
    )


def test_a_subject_of_several_words_is_called_so(tmp_path):
    write(tmp_path / "test/us_foreign_policy_test.csv", ASTRONOMY)
    task = MMLU(data_path=str(tmp_path), shots=0, subjects=["us_foreign_policy"])
    prompt = asked(task, task.items()[0]).candidates[0].prompt
    assert prompt.description == (
        "The following are multiple choice questions (with answers) about us foreign policy.\n\n"
    )


def test_copies_with_a_header_and_of_the_hub_give_the_same_items(mmlu, tmp_path_factory):
    import pyarrow as pa
    import pyarrow.parquet as pq

    copy = tmp_path_factory.mktemp("copy")
    header = "question,choice0,choice1,choice2,choice3,answer\n"
    write(copy / "test/astronomy_test.csv", header + "How far is the Moon?,near,far,farther,away,1")
    hub = tmp_path_factory.mktemp("hub")
    (hub / "astronomy").mkdir()
    row = {
        "question": ["How far is the Moon?"],
        "subject": ["astronomy"],
        "choices": [["near", "far", "farther", "away"]],
        "answer": [1],
    }
    pq.write_table(pa.table(row), hub / "astronomy/test-00000-of-00001.parquet")
    made = [
        MMLU(data_path=str(folder), shots=0, subjects=["astronomy"]).items()[0]
        for folder in (mmlu, copy, hub)
    ]
    assert {(i.id, i.question, i.options, i.gold, i.group) for i in made} == {
        ("astronomy/0", "How far is the Moon?", ("near", "far", "farther", "away"), 1, "astronomy")
    }


def test_57_subjects_in_four_categories():
    categories = [subject.categories for subject in MMLU.subjects.values()]
    assert {one: categories.count((one,)) for one in ("stem", "humanities")} == {
        "stem": 19,
        "humanities": 13,
    }
    assert {one: categories.count((one,)) for one in ("social_sciences", "other")} == {
        "social_sciences": 12,
        "other": 13,
    }
    assert len(categories) == 57


def test_mmlus_category_weighs_questions_and_cevals_subjects(tmp_path):
    """Two subjects of STEM, 1 of 1 and 0 of 3 right: 1/4 of the questions, 1/2 of the subjects."""
    for name, rows in (("astronomy", 1), ("anatomy", 3), ("law", 0)):
        write(tmp_path / f"test/{name}_test.csv", ASTRONOMY * rows)
    task = MMLU(data_path=str(tmp_path), shots=0, subjects=["astronomy", "anatomy"])
    items = task.items()
    right, wrong = answered([-9, -1, -9, -9]), answered([-1, -9, -9, -9])
    scores = [task.score(i, right if i.group == "astronomy" else wrong) for i in items]
    assert task.overall(items, scores) == {"acc_stem": 0.25}

    head = "id,question,A,B,C,D,answer\n"
    for name, rows in (("law", 1), ("logic", 3)):
        text = "".join(f"{n},问,一,二,三,四,B\n" for n in range(rows))
        write(tmp_path / f"val/{name}_val.csv", head + text)
    exam = CEval(data_path=str(tmp_path), shots=0, subjects=["law", "logic"])
    items = exam.items()
    scores = [exam.score(i, right if i.group == "law" else wrong) for i in items]
    assert exam.overall(items, scores) == {"acc_humanities": 0.5}


def test_subjects_that_are_missing_are_named(mmlu):
    with pytest.raises(UsageError, match=r"mmlu: 56 of 57 subjects have no file: abstract_algebra"):
        MMLU(data_path=str(mmlu))
    with pytest.raises(UsageError, match="has no subject 'astronmy'; did you mean 'astronomy'?"):
        MMLU(data_path=str(mmlu), subjects=["astronmy"])


def test_what_there_is_too_little_of_is_said(mmlu, tmp_path_factory):
    task = MMLU(data_path=str(mmlu), subjects=["astronomy"], shots=2)
    assert task.notices([], []) == ["1 of 57 subjects"]
    whole = tmp_path_factory.mktemp("whole")
    for subject in MMLU.subjects:
        write(whole / f"test/{subject}_test.csv", ASTRONOMY)
    task = MMLU(data_path=str(whole), shots=0)
    assert task.notices([], []) == ["57 of 14,042 rows of test: a partial copy"]
    assert task.settings()["items"] == 57
    with pytest.raises(UsageError, match="shots=5, but dev has 2 rows of astronomy"):
        MMLU(data_path=str(mmlu), subjects=["astronomy"]).items()


def test_slips_in_arguments(mmlu):
    path = str(mmlu)
    with pytest.raises(UsageError, match=r"mmlu has no split 'tset'; did you mean 'test'"):
        MMLU(data_path=path, split="tset")
    with pytest.raises(UsageError, match=r"mmlu has no split 'dev'; allowed: test, validation"):
        MMLU(data_path=path, split="dev")
    with pytest.raises(UsageError, match="mmlu: shots=-1; allowed: 0, 1, 2"):
        MMLU(data_path=path, shots=-1)
    with pytest.raises(UsageError, match="cmmlu: prompt='paper'; allowed: 'lm_eval', 'original'"):
        CMMLU(data_path=path, prompt="paper")


def test_a_damaged_row_is_named(tmp_path):
    write(tmp_path / "test/astronomy_test.csv", ASTRONOMY + "Why?,1,2,3,4,E\n")
    task = MMLU(data_path=str(tmp_path), shots=0, subjects=["astronomy"])
    with pytest.raises(DataError, match="test/astronomy_test.csv:2: the answer is 'E', and must"):
        task.items()


@pytest.fixture
def ceval(tmp_path):
    write(
        tmp_path / "val/accountant_val.csv",
        "id,question,A,B,C,D,answer\n0,下列说法正确的是____。 ,一,二,三,四,C\n",
    )
    write(
        tmp_path / "dev/accountant_dev.csv",
        "id,question,A,B,C,D,answer,explanation\n0,问,甲,乙,丙,丁,B,因为……\n",
    )
    write(tmp_path / "test/accountant_test.csv", "id,question,A,B,C,D\n7,问七,1,2,3,4\n")
    return tmp_path


def test_ceval_as_lm_eval_asks_it(ceval):
    task = CEval(data_path=str(ceval), shots=1, subjects=["accountant"])
    (item,) = task.items()
    assert one_text(asked(task, item).candidates[0].prompt) == (
        "以下是中国关于注册会计师的单项选择题，请选出其中的正确答案。\n\n"
        "问\nA. 甲\nB. 乙\nC. 丙\nD. 丁\n答案： B\n\n"
        "下列说法正确的是____。\nA. 一\nB. 二\nC. 三\nD. 四\n答案："
    )
    assert continuations(task, item)[2] == " C"
    assert item.gold == 2


def test_ceval_as_its_authors_ask_it(ceval):
    task = CEval(data_path=str(ceval), shots=1, subjects=["accountant"], prompt="original")
    (item,) = task.items()
    assert one_text(asked(task, item).candidates[0].prompt) == (
        "以下是中国关于注册会计师考试的单项选择题，请选出其中的正确答案。\n\n"
        "问\nA. 甲\nB. 乙\nC. 丙\nD. 丁\n答案：B\n\n"
        "下列说法正确的是____。 \nA. 一\nB. 二\nC. 三\nD. 四\n答案："
    )
    assert continuations(task, item)[2] == "C"
    assert task.settings()["prompt"] == "original"


def test_cevals_test_split_makes_a_submission_and_no_number(ceval):
    task = CEval(data_path=str(ceval), shots=1, subjects=["accountant"], split="test")
    items = task.items()
    scores = [task.score(item, answered([-4, -1, -2, -3])) for item in items]
    assert [score.metrics for score in scores] == [{}]
    assert task.overall(items, scores) == {}
    assert task.attachments(items, scores) == {"submission.json": {"accountant": {"7": "B"}}}
    val = CEval(data_path=str(ceval), shots=0, subjects=["accountant"])
    assert val.attachments(val.items(), [val.score(val.items()[0], answered([-1] * 4))]) == {}


def test_cevals_validation_must_have_answers(ceval):
    write(ceval / "val/law_val.csv", "id,question,A,B,C,D\n0,问,1,2,3,4\n")
    task = CEval(data_path=str(ceval), shots=0, subjects=["law"])
    with pytest.raises(DataError, match="val/law_val.csv:2: the answer is None"):
        task.items()


def test_52_and_67_subjects_in_their_groups():
    def sizes(exam):
        found = {}
        for subject in exam.subjects.values():
            for category in subject.categories:
                found[category] = found.get(category, 0) + 1
        return found

    assert len(CEval.subjects) == 52
    assert sizes(CEval) == {
        "stem": 20,
        "hard": 8,
        "social_science": 10,
        "humanities": 11,
        "other": 11,
    }
    assert len(CMMLU.subjects) == 67
    assert sizes(CMMLU) == {
        "stem": 17,
        "humanities": 13,
        "social_science": 22,
        "other": 15,
        "china_specific": 15,
    }


@pytest.fixture
def cmmlu(tmp_path):
    head = ",Question,A,B,C,D,Answer\n"
    write(tmp_path / "cmmlu/test/agronomy.csv", head + "0,草地植被,1,2,3,4,A\n1,肉牛,5,6,7,8,D\n")
    write(tmp_path / "cmmlu/dev/agronomy.csv", head + "0,羊,胸,腹,腿,尾,C\n")
    return tmp_path


@pytest.mark.parametrize(
    ("prompt", "text", "continuation"),
    [
        (
            "lm_eval",
            "羊\nA. 胸\nB. 腹\nC. 腿\nD. 尾\n答案： C\n\n肉牛\nA. 5\nB. 6\nC. 7\nD. 8\n答案：",
            " D",
        ),
        (
            "original",
            "题目：羊\nA. 胸\nB. 腹\nC. 腿\nD. 尾\n答案是：C\n\n"
            "题目：肉牛\nA. 5\nB. 6\nC. 7\nD. 8\n答案是：",
            "D",
        ),
    ],
)
def test_cmmlu_in_both_prompts(cmmlu, prompt, text, continuation):
    task = CMMLU(data_path=str(cmmlu), shots=1, subjects=["agronomy"], prompt=prompt)
    _, item = task.items()
    assert one_text(asked(task, item).candidates[0].prompt) == (
        "以下是关于农学的单项选择题，请直接给出正确答案的选项。\n\n" + text
    )
    assert continuations(task, item)[3] == continuation


def test_a_table_of_subjects():
    table = subject_table("a,hard: x 一; y_z;\nb: w 二;")
    assert {name: (one.title, one.categories) for name, one in table.items()} == {
        "x": ("一", ("a", "hard")),
        "y_z": ("y z", ("a", "hard")),
        "w": ("二", ("b",)),
    }
