"""lm_eval's tasks over a model of ours: adapters, quantised models, and the shared beginnings once.

    from lm_eval import simple_evaluate
    from xtune.eval.harness import harness_model

    model = harness_model(xtune.load('work_dirs/my_run'))
    simple_evaluate(model, tasks=['mmlu_astronomy'], num_fewshot=5, bootstrap_iters=0)

`xtune eval` does not need lm_eval, and nothing else here imports it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from xtune.errors import UsageError
from xtune.eval.prompts import Renderer
from xtune.eval.scoring import Scorer
from xtune.eval.tasks.base import Candidate, Choices, Generation, Prompt
from xtune.generation.generate import answer_prompts
from xtune.generation.model import ChatModel

__all__ = ["harness_model"]

_LENGTHS = ("max_gen_toks", "max_new_tokens", "max_tokens", "max_completion_tokens")  # one thing
_INSTALL = "pip install '.[eval-harness]' 'python-dateutil<3'"


def harness_model(chat: ChatModel, *, max_gen_toks: int = 256, batch_size: int = 32) -> Any:
    """Return a model for lm_eval's `simple_evaluate`.

    Numbers are those of lm_eval's own class for transformers' models, but for two things: the
    chat form is that of xtune's training, with dates frozen and thinking off; and a rolling
    likelihood begins with one BOS where lm_eval writes two.

    Args:
        chat: as `xtune.load` returns it.
        max_gen_toks: of an answer whose task does not say.
        batch_size: answers at once.

    Raises:
        UsageError: lm_eval is not installed; with what to type.
    """
    try:
        from lm_eval.api.model import LM
    except ImportError as error:
        raise UsageError(f"lm_eval is not installed: {_INSTALL}") from error

    renderer = Renderer(chat.tokenizer, form="completion", max_length=chat.context)
    scorer = Scorer(chat.llm)

    class HarnessModel(LM):
        """See `harness_model`."""

        tokenizer_name = str(chat.tokenizer.name_or_path)
        max_length = chat.context

        def __init__(self) -> None:
            super().__init__()
            self.max_gen_toks = max_gen_toks

        def loglikelihood(
            self, requests: Sequence[Any], disable_tqdm: bool = False
        ) -> list[tuple[float, bool]]:
            """Score (context, continuation) pairs."""
            asked = [_likelihood_request(renderer, *request.args) for request in requests]
            return [(found.log_prob, found.greedy) for found in scorer.score(asked)]

        def loglikelihood_rolling(
            self, requests: Sequence[Any], disable_tqdm: bool = False
        ) -> list[float]:
            """Score whole texts, in windows where they are long."""
            windows = [renderer.rolling(request.args[0]) for request in requests]
            found = iter(scorer.score([window for text in windows for window in text]))
            return [sum(next(found).log_prob for _ in text) for text in windows]

        def generate_until(self, requests: Sequence[Any], disable_tqdm: bool = False) -> list[str]:
            """Answer prompts, each up to its own stop strings."""
            return _answers(chat, renderer, requests, self.max_gen_toks, batch_size)

        def apply_chat_template(
            self, chat_history: Sequence[Any], add_generation_prompt: bool = True
        ) -> str:
            """Render a dialogue as in training; without an opening its last answer is begun."""
            asked = Renderer(chat.tokenizer, form="chat")
            history = list(chat_history)
            begun = "" if add_generation_prompt else history.pop()["content"]
            return asked.text(Prompt(messages=tuple(history))) + begun

        def chat_template(self, chat_template: bool | str = False) -> str:
            """Return the template's text, for lm_eval's record."""
            return str(chat.tokenizer.chat_template) if chat_template else ""

    return HarnessModel()


def _likelihood_request(renderer: Renderer, context: str, continuation: str) -> Any:
    prompt = Prompt(question=context, delimiter="")
    return renderer.choices(Choices((Candidate(prompt, continuation),)))[0]


def _ask(context: str, length: int) -> Generation:
    return Generation(Prompt(question=context), max_new_tokens=length)


def _answers(
    chat: ChatModel,
    renderer: Renderer,
    requests: Sequence[Any],
    max_gen_toks: int,
    batch_size: int,
) -> list[str]:
    """Answers, those with the same settings together."""
    groups: dict[str, list[int]] = {}
    for number, request in enumerate(requests):
        groups.setdefault(repr(sorted(request.args[1].items())), []).append(number)
    answers: dict[int, str] = {}
    for numbers in groups.values():
        wanted = dict(requests[numbers[0]].args[1])
        until = wanted.pop("until", None) or ()
        until = (until,) if isinstance(until, str) else tuple(until)
        lengths = [wanted.pop(name) for name in _LENGTHS if name in wanted]
        length = int(lengths[0]) if lengths else max_gen_toks
        sampled = wanted.pop("do_sample", None)
        heat = float(wanted.pop("temperature", 0.0)) if sampled is not False else 0.0
        made = answer_prompts(
            chat.llm,
            chat.tokenizer,
            [
                list(renderer.generation(_ask(requests[number].args[0], length)).prompt)
                for number in numbers
            ],
            stop_words=(*chat.stop_words, *until),
            batch_size=batch_size,
            max_new_tokens=length,
            temperature=heat,
            top_p=float(wanted.pop("top_p", 1.0)),
        )
        answers |= {n: answer.text for n, answer in zip(numbers, made, strict=True)}
    return [answers[number] for number in range(len(requests))]
