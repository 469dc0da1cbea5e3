"""Answers from any causal language model: many at once, or one as it is being written.

These functions take a model and a tokenizer, so that a training run can ask the very model it is
training. The prompt is the tokenizer's own chat template, which is the one trained with.

Shapes: B rows of a batch, T tokens of the longest prompt.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from xtune.data.map_fns.base import UnusableRow
from xtune.data.plain_text import PlainText
from xtune.data.templates import build_template
from xtune.data.templates.default_system import default_system_of, without_empty_system
from xtune.data.templates.render import own_renderer
from xtune.errors import TemplateError
from xtune.generation.answer import Answer
from xtune.generation.cache_form import CacheForm
from xtune.generation.continuous import pad_id_of, write_answers
from xtune.generation.plain_batch import answer_together
from xtune.generation.room import context_length, require_fit
from xtune.generation.row import Row
from xtune.generation.settings import GenerationSettings
from xtune.generation.stopping import stop_ids_and_words
from xtune.models import generation_mode
from xtune.structures import Message

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

__all__ = [
    "answer_batch",
    "answer_prompts",
    "answer_rows",
    "context_length",
    "prompt_ids",
    "stream_answer",
]


def answer_batch(
    llm: Any,
    tokenizer: PreTrainedTokenizerBase,
    dialogues: Sequence[Sequence[Message]],
    *,
    stop_words: Sequence[str] = (),
    batch_size: int = 32,
    on_progress: Callable[[int], None] | None = None,
    together: bool = False,
    **settings: Any,
) -> list[str]:
    """Answer many dialogues at once; an answer that ends makes room for the next, continuous.py.

    The model comes back as it was: training mode, attention and cache settings, random state.

    Args:
        llm: a causal language model, with a PEFT adapter or without.
        tokenizer: has a chat template.
        dialogues: messages of each, ending with what is to be answered.
        stop_words: strings that end an answer, besides the model's own end tokens.
        batch_size: rows at once.
        on_progress: called with the number of answers there are, whenever some have ended.
        together: all processes of a run do this with a model that they share, and none ends its
            part before the others.
        **settings: fields of GenerationSettings; greedy unless `temperature` is above 0.

    Returns:
        One answer for each dialogue, in their order, without its end token.

    Raises:
        TemplateError: the tokenizer has no chat template, or it refuses a dialogue.
        UsageError: a prompt fills the model's context.
    """
    answers = answer_prompts(
        llm,
        tokenizer,
        [prompt_ids(tokenizer, messages) for messages in dialogues],
        stop_words=stop_words,
        batch_size=batch_size,
        on_progress=on_progress,
        together=together,
        **settings,
    )
    return [answer.text for answer in answers]


def answer_prompts(
    llm: Any,
    tokenizer: PreTrainedTokenizerBase,
    prompts: Sequence[list[int]],
    *,
    stop_words: Sequence[str] = (),
    batch_size: int = 32,
    on_progress: Callable[[int], None] | None = None,
    on_answer: Callable[[int, Answer], None] | None = None,
    seeds: Sequence[int] | None = None,
    together: bool = False,
    **settings: Any,
) -> list[Answer]:
    """Answer prompts that are rendered already, as `answer_batch` does.

    Args:
        llm: a causal language model, with a PEFT adapter or without.
        tokenizer: that rendered them.
        prompts: token ids of each, as `prompt_ids` returns them.
        stop_words: strings that end an answer, besides the model's own end tokens.
        batch_size: rows at once.
        on_progress: called with the number of answers there are, whenever some have ended.
        on_answer: given the index of a prompt and its answer, as they come.
        seeds: of each; default: the seed of `settings`, and one more from each to the next.
        together: as for `answer_batch`.
        **settings: fields of GenerationSettings; greedy unless `temperature` is above 0.

    Returns:
        One Answer for each prompt, in their order; `written` has its special tokens too.

    Raises:
        UsageError: a prompt fills the model's context.
    """
    done = 0

    def count(rows: Sequence[Row], ended: Sequence[int]) -> None:
        nonlocal done
        done += len(ended)
        if on_answer is not None:
            for at in ended:
                on_answer(at, rows[at].answer)
        if on_progress is not None:
            on_progress(done)

    rows = answer_rows(
        llm,
        tokenizer,
        prompts,
        stop_words=stop_words,
        batch_size=batch_size,
        on_ended=count,
        seeds=seeds,
        together=together,
        **settings,
    )
    return [row.answer for row in rows]


def answer_rows(
    llm: Any,
    tokenizer: PreTrainedTokenizerBase,
    prompts: Sequence[Sequence[int]],
    *,
    stop_words: Sequence[str] = (),
    batch_size: int | None = 32,
    on_ended: Callable[[Sequence[Row], Sequence[int]], None] = lambda rows, ended: None,
    seeds: Sequence[int] | None = None,
    note: bool = False,
    together: bool = False,
    **settings: Any,
) -> list[Row]:
    """Answer prompts as `answer_prompts` does, and return the rows: tokens in, tokens out.

    Args:
        llm: as for `answer_prompts`, and so are the others.
        tokenizer: that rendered the prompts.
        prompts: token ids of each.
        stop_words: strings that end an answer.
        batch_size: rows at once; None: as many as fit into the memory that is free.
        on_ended: given the rows, and the indices of those that a pass has ended.
        seeds: of each.
        note: let each row note how likely its tokens were.
        together: all processes share the model.
        **settings: fields of GenerationSettings.

    Raises:
        UsageError: a prompt fills the model's context.
    """
    require_fit(llm, tokenizer, prompts)
    rows, pad_id = _rows(
        llm, tokenizer, prompts, GenerationSettings(**settings), stop_words, seeds, note
    )
    write_answers(
        llm,
        rows,
        pad_id,
        slots=batch_size,
        on_ended=lambda ended: on_ended(rows, ended),
        together=together,
    )
    return rows


def stream_answer(
    llm: Any,
    tokenizer: PreTrainedTokenizerBase,
    messages: Sequence[Message],
    on_text: Callable[[str], None],
    *,
    stop_words: Sequence[str] = (),
    settings: GenerationSettings,
    tools: Sequence[dict[str, Any]] = (),
    form: CacheForm | None = None,
) -> Answer:
    """Answer one dialogue, giving the text to `on_text` piece by piece as it is written.

    Everything runs in the caller's thread, so that Ctrl-C reaches the generation itself, within
    a layer: a KeyboardInterrupt ends the answer, and what there is of it is returned.

    Args:
        llm: a causal language model, with a PEFT adapter or without.
        tokenizer: has a chat template.
        messages: the dialogue, ending with what is to be answered.
        on_text: called with text that is whole: no half characters, no special tokens.
        stop_words: strings that end an answer, besides the model's own end tokens.
        settings: how to sample.
        tools: what the model may call, in OpenAI's form, for a template that has a place for them.
        form: how keys and values are held; None: as the model's own cache does.

    Returns:
        The Answer; its pieces, joined, are its text.

    Raises:
        TemplateError: the tokenizer has no chat template, or it refuses the dialogue.
        UsageError: the prompt fills the model's context.
    """
    prompt = prompt_ids(tokenizer, messages, tools)
    require_fit(llm, tokenizer, [prompt])
    (row,), pad_id = _rows(llm, tokenizer, [prompt], settings, stop_words)
    try:
        with generation_mode(llm, alike=True):
            answer_together(llm, [row], pad_id, on_text=on_text, form=form)
    except KeyboardInterrupt:
        row.answer.ended_by = "interrupt"
    if rest := row.answer.finish():
        on_text(rest)
    return row.answer


def prompt_ids(
    tokenizer: PreTrainedTokenizerBase,
    messages: Sequence[Message],
    tools: Sequence[dict[str, Any]] = (),
) -> list[int]:
    """Render a dialogue up to where the assistant begins to write, as token ids.

    As in training: control texts in requests and results are made plain (plain_text.py), calls
    are given in the form that the template takes (call_style.py), and an empty system message is
    one only where the template would write a text of its own (default_system.py).

    Args:
        tokenizer: has a chat template.
        messages: the dialogue.
        tools: in OpenAI's form, for a template that has a place for them.

    Raises:
        TemplateError: there is no chat template, or it refuses the dialogue.
    """
    if not tokenizer.chat_template:
        raise TemplateError(
            f"the tokenizer of {tokenizer.name_or_path!r} has no chat template: give the name of "
            "one that the model knows (chat: --prompt-template; config: prompt_template)"
        )
    render = own_renderer(tokenizer)
    messages = without_empty_system(messages, lambda: default_system_of(render))
    plain = PlainText(tokenizer, render.source)(messages)
    try:
        text = render(plain, tools, add_generation_prompt=True)
    except UnusableRow as error:
        roles = " ".join(message["role"] for message in messages)
        raise TemplateError(
            f"the chat template refuses this dialogue (roles: {roles}): {error.__cause__ or error}"
        ) from error
    return tokenizer.encode(text, add_special_tokens=False)  # the template writes its own


def _rows(
    llm: Any,
    tokenizer: PreTrainedTokenizerBase,
    prompts: Sequence[Sequence[int]],
    settings: GenerationSettings,
    stop_words: Sequence[str],
    seeds: Sequence[int] | None = None,
    note: bool = False,
) -> tuple[list[Row], int]:
    """Return a row for each prompt, and a token to pad with."""
    stop_ids, words = stop_ids_and_words(llm, tokenizer, stop_words)
    frame = build_template("auto", tokenizer).frame
    new_answer = partial(Answer, tokenizer, stop_ids=stop_ids, stop_words=words, frame=frame)
    context = context_length(llm)
    seed = secrets.randbits(62) if settings.seed is None else settings.seed
    rows = []
    for at, prompt in enumerate(prompts):
        room = settings.max_new_tokens if context is None else context - len(prompt)
        own = replace(
            settings,
            max_new_tokens=min(settings.max_new_tokens, room),
            # two that ask the same get two answers
            seed=(seed + at) % 2**63 if seeds is None else seeds[at],
        )
        rows.append(Row(prompt, new_answer, own, alternatives=0 if note else None))
    return rows, pad_id_of(tokenizer, stop_ids)
