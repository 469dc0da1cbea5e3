"""HumanEval: 164 functions, each to be written from its signature and docstring.

Form: completion, the function goes on where the prompt ends; or chat, a request for the whole
function, whose fenced block is taken. Shots: none. Scoring: pass_at_k, programs run in the sandbox
(`run_code`), 3 seconds each. Prompt and stop strings of the completion form are the paper's and
lm_eval 0.4.13's; the chat request is lm_eval's of humaneval_instruct, without the answer's first
lines, which it writes for the model.

Source: https://github.com/openai/human-eval (data/HumanEval.jsonl.gz, MIT), or
openai/openai_humaneval on the hub.
Paper: Chen et al. 2021, Evaluating Large Language Models Trained on Code.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from xtune.eval.published import Part, field
from xtune.eval.run_code import Program
from xtune.eval.tasks.base import Form, Generation, Item, Prompt
from xtune.eval.tasks.programs import ProgramTask, fenced_or_whole
from xtune.registry import EVALUATIONS

__all__ = ["HumanEval"]


@EVALUATIONS.register_module()
class HumanEval(ProgramTask):
    """Functions of `HumanEval.jsonl`, packed or not; see the module.

    Args:
        run_code: as for `ProgramTask`, and so are all that follow.
        data_path: a folder, or a hub id; see `published`. None: $XTUNE_EVAL_DATA.
        samples: programs that are written for each item.
        k: of pass@k.
        temperature: of the samples.
        top_p: likewise.
        max_new_tokens: of a program; None: 1024.
        seconds: that a program may run.
    """

    name = "humaneval"
    source = "https://github.com/openai/human-eval or the hub's openai/openai_humaneval"
    folders = ("human-eval",)
    parts = {
        "test": Part(("HumanEval.jsonl.gz", "HumanEval.jsonl", "test.jsonl"), "test", items=164)
    }
    shots_from = ""
    usual_tokens = 1024
    stop = ("\nclass", "\ndef", "\n#", "\nif", "\nprint")

    def __init__(
        self,
        *,
        run_code: bool = False,
        data_path: str | None = None,
        samples: int = 1,
        k: Sequence[int] = (1,),
        temperature: float | None = None,
        top_p: float = 0.95,
        max_new_tokens: int | None = None,
        seconds: float = 3.0,
    ) -> None:
        super().__init__(
            run_code=run_code,
            data_path=data_path,
            samples=samples,
            k=k,
            temperature=temperature,
            top_p=top_p,
            max_new_tokens=max_new_tokens,
            seconds=seconds,
        )

    def item(self, row: Mapping[str, Any], where: str, number: int) -> Item:
        """Return the function of a row.

        Args: as `PublishedTask.item`.
        """
        names = ("prompt", "test", "entry_point")
        return Item(
            id=field(row, where, "task_id"),
            question=field(row, where, "prompt"),
            gold=row.get("canonical_solution"),
            where=where,
            fields={name: field(row, where, name) for name in names},
        )

    def question(self, item: Item) -> str:
        """Return the prompt as it is; see `QuestionTask`."""
        return item.question

    def answer(self, item: Item) -> str:
        """Return the authors' solution; see `QuestionTask`."""
        return str(item.gold)

    def ask(self, item: Item, form: Form) -> Generation:
        """Return the prompt in the completion form, a request in the chat form.

        Args: as `Task.ask`.
        """
        ask = super().ask(item, form)
        if form == "completion":
            return ask
        request = (
            "Write a solution to the following problem and make sure that it passes the tests:\n"
            f"```python\n{item.question}\n```\n"
        )
        return replace(ask, prompt=Prompt(request))

    def program(self, item: Item, text: str) -> Program:
        """Return the prompt with what goes on behind it, and the test's call.

        A block that has the whole function stands behind the prompt too, whose imports and
        helpers it may need.

        Args: as `ProgramTask.program`.
        """
        prompt, name = item.fields["prompt"], item.fields["entry_point"]
        code = fenced_or_whole(text)
        whole = re.search(rf"^(?:async )?def {re.escape(name)}\b", code, re.MULTILINE)
        body = f"{prompt}\n{code}" if whole else prompt + code
        return Program(body, f"{item.fields['test']}\ncheck({name})")
