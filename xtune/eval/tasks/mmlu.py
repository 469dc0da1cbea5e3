"""MMLU: 57 subjects of school, university and profession, four options each.

Form: completion or chat. Shots: 5, the subject's dev rows in order. Scoring: option_letter; the
headline is over all 14,042 questions, the mean of subjects stands next to it. Prompt and numbers
are those of the paper's code and of lm_eval 0.4.13.

Source: https://github.com/hendrycks/test (data.tar, MIT), or cais/mmlu on the hub.
Paper: Hendrycks et al. 2021, Measuring Massive Multitask Language Understanding.
"""

from __future__ import annotations

from xtune.eval.published import Part
from xtune.eval.tasks.base import Item
from xtune.eval.tasks.subjects import SubjectExam, subject_table
from xtune.registry import EVALUATIONS

__all__ = ["MMLU"]

_SUBJECTS = """
stem: abstract_algebra; anatomy; astronomy; college_biology; college_chemistry;
stem: college_computer_science; college_mathematics; college_physics; computer_security;
stem: conceptual_physics; electrical_engineering; elementary_mathematics; high_school_biology;
stem: high_school_chemistry; high_school_computer_science; high_school_mathematics;
stem: high_school_physics; high_school_statistics; machine_learning;
humanities: formal_logic; high_school_european_history; high_school_us_history;
humanities: high_school_world_history; international_law; jurisprudence; logical_fallacies;
humanities: moral_disputes; moral_scenarios; philosophy; prehistory; professional_law;
humanities: world_religions;
social_sciences: econometrics; high_school_geography; high_school_government_and_politics;
social_sciences: high_school_macroeconomics; high_school_microeconomics;
social_sciences: high_school_psychology; human_sexuality; professional_psychology;
social_sciences: public_relations; security_studies; sociology; us_foreign_policy;
other: business_ethics; clinical_knowledge; college_medicine; global_facts; human_aging;
other: management; marketing; medical_genetics; miscellaneous; nutrition;
other: professional_accounting; professional_medicine; virology;
"""
_COLUMNS = ("question", "A", "B", "C", "D", "answer")


@EVALUATIONS.register_module()
class MMLU(SubjectExam):
    """Questions of 57 subjects by letter; see the module and `SubjectExam`.

    Files: `test/<subject>_test.csv`, `dev/<subject>_dev.csv`, without a header: question, four
    options, letter. Copies with the header `question,choice0,…,answer` count from 0.
    """

    name = "mmlu"
    source = "https://github.com/hendrycks/test (data.tar) or the hub's cais/mmlu"
    folders = ("hendrycks_test",)
    published_rows = {"test": 14042, "validation": 1531, "dev": 285}
    subjects = subject_table(_SUBJECTS)
    weighted = True

    def part(self, subject: str, split: str) -> Part:
        """Return where a subject's rows are.

        Args: as `SubjectExam.part`.
        """
        short = "val" if split == "validation" else split
        names = (f"{short}/{subject}_{short}.csv", f"{subject}_{short}.csv")
        return Part(names, split, config=subject, columns=_COLUMNS)

    def description(self, item: Item) -> str:
        """Return what the questions are about; see `QuestionTask`."""
        title = self.subjects[item.group].title
        return f"The following are multiple choice questions (with answers) about {title}.\n\n"
