"""Answers to many prompts in one call, for programs: `xtune.pipeline(model)(prompts)`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from os import PathLike
from typing import Any

from xtune.errors import UsageError
from xtune.generation.answer import Answer
from xtune.generation.generate import answer_prompts, prompt_ids
from xtune.generation.model import ChatModel
from xtune.generation.reply import Reply, reply_of
from xtune.structures import Message

__all__ = ["Pipeline", "pipeline"]


class Pipeline:
    """A model that answers many prompts at once.

    Args:
        model: who answers.
    """

    def __init__(self, model: ChatModel) -> None:
        self.model = model

    def __call__(
        self,
        prompts: Sequence[str | Sequence[Message]],
        *,
        tools: Sequence[dict[str, Any]] = (),
        batch_size: int = 32,
        on_reply: Callable[[int, Reply], None] | None = None,
        seeds: Sequence[int] | None = None,
        **settings: Any,
    ) -> list[Reply]:
        """Answer prompts; each gets the answer that `ChatModel.chat` gives it with its seed.

        Args:
            prompts: texts, or dialogues that end with what is to be answered.
            tools: what the model may call, in OpenAI's form.
            batch_size: answers that are written at once.
            on_reply: given the index of a prompt and its reply, as they come.
            seeds: of each; default: `seed`, and one more from each to the next.
            **settings: fields of GenerationSettings; greedy unless `temperature` is above 0.

        Returns:
            A reply for each, in their order.

        Raises:
            UsageError: `prompts` is one text, a prompt fills the context, or a setting is out of
                range.
            DataError: a dialogue is none.
        """
        if isinstance(prompts, str):
            raise UsageError("prompts is one text; give a list of them: answer(['Who are you?'])")
        model = self.model
        if tools:
            model.require_tools()
        form = model.call_form if tools else None
        rendered = [prompt_ids(model.tokenizer, model.dialogue(each), tools) for each in prompts]

        def tell(index: int, answer: Answer) -> None:
            if on_reply is not None:
                on_reply(index, reply_of(answer, form))

        answers = answer_prompts(
            model.llm,
            model.tokenizer,
            rendered,
            stop_words=model.stop_words,
            batch_size=batch_size,
            on_answer=tell,
            seeds=seeds,
            **settings,
        )
        return [reply_of(answer, form) for answer in answers]


def pipeline(
    model: str | PathLike[str] | ChatModel | None = None,
    *,
    adapter: str | PathLike[str] | None = None,
    bits: int | None = None,
    dtype: str = "auto",
    prompt_template: str | None = None,
) -> Pipeline:
    """Load a model to answer many prompts in one call.

        answer = xtune.pipeline('smollm2')
        for reply in answer(['Who are you?', 'What is a fjord?'], max_new_tokens=60):
            print(reply)

    Args:
        model: as for `xtune.load`, or what that has given.
        adapter: as for `xtune.load`, and so are all that follow.
        bits: 4 or 8 quantizes the weights while they are loaded.
        dtype: 'auto', 'fp32', 'bf16' or 'fp16'.
        prompt_template: a registered template, instead of the tokenizer's own.

    Returns:
        What answers prompts; see `Pipeline.__call__`.

    Raises:
        XtuneError: as `xtune.load`.
    """
    if isinstance(model, ChatModel):
        return Pipeline(model)
    loaded = ChatModel.load(
        model, adapter=adapter, bits=bits, dtype=dtype, prompt_template=prompt_template
    )
    return Pipeline(loaded)
