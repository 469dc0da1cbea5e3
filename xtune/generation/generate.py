"""Answers from any causal language model: many at once, or one as it is being written.

These functions take a model and a tokenizer, so that a training run can ask the very model it is
training. The prompt is the tokenizer's own chat template, which is the one trained with.

Shapes: B rows of a batch, T tokens of the longest prompt.
"""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from transformers import DynamicCache, GenerationConfig, StoppingCriteriaList

from xtune.data.map_fns.base import UnusableRow
from xtune.data.plain_text import PlainText
from xtune.data.templates import build_template
from xtune.data.templates.default_system import default_system_of, without_empty_system
from xtune.data.templates.render import own_renderer
from xtune.errors import ModelError, TemplateError, UsageError
from xtune.generation.answer import Answer
from xtune.generation.growing_cache import growing_cache
from xtune.generation.settings import GenerationSettings
from xtune.generation.shared_prefix import computed_once
from xtune.generation.stopping import WatchAnswers, stop_ids_and_words
from xtune.models import generation_mode
from xtune.structures import Message

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import PreTrainedTokenizerBase

__all__ = ["answer_batch", "answer_prompts", "context_length", "prompt_ids", "stream_answer"]


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
    """Answer many dialogues, in left-padded batches of similar length.

    The model comes back as it was: training mode, attention and cache settings, random state.

    Args:
        llm: a causal language model, with a PEFT adapter or without.
        tokenizer: has a chat template.
        dialogues: messages of each, ending with what is to be answered.
        stop_words: strings that end an answer, besides the model's own end tokens.
        batch_size: rows at once.
        on_progress: called after each batch with the number of answers there are.
        together: all processes of a run do this with a model that they share, and none ends its
            part before the others. With a temperature they need the same seed.
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
    together: bool = False,
    **settings: Any,
) -> list[Answer]:
    """Answer prompts that are rendered already, in batches as `answer_batch` does.

    Args:
        llm: a causal language model, with a PEFT adapter or without.
        tokenizer: that rendered them.
        prompts: token ids of each, as `prompt_ids` returns them.
        stop_words: strings that end an answer, besides the model's own end tokens.
        batch_size: rows at once.
        on_progress: called after each batch with the number of answers there are.
        together: as for `answer_batch`.
        **settings: fields of GenerationSettings; greedy unless `temperature` is above 0.

    Returns:
        One Answer for each prompt, in their order; `written` has its special tokens too.

    Raises:
        UsageError: a prompt fills the model's context.
    """
    chosen = GenerationSettings(**settings)
    for prompt in prompts:
        _require_room(llm, prompt)
    order = sorted(range(len(prompts)), key=lambda row: len(prompts[row]), reverse=True)
    answers: dict[int, Answer] = {}
    for start in range(0, len(order), batch_size):
        rows = order[start : start + batch_size]
        batch = [prompts[row] for row in rows]
        made = _generate(llm, tokenizer, batch, chosen, stop_words, together=together)
        answers |= zip(rows, made, strict=True)
        if on_progress is not None:
            on_progress(len(answers))
    return [answers[row] for row in range(len(prompts))]


def stream_answer(
    llm: Any,
    tokenizer: PreTrainedTokenizerBase,
    messages: Sequence[Message],
    on_text: Callable[[str], None],
    *,
    stop_words: Sequence[str] = (),
    settings: GenerationSettings,
    tools: Sequence[dict[str, Any]] = (),
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

    Returns:
        The Answer; its pieces, joined, are its text.

    Raises:
        TemplateError: the tokenizer has no chat template, or it refuses the dialogue.
        UsageError: the prompt fills the model's context.
    """
    prompt = prompt_ids(tokenizer, messages, tools)
    _require_room(llm, prompt)
    return _generate(llm, tokenizer, [prompt], settings, stop_words, on_text)[0]


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


def context_length(llm: Any) -> int | None:
    """How many tokens the model can take in all; None where its config does not say."""
    return getattr(llm.config.get_text_config(), "max_position_embeddings", None)


def _require_room(llm: Any, prompt: list[int]) -> None:
    context = context_length(llm)
    if context is not None and len(prompt) >= context:
        raise UsageError(
            f"the prompt has {len(prompt)} tokens and the model's context is {context}: "
            "shorten it, or use a model with a longer context"
        )


def _require_rows(
    llm: Any, tokenizer: PreTrainedTokenizerBase, prompts: Sequence[list[int]]
) -> None:
    """A tokenizer may have ids that the embedding has no row for."""
    rows = getattr(llm.config.get_text_config(), "vocab_size", None)
    largest = max((max(prompt, default=0) for prompt in prompts), default=0)
    if rows is not None and largest >= rows:
        raise ModelError(
            f"the prompt has the token {tokenizer.convert_ids_to_tokens(largest)!r} (id {largest}),"
            f" but the model's embedding has {rows} rows. Take the tokenizer that the model was "
            "trained with, or give the model the token: xtune expand-vocab"
        )


