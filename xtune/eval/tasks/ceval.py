"""C-Eval: 52 subjects in Chinese, four options each.

Form: completion or chat. Shots: 5, the subject's dev rows in order. Scoring: option_letter; the
paper's number is the mean of subjects (macro); `acc_hard` are its eight hard ones. The test
split's answers are withheld: split='test' makes the submission.json that its site takes.
Prompt: 'lm_eval' as lm_eval 0.4.13 (which leaves out 考试 and puts a blank before the letter);
'original' as the authors' code.

Source: https://huggingface.co/datasets/ceval/ceval-exam (CC BY-NC-SA 4.0).
Paper: Huang et al. 2023, C-Eval: A Multi-Level Multi-Discipline Chinese Evaluation Suite.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from xtune.eval.published import Part
from xtune.eval.tasks.base import Item, Score
from xtune.eval.tasks.choices import lettered
from xtune.eval.tasks.subjects import ChineseExam, subject_table
from xtune.registry import EVALUATIONS

__all__ = ["CEval"]

_SUBJECTS = """
stem: computer_network 计算机网络; operating_system 操作系统; computer_architecture 计算机组成;
stem: college_programming 大学编程; electrical_engineer 注册电气工程师;
stem: metrology_engineer 注册计量师; high_school_biology 高中生物;
stem: middle_school_mathematics 初中数学; middle_school_biology 初中生物;
stem: middle_school_physics 初中物理; middle_school_chemistry 初中化学; veterinary_medicine 兽医学;
stem,hard: college_physics 大学物理; college_chemistry 大学化学; advanced_mathematics 高等数学;
stem,hard: probability_and_statistics 概率统计; discrete_mathematics 离散数学;
stem,hard: high_school_mathematics 高中数学; high_school_physics 高中物理;
stem,hard: high_school_chemistry 高中化学;
social_science: college_economics 大学经济学; business_administration 工商管理;
social_science: marxism 马克思主义基本原理;
social_science: mao_zedong_thought 毛泽东思想和中国特色社会主义理论体系概论;
social_science: education_science 教育学; teacher_qualification 教师资格;
social_science: high_school_politics 高中政治; high_school_geography 高中地理;
social_science: middle_school_politics 初中政治; middle_school_geography 初中地理;
humanities: modern_chinese_history 近代史纲要;
humanities: ideological_and_moral_cultivation 思想道德修养与法律基础; logic 逻辑学; law 法学;
humanities: chinese_language_and_literature 中国语言文学; art_studies 艺术学;
humanities: professional_tour_guide 导游资格; legal_professional 法律职业资格;
humanities: high_school_chinese 高中语文; high_school_history 高中历史;
humanities: middle_school_history 初中历史;
other: civil_servant 公务员; sports_science 体育学; plant_protection 植物保护;
other: basic_medicine 基础医学; clinical_medicine 临床医学; urban_and_rural_planner 注册城乡规划师;
other: accountant 注册会计师; fire_engineer 注册消防工程师;
other: environmental_impact_assessment_engineer 环境影响评价工程师; tax_accountant 税务师;
other: physician 医师资格;
"""


@EVALUATIONS.register_module()
class CEval(ChineseExam):
    """Questions of 52 Chinese subjects by letter; see the module and `ChineseExam`.

    Files: `val/<subject>_val.csv` and `dev/…`, with a header: id, question, A, B, C, D, answer; dev
    has explanation too, test no answer.
    """

    name = "ceval"
    source = "https://huggingface.co/datasets/ceval/ceval-exam (ceval-exam.zip)"
    folders = ("ceval-exam", "formal_ceval")
    published_rows = {"val": 1346, "test": 12342, "dev": 260}
    subjects = subject_table(_SUBJECTS)
    cue = "答案："

    @property
    def has_gold(self) -> bool:
        """False for the test split; see `SubjectExam`."""
        return self.split != "test"

    def part(self, subject: str, split: str) -> Part:
        """Return where a subject's rows are.

        Args: as `SubjectExam.part`.
        """
        return Part(f"{split}/{subject}_{split}.csv", split, config=subject)

    def question(self, item: Item) -> str:
        """Return a question with its options; the authors do not strip it; see `QuestionTask`."""
        asked = item.question if self.written == "original" else item.question.strip()
        return lettered(asked, item.options, self.cue)

    def description(self, item: Item) -> str:
        """Return what the questions are about; see `QuestionTask`."""
        exam = "考试" if self.written == "original" else ""
        title = self.subjects[item.group].title
        return f"以下是中国关于{title}{exam}的单项选择题，请选出其中的正确答案。\n\n"

    def attachments(self, items: Sequence[Item], scores: Sequence[Score]) -> dict[str, Any]:
        """Return the submission for the test split, {subject: {id: letter}}.

        Args: as `Task.attachments`.
        """
        if self.has_gold:
            return {}
        letters: dict[str, dict[str, str]] = {}
        for item, score in zip(items, scores, strict=True):
            letters.setdefault(item.group, {})[item.id.split("/", 1)[1]] = score.got
        return {"submission.json": letters}
