"""CMMLU: 67 subjects in Chinese, four options each, many of them specific to China.

Form: completion or chat. Shots: 5, the subject's dev rows in order. Scoring: option_letter; the
mean of subjects (macro) stands next to the mean of questions.
Prompt: 'lm_eval' as lm_eval 0.4.13; 'original' as the authors' code (题目： before the question,
答案是： after it, and no blank before the letter).

Source: https://huggingface.co/datasets/haonan-li/cmmlu (CC BY-NC-SA 4.0).
Paper: Li et al. 2023, CMMLU: Measuring massive multitask language understanding in Chinese.
"""

from __future__ import annotations

from xtune.eval.published import Part
from xtune.eval.tasks.base import Item
from xtune.eval.tasks.choices import lettered
from xtune.eval.tasks.subjects import ChineseExam, subject_table
from xtune.registry import EVALUATIONS

__all__ = ["CMMLU"]

_SUBJECTS = """
stem: anatomy 解剖学; astronomy 天文学; college_actuarial_science 大学精算学;
stem: college_engineering_hydrology 大学工程水文学; college_mathematics 大学数学;
stem: college_medical_statistics 大学医学统计; computer_science 计算机科学;
stem: conceptual_physics 概念物理学; electrical_engineering 电气工程;
stem: elementary_mathematics 初等数学; genetics 遗传学; high_school_biology 高中生物;
stem: high_school_chemistry 高中化学; high_school_mathematics 高中数学;
stem: high_school_physics 高中物理学; machine_learning 机器学习; virology 病毒学;
humanities: arts 艺术学; college_law 大学法律; global_facts 全球事实; international_law 国际法学;
humanities: jurisprudence 法理学; logical 逻辑学; marxist_theory 马克思主义理论; philosophy 哲学;
humanities: professional_law 专业法学; world_history 世界历史; world_religions 世界宗教;
humanities,china_specific: chinese_history 中国历史; chinese_literature 中国文学;
social_science,china_specific: ancient_chinese 古汉语; chinese_civil_service_exam 中国公务员考试;
social_science,china_specific: chinese_food_culture 中国饮食文化;
social_science,china_specific: chinese_foreign_policy 中国外交政策;
social_science,china_specific: chinese_teacher_qualification 中国教师资格;
social_science,china_specific: elementary_chinese 小学语文; ethnology 民族学;
social_science,china_specific: high_school_politics 高中政治; modern_chinese 现代汉语;
social_science: business_ethics 商业伦理; college_education 大学教育学; economics 经济学;
social_science: education 教育学; high_school_geography 高中地理; journalism 新闻学;
social_science: management 管理学; marketing 市场营销; professional_accounting 专业会计;
social_science: professional_psychology 专业心理学; public_relations 公共关系;
social_science: security_study 安全研究; sociology 社会学;
other: agronomy 农学; clinical_knowledge 临床知识; college_medicine 大学医学;
other: computer_security 计算机安全; elementary_information_and_technology 小学信息技术;
other: food_science 食品科学; human_sexuality 人类性行为; legal_and_moral_basis 法律与道德基础;
other: nutrition 营养学; professional_medicine 专业医学; sports_science 体育学;
other,china_specific: chinese_driving_rule 中国驾驶规则;
other,china_specific: construction_project_management 建设工程管理;
other,china_specific: elementary_commonsense 小学常识; traditional_chinese_medicine 中医中药;
"""


@EVALUATIONS.register_module()
class CMMLU(ChineseExam):
    """Questions of 67 Chinese subjects by letter; see the module and `ChineseExam`.

    Files: `test/<subject>.csv` and `dev/…` with the header `,Question,A,B,C,D,Answer`.
    """

    name = "cmmlu"
    source = "https://huggingface.co/datasets/haonan-li/cmmlu (cmmlu_v1_0_1.zip)"
    folders = ("cmmlu_v1_0_1",)
    published_rows = {"test": 11582, "dev": 335}
    subjects = subject_table(_SUBJECTS)

    def part(self, subject: str, split: str) -> Part:
        """Return where a subject's rows are.

        Args: as `SubjectExam.part`.
        """
        return Part(f"{split}/{subject}.csv", split, config=subject)

    def question(self, item: Item) -> str:
        """Return a question with its options and its cue; see `QuestionTask`."""
        if self.written == "original":
            return lettered(f"题目：{item.question}", item.options, "答案是：")
        return lettered(item.question.strip(), item.options, "答案：")

    def description(self, item: Item) -> str:
        """Return what the questions are about; see `QuestionTask`."""
        title = self.subjects[item.group].title
        return f"以下是关于{title}的单项选择题，请直接给出正确答案的选项。\n\n"
