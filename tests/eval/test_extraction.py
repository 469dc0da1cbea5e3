"""Each rule on answers as models write them, in English and Chinese."""

from __future__ import annotations

import pytest

from xtune.eval.extraction import (
    after_answer_is,
    boxed_in,
    code_in,
    final_answer_in,
    last_number,
    letter_in,
    letters_in,
    without_thought,
)


@pytest.mark.parametrize(
    ("answer", "letter"),
    [
        # behind the last cue
        ("The answer is B.", "B"),
        ("The answer is (C).", "C"),
        ("the answer is (c)", "C"),
        ("The correct answer is:\n\n**D. 1945**", "D"),
        ("The correct answer to the question is A, because the others are later.", "A"),
        ("Answer: **B**", "B"),
        ("**Answer:** C", "C"),
        ("ANSWER: D", "D"),
        ("The best answer is option A because it is the oldest.", "A"),
        ("A is wrong, since it is too small. So the answer is B.", "B"),
        ("At first the answer is A. But wait: 2 is even, so the answer is D.", "D"),
        (r"Therefore the result is \boxed{C}.", "C"),
        (r"$\boxed{\text{B}}$", "B"),
        ("Let's go through the options. A) no. B) yes.\n\nFinal answer: B", "B"),
        ("The answer should be `C`.", "C"),
        ("答案：B", "B"),
        ("答案是：**C**。因为其余三项都不成立。", "C"),
        ("答案為", None),
        ("正确答案是 D、珠穆朗玛峰。", "D"),
        ("正确答案为A选项。", "A"),
        ("答案应该是（Ｂ）。", "B"),
        ("首先排除A，其次B也不对，故选：C。", "C"),
        ("因此选D", "D"),
        ("综上所述，正确的选项是B。", "B"),
        ("我选择C，因为北京是首都。", "C"),
        ("【答案】A", "A"),
        # a lone letter at the beginning
        ("B", "B"),
        (" C\n", "C"),
        ("B. The mitochondrion is the powerhouse. As for D, it is not.", "B"),
        ("(D) because A is too early", "D"),
        ("A\n\nExplanation: B is a distractor.", "A"),
        ("A is correct, and B is not.", "A"),
        ("B、北京", "B"),
        ("B。A项错误。", "B"),
        ("选B。", "B"),
        ("选项C正确，选项A不正确", "C"),
        # the last lone capital
        ("I would go with B here", "B"),
        ("It cannot be A or B, which leaves us with C", "C"),
        ("The answer is not A but B.", "B"),
        ("本题考查地理，显然是C项", "C"),
        # none of the letters' business
        ("As an AI language model, I cannot choose.", None),
        ("A dog is a mammal.", None),
        ("I am not sure.", None),
        ("As an AI, I'd say it's a matter of taste: option B.", "B"),
        ("Because Apples Contain Dextrose", None),
        ("The grade was an A+ and the vitamin B12", "A"),
        ("作为一个人工智能，我无法回答。", None),
        ("", None),
    ],
)
def test_letters(answer, letter):
    assert letter_in(answer, "ABCD") == letter


def test_letters_beyond_d():
    assert letter_in("The answer is (I).", "ABCDEFGHIJ") == "I"
    assert letter_in("I think the answer is (J).", "ABCDEFGHIJ") == "J"
    assert letter_in("I think so.", "ABCDEFGHIJ") is None
    assert letter_in("The answer is E.", "ABCD") is None


@pytest.mark.parametrize(
    ("answer", "letters"),
    [
        ("The answers are A and C.", "AC"),
        ("Answer: A, B, D", "ABD"),
        ("BD", "BD"),
        ("答案：ＡＣＤ", "ACD"),
        ("正确答案是A、C。", "AC"),
        ("答案为ABD选项", "ABD"),
        ("本题的正确选项是 B 和 D。", "BD"),
        ("B", "B"),
        ("A dog", None),
        ("都不对", None),
    ],
)
def test_several_letters(answer, letters):
    assert letters_in(answer, "ABCD") == (None if letters is None else frozenset(letters))


