"""What `xtune chat` asks and gets: ids, ends, log-probabilities of answers, before any export.

    prompts   of all dialogues, as ids
    scored    a dialogue's ids with its answer, or with the reference's own greedy one, and the
              places of the answer's tokens: at each the reference's distribution is kept

Shapes: P places, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from xtune.data.map_fns.base import UnusableRow
from xtune.data.plain_text import PlainText
from xtune.data.templates import build_template
from xtune.data.templates.unwritten import TOOL_PARTS
from xtune.data.tokenize import Encoder
from xtune.errors import TemplateError
from xtune.export.proof.dialogues import Dialogue, all_dialogues
from xtune.generation.generate import answer_prompts, prompt_ids
from xtune.generation.stopping import stop_ids_and_words
from xtune.structures import Message

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

__all__ = ["Reference", "Scored", "log_probs", "plain_text", "reference_of"]

_GIVEN = 256  # places of given answers, and as many of its own
_OF_EACH = 48  # at most, of one given answer
_ASKED, _WRITTEN = 12, 32  # greedy answers, and tokens of each


@dataclass(frozen=True, slots=True)
class Scored:
    """A text with the places that are looked at.

    Attributes:
        ids: all tokens.
        places: of tokens that a distribution is kept for: it is that of the place before.
        log_probs: [P, V] of the reference, fp32.
        own: whether the reference wrote the answer itself, greedily.
    """

    ids: list[int]
    places: list[int]
    log_probs: Tensor
    own: bool


@dataclass(frozen=True, slots=True)
class Reference:
    """What an export is compared with.

    Attributes:
        dialogues: those that the template takes; without the run's system text, which an export
            has to write by itself.
        prompts: ids of each.
        refused: names of dialogues that the template does not take.
        end_ids: of tokens that end an answer.
        stop_words: texts that end it.
        scored: places of answers.
        dtype: that was computed in.
        is_chat: whether there is a template; else the dialogues are plain texts.
    """

    dialogues: list[Dialogue]
    prompts: list[list[int]]
    refused: list[str]
    end_ids: list[int]
    stop_words: list[str]
    scored: list[Scored]
    dtype: torch.dtype
    is_chat: bool

    @property
    def places(self) -> int:
        """How many there are."""
        return sum(len(one.places) for one in self.scored)


def reference_of(
    llm: Any,
    tokenizer: PreTrainedTokenizerBase,
    own: Sequence[Dialogue],
    *,
    system: str = "",
    stop_words: Sequence[str] = (),
) -> Reference:
    """Ask a model as chat does.

    Args:
        llm: with its adapter unmerged, if it has one; in evaluation mode.
        tokenizer: the one trained with.
        own: dialogues of the run.
        system: text that chat puts before a dialogue that has none.
        stop_words: of the training.
    """
    ends, words = stop_ids_and_words(llm, tokenizer, stop_words)
    render = _as_chat if tokenizer.chat_template else _as_text
    rows = llm.get_input_embeddings().weight.shape[0]
    kept, prompts, given, refused = [], [], [], []
    for one in all_dialogues(own, has_tools=_writes_tools(tokenizer)):
        try:
            prompt, text, places = render(tokenizer, one, system)
        except (TemplateError, UnusableRow):
            refused.append(one.name)
            continue
        if max([*prompt, *text]) >= rows:
            refused.append(f"{one.name} (a token without a row)")
            continue
        kept.append(one)
        prompts.append(prompt)
        given.append((text, places))
    limit = _context(llm)
    scored = []
    left = _GIVEN
    for ids, wanted in given:
        places = [p for p in wanted if p < limit][: min(_OF_EACH, left)]
        if places:
            scored.append(_scored(llm, ids[: places[-1] + 1], places, own=False))
            left -= len(places)
    asked = [prompt for prompt in prompts if len(prompt) + _WRITTEN < limit][:_ASKED]
    answers = []
    if asked:
        answers = answer_prompts(
            llm, tokenizer, asked, stop_words=stop_words, max_new_tokens=_WRITTEN
        )
    for prompt, answer in zip(asked, answers, strict=True):
        ids = [*prompt, *answer.ids]
        scored.append(_scored(llm, ids, list(range(len(prompt), len(ids))), own=True))
    return Reference(
        dialogues=kept,
        prompts=prompts,
        refused=refused,
        end_ids=ends,
        stop_words=words,
        scored=scored,
        dtype=llm.dtype,
        is_chat=bool(tokenizer.chat_template),
    )


@torch.no_grad()
def log_probs(llm: Any, ids: Sequence[int], places: Sequence[int]) -> Tensor:
    """Return the distributions [P, V] of the tokens at these places, fp32.

    Args:
        llm: a causal language model.
        ids: of a text, all of it.
        places: from 1 on.
    """
    device = next(llm.parameters()).device
    row = torch.tensor([list(ids)], device=device)
    logits = llm(input_ids=row, use_cache=False).logits[0]
    chosen = logits[torch.tensor(list(places), device=device) - 1].float()
    return chosen.log_softmax(-1).cpu()


def _scored(llm: Any, ids: list[int], places: list[int], *, own: bool) -> Scored:
    return Scored(ids, places, log_probs(llm, ids, places), own)


def _writes_tools(tokenizer: PreTrainedTokenizerBase) -> bool:
    if not tokenizer.chat_template:
        return False
    return not set(build_template("auto", tokenizer).unwritten.parts) & set(TOOL_PARTS)


def _as_chat(
    tokenizer: PreTrainedTokenizerBase, one: Dialogue, system: str
) -> tuple[list[int], list[int], list[int]]:
    """The prompt, the prompt with the answer, and the places of the answer's tokens."""
    messages = one.messages
    if system and messages[0]["role"] != "system":
        messages = [{"role": "system", "content": system}, *messages]
    prompt = prompt_ids(tokenizer, messages, one.tools)
    template = build_template("auto", tokenizer)
    answer: Message = {"role": "assistant", "content": one.answer}
    plain = PlainText(tokenizer, template.source)(messages)
    conversation: Any = {"messages": [*plain, answer]}
    if one.tools:
        conversation["tools"] = one.tools
    sample = Encoder(tokenizer)(template.samples_of(conversation)[-1:])[0]
    places = [at for at, label in enumerate(sample.labels.tolist()) if label >= 0 and at]
    return prompt, sample.input_ids.tolist(), _last_run(places)


def _as_text(
    tokenizer: PreTrainedTokenizerBase, one: Dialogue, system: str
) -> tuple[list[int], list[int], list[int]]:
    """A base model is given plain text, half of which is a prompt."""
    ids: list[int] = list(tokenizer(plain_text(one))["input_ids"])
    return ids[: max(len(ids) // 2, 1)], ids, list(range(1, len(ids)))


def _last_run(places: list[int]) -> list[int]:
    """The places of the last answer alone: those that follow each other at the end."""
    begin = max(len(places) - 1, 0)
    while begin and places[begin - 1] == places[begin] - 1:
        begin -= 1
    return places[begin:]


def plain_text(dialogue: Dialogue) -> str:
    """Return a dialogue as a base model is given it.

    Args:
        dialogue: any.
    """
    texts = [str(message.get("content") or "") for message in dialogue.messages]
    return "\n".join([*texts, dialogue.answer])


def _context(llm: Any) -> int:
    return int(getattr(llm.config.get_text_config(), "max_position_embeddings", None) or 1 << 30)