def _generate(
    llm: Any,
    tokenizer: PreTrainedTokenizerBase,
    prompts: Sequence[list[int]],
    settings: GenerationSettings,
    stop_words: Sequence[str],
    on_text: Callable[[str], None] | None = None,
    *,
    together: bool = False,
) -> list[Answer]:
    stop_ids, words = stop_ids_and_words(llm, tokenizer, stop_words)
    frame = build_template("auto", tokenizer).frame
    answers = [Answer(tokenizer, stop_ids=stop_ids, stop_words=words, frame=frame) for _ in prompts]
    pad_id = tokenizer.pad_token_id
    if pad_id is None:  # any id: what is padded is masked
        pad_id = stop_ids[0] if stop_ids else 0
    device = llm.get_input_embeddings().weight.device
    _require_rows(llm, tokenizer, prompts)
    input_ids, attention_mask = _left_padded(prompts, pad_id, device)
    context = context_length(llm)
    room = settings.max_new_tokens if context is None else context - input_ids.shape[1]
    config = GenerationConfig(
        max_new_tokens=min(settings.max_new_tokens, room),
        eos_token_id=stop_ids or None,
        pad_token_id=pad_id,
        repetition_penalty=settings.repetition_penalty,
        use_cache=True,  # SmolLM3's config says False, as it was left after training
        do_sample=settings.temperature > 0,
        **_sampling(settings),
    )
    try:
        with generation_mode(llm), _own_random_state(settings, device):
            # processes that share a model must all make the same passes
            cache = None if together else computed_once(llm, prompts, device)
            if cache is None:
                cache = growing_cache(llm)
            leave = cache is not None and not together
            _write(llm, answers, input_ids, attention_mask, cache, config, on_text, leave, together)
    except KeyboardInterrupt:
        if on_text is None:
            raise
        answers[0].ended_by = "interrupt"
    for answer in answers:
        rest = answer.finish()
        if rest and on_text is not None:
            on_text(rest)
    return answers


def _write(
    llm: Any,
    answers: Sequence[Answer],
    input_ids: Tensor,
    attention_mask: Tensor,
    cache: DynamicCache | None,
    config: GenerationConfig,
    on_text: Callable[[str], None] | None,
    leave: bool,
    together: bool,
) -> None:
    """Generate until every answer has ended or is cut; rows that have ended leave the batch."""
    last = input_ids.shape[1] + config.max_new_tokens
    while answers and input_ids.shape[1] < last:
        config.max_new_tokens = last - input_ids.shape[1]
        watch = WatchAnswers(answers, on_text, leave=leave)
        written = llm.generate(
            input_ids=input_ids,
            attention_mask=attention_mask,
            past_key_values=cache,
            generation_config=config,
            stopping_criteria=StoppingCriteriaList([watch]),
            synced_gpus=together,
        )
        stay = [row for row, answer in enumerate(answers) if not answer.ended]
        answers = [answers[row] for row in stay]
        new = written.shape[1] - input_ids.shape[1]
        input_ids = written[stay]
        attention_mask = F.pad(attention_mask[stay], (0, new), value=1)
        if cache is not None and answers:
            cache.batch_select_indices(torch.tensor(stay))


def _sampling(settings: GenerationSettings) -> dict[str, Any]:
    if settings.temperature == 0:
        # Neutral values, so that no defaults of the checkpoint's own are taken for ours.
        return {"temperature": 1.0, "top_p": 1.0, "top_k": 50}
    return {
        "temperature": settings.temperature,
        "top_p": settings.top_p,
        "top_k": settings.top_k,
    }


def _left_padded(
    prompts: Sequence[list[int]], pad_id: int, device: torch.device
) -> tuple[Tensor, Tensor]:
    """Return input ids and attention mask, int64 [B, T]; every prompt ends in the last column."""
    longest = max(map(len, prompts))
    ids = [[pad_id] * (longest - len(prompt)) + prompt for prompt in prompts]
    mask = [[0] * (longest - len(prompt)) + [1] * len(prompt) for prompt in prompts]
    return torch.tensor(ids, device=device), torch.tensor(mask, device=device)


@contextlib.contextmanager
def _own_random_state(settings: GenerationSettings, device: torch.device) -> Iterator[None]:
    """Sample from the settings' seed and leave the global random state, a run's own, alone."""
    if settings.temperature == 0:
        yield
        return
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(secrets.randbits(62) if settings.seed is None else settings.seed)
        yield