@pytest.mark.parametrize(
    ("answer", "number"),
    [
        ("She makes 9 * 2 = $<<9*2=18>>18 every day.\n#### 18", "18"),
        ("So the total is $1,250.50.", "1250.50"),
        ("The answer is -3.", "-3"),
        ("It falls by 10-5 degrees", "5"),
        ("He has 12,5 apples", "5"),
        ("That is 1,000,000 people.", "1000000"),
        ("x = −7", "-7"),
        ("Half is .5", ".5"),
        ("一共是３６个苹果。", "36"),
        ("所以答案是 1，200 元", "1200"),
        ("因此他还剩下15元。", "15"),
        ("about 50%", "50"),
        ("v2.10 has 3", "3"),
        (r"So \boxed{$9{,}500}", "9500"),
        (r"which is \(1\,234\,567\).", "1234567"),
        ("Das sind 1\u202f250 Euro", "1250"),
        (r"f(1\,2) and 3{,}4", "4"),
        ("The total is 72 clips, altogether.", "72"),
        ("No idea.", None),
        ("", None),
    ],
)
def test_the_last_number(answer, number):
    assert last_number(answer) == number


@pytest.mark.parametrize(
    ("answer", "inside"),
    [
        (r"so $x = \boxed{5}$.", "5"),
        (r"\boxed{1} and then \boxed{\frac{1}{2}}", r"\frac{1}{2}"),
        (r"\fbox{[2,5)}", "[2,5)"),
        (r"$\boxed 7$", "7"),
        (r"\boxed{\{1, 2\}}", r"\{1, 2\}"),
        (r"\boxed{\text{even}}", r"\text{even}"),
        (r"因此答案为 $\boxed{12\text{厘米}}$。", r"12\text{厘米}"),
        (r"it was cut \boxed{\frac{1}{", None),
        (r"\boxed{3} and cut \boxed{\frac{1}{", "3"),
        ("no box", None),
    ],
)
def test_boxes(answer, inside):
    assert boxed_in(answer) == inside


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ("Final Answer: The final answer is $[2,5)$. I hope it is correct.", "$[2,5)$"),
        ("… The final answer is $24$. I hope it is correct.\n\nProblem:\n1+1", "$24$"),
        ("Final Answer: The final answer is 16", "16"),
        ("The final answer is: 3.5.", "3.5"),
        ("so it is 24", None),
    ],
)
def test_minervas_sentence(answer, said):
    assert final_answer_in(answer) == said


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ("答案是北京。", "北京"),
        ("答案是：1998年", "1998年"),
        ("答案是“光荣和梦想”。", "光荣和梦想"),
        ("北京", "北京"),
        ("根据文章，答案是光绪二十四年。\n希望对你有帮助。", "光绪二十四年"),
        ("答案: 3.5", "3.5"),
        ("", ""),
    ],
)
def test_what_follows_the_answer_is(answer, said):
    assert after_answer_is(answer) == said


def test_thoughts_are_no_answer():
    assert without_thought("<think>\nA? No, B.\n</think>\n\nThe answer is C.") == "The answer is C."
    assert without_thought("A? No.\n</think>C") == "C"
    assert without_thought("<think>\nIt is A, or") == ""
    assert without_thought("C") == "C"


def test_programs():
    fenced = "Sure!\n```python\ndef f():\n    return 1\n```\nIt works:\n```\nf()\n```"
    assert code_in(fenced) == "def f():\n    return 1"
    assert code_in("```\nx = 1\n```") == "x = 1"
    assert code_in("```py\nx = 1\ny = 2") == "x = 1\ny = 2"
    assert code_in("```bash\npip install x\n```") is None
    assert code_in("def f(): pass") is None
