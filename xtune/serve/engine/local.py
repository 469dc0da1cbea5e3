"""Our own engine: one thread owns the model, and rows of all clients are answered together.

    clients     ask, leave             (any thread)
                  |
    orders      a queue                (the only way in)
                  |
    this thread   admits rows while there are slots and memory, and goes round the models: for each
                  that has rows, its adapter is switched on and each row gets one token more

No client changes another's answer: each row has dice, penalties, ends and a cache of its own.
"""

from __future__ import annotations

import contextlib
import logging
import queue
import threading
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Any

import torch
from torch import Tensor

from xtune.generation.cache_form import bytes_per_token, form_of
from xtune.generation.continuous import free_memory, pad_id_of
from xtune.generation.contrastive import ContrastiveRows
from xtune.generation.forward import ModelForward
from xtune.generation.live_rows import LiveRows
from xtune.generation.room import context_length
from xtune.generation.row_cache import (
    frequencies_change,
    require_keys_and_values,
    rows_may_join,
)
from xtune.models import base_of, generation_mode
from xtune.serve.engine.desk import AskedRows, Desk
from xtune.serve.engine.questions import Event, Question, Refused
from xtune.serve.engine.rows import ClientRow, Group, PlainRows
from xtune.serve.served import Served

__all__ = ["LocalEngine"]

logger = logging.getLogger(__name__)

_PROMPT_TOKENS = 256  # of prompts between two tokens of an answer
_RESERVE = 64  # columns that a row that is admitted shall be able to grow by
_KEPT = 4  # a quarter of the cached tokens may be of what was read before


class LocalEngine:
    """Answers with a model of this process.

    Args:
        served: the models.
        slots: rows at once.
        waiting: rows that may wait for a slot; more are refused.
        cached_tokens: whose keys and values are held at once; default: as many as fit into half of
            the memory that is free.
        prompt_tokens: of prompts are computed between two tokens of an answer.
        kv_bits: 8 holds keys and values in 8 bits; None: as they are computed.

    Raises:
        UsageError: the model keeps something else, which cannot be held in 8 bits.
    """

    def __init__(
        self,
        served: Served,
        *,
        slots: int = 32,
        waiting: int = 256,
        cached_tokens: int | None = None,
        prompt_tokens: int = _PROMPT_TOKENS,
        kv_bits: int | None = None,
    ) -> None:
        llm: Any = served.switch.llm
        self._served = served
        self._llm = llm
        self._slots = slots
        self._desk = Desk(slots, waiting)
        self._device = llm.get_input_embeddings().weight.device
        self._form = form_of(kv_bits)
        self._kv_bits = kv_bits
        room = free_memory(self._device) // 2 // bytes_per_token(llm, self._form)
        self._cached_tokens = cached_tokens or int(room)
        self._context = context_length(llm)
        self._prompt_tokens = prompt_tokens
        self._may_join = rows_may_join(llm, self.room(""))
        if kv_bits:
            require_keys_and_values(llm, self.room(""))
        self._orders: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._waiting: deque[ClientRow] = deque()
        self._to_embed: deque[_Embedding] = deque()
        self._groups: dict[tuple[str, bool], Group] = {}
        self._thread = threading.Thread(target=self._run, name="engine", daemon=True)
        self._thread.start()

    def ask(self, questions: Sequence[Question], on_event: Callable[[Event], None]) -> AskedRows:
        """Ask some questions; see `Engine`.

        Args: as `Engine.ask`.
        """
        if any(each.penalty_alpha is not None for each in questions) and not self._may_join:
            raise Refused(
                "this model keeps more than keys and values of each token, which contrastive "
                "search cannot take back: leave decoder and penalty_alpha out"
            )
        if any(each.penalty_alpha is not None for each in questions) and self._kv_bits:
            raise Refused(
                "this server holds keys and values in 8 bits, and contrastive search compares "
                "whole ones: leave decoder and penalty_alpha out, or serve without --kv-bits"
            )
        for each in questions:
            if each.penalty_alpha is not None and (each.bias or each.reads):
                raise Refused("contrastive search goes without logit_bias and echo: leave them out")
        self._desk.take_in(len(questions))
        rows = []
        for index, question in enumerate(questions):
            model = self._served.models[question.model]
            room = self.room(question.model)
            left = question.settings.max_new_tokens if room is None else room - len(question.prompt)
            rows.append(ClientRow(index, question, model, max(1, left), on_event))
        self._orders.put(lambda: self._waiting.extend(rows))
        return AskedRows(rows, lambda: self._orders.put(lambda: None))

    def room(self, model: str) -> int:
        """How many tokens a prompt and its answer may have together.

        Args:
            model: the id of a served model.
        """
        return min(self._context or self._cached_tokens, self._cached_tokens)

    def embed(self, model: str, prompts: Sequence[tuple[int, ...]]) -> Future[list[list[float]]]:
        """Have embeddings; see `Engine`.

        Args: as `Engine.embed`.
        """
        order = _Embedding(model, prompts)
        self._orders.put(lambda: self._to_embed.append(order))
        return order.future

    def counts(self) -> dict[str, float]:
        """Return what it has done; see `Engine`."""
        live = sum(group.count for group in list(self._groups.values()))
        return {
            **self._desk.counts,
            "rows_running": live,
            "rows_waiting": max(0, self._desk.open - live),
            "cached_tokens": self._held(),
            "cached_tokens_limit": self._cached_tokens,
        }

    def close(self) -> None:
        """End: rows that are being answered get no end."""
        self._desk.close()
        self._orders.put(lambda: None)
        self._thread.join()

    # ---- The engine's thread

    def _run(self) -> None:
        try:
            self._answer()
        except Exception:
            logger.exception("the engine has failed")
        self._desk.close()
        with contextlib.suppress(queue.Empty):
            while True:
                self._orders.get(block=False)()
        self._break_all("the server is ending")
        for order in self._to_embed:
            order.fail(Refused("the server is ending"))

    def _answer(self) -> None:
        with generation_mode(self._llm, alike=True):
            while not self._desk.closed:
                self._take_orders()
                self._admit()
                self._embed_one()
                for key, group in list(self._groups.items()):
                    if group.busy:
                        self._step(key, group)

    def _group_of(self, row: ClientRow) -> Group:
        """The rows that a row is answered with: of the same model, in the same manner."""
        key = row.question.model, row.alpha is not None
        if key not in self._groups:
            self._groups[key] = self._new_group(*key)
        return self._groups[key]

    def _new_group(self, id: str, is_contrastive: bool) -> Group:
        if is_contrastive:
            return ContrastiveRows(self._llm, self._device, slots=self._slots)
        model = self._served.models[id]
        pad_id = pad_id_of(model.tokenizer, model.stop_ids)
        if not self._may_join:
            slots = 1 if frequencies_change(self._llm, self.room(id)) else self._slots
            return PlainRows(self._llm, pad_id, slots=slots)
        forward = ModelForward(self._llm, self._device)
        return LiveRows(
            forward,
            self._device,
            pad_id,
            slots=self._slots,
            prompt_tokens=self._prompt_tokens,
            kept_tokens=self._cached_tokens // _KEPT // len(self._served.models),
            form=self._form,
            from_start=forward.from_start,
        )

    def _take_orders(self) -> None:
        """Do what was asked for; where there is nothing else to do, wait for it."""
        busy = any(group.busy for group in self._groups.values())
        idle = not busy and not self._waiting and not self._to_embed
        try:
            self._orders.get(block=idle)()
            while True:
                self._orders.get(block=False)()
        except queue.Empty:
            return

    def _admit(self) -> None:
        """Let rows in, in the order in which they came, while there are slots and memory."""
        left = [row for row in self._waiting if row.done]
        if left:
            self._waiting = deque(row for row in self._waiting if not row.done)
            self._desk.end(left)
        while self._waiting and sum(group.count for group in self._groups.values()) < self._slots:
            row = self._waiting[0]
            group = self._group_of(row)
            now = group.count * group.longest
            then = (group.count + 1) * max(group.longest, len(row.ids) + _RESERVE)
            others = self._held() - now
            if others + then > self._cached_tokens and self._live():
                break
            group.add([self._waiting.popleft()])
        while self._groups and self._held() > self._cached_tokens:
            fullest = max(self._groups.values(), key=lambda group: group.count * group.longest)
            if (row := fullest.give_back_one()) is None:
                break
            self._waiting.appendleft(row)
            self._desk.counts["rows_given_back_total"] += 1

    def _step(self, key: tuple[str, bool], group: Group) -> None:
        short, id = False, key[0]
        try:
            self._served.switch.use(self._served.models[id].adapter)
            ended = group.step()
        except torch.OutOfMemoryError:
            short = True
        except Exception as error:
            logger.exception("a step of %s has failed", id)
            self._break(key, f"{type(error).__name__} while answering; the server's log has more")
            return
        if short:  # here, for the exception holds what the pass has left
            if self._slots == 1:
                self._break(key, "the memory does not suffice for this prompt")
                return
            self._slots = max(1, self._slots // 2)
            for each in self._groups.values():
                each.slots = min(each.slots, self._slots)
            self._waiting.extendleft(reversed(group.give_back()))
            torch.cuda.empty_cache()
            return
        self._desk.end(ended)

    def _break(self, key: tuple[str, bool], why: str) -> None:
        """End all rows of a group whose step has failed; the next row finds a new one."""
        rows = self._groups.pop(key).give_up()
        self._desk.end([row for row in rows if row.done])
        self._desk.break_off([row for row in rows if not row.done], why)

    def _break_all(self, why: str) -> None:
        for key in list(self._groups):
            self._break(key, why)
        self._desk.break_off(self._waiting, why)

    def _live(self) -> int:
        return sum(group.count for group in self._groups.values())

    def _held(self) -> int:
        """Tokens whose keys and values are held: rows are as long as the longest of their model."""
        groups = list(self._groups.values())
        return sum(group.count * group.longest + group.kept for group in groups)

    def _embed_one(self) -> None:
        """Embed one text: answers go on between two of them."""
        if not self._to_embed:
            return
        order = self._to_embed[0]
        if order.future.cancelled():  # who asked has left
            self._to_embed.popleft()
            return
        try:
            self._served.switch.use(self._served.models[order.model].adapter)
            order.vectors.append(self._embedding(order.prompts[len(order.vectors)]))
        except Exception as error:
            self._to_embed.popleft()
            order.fail(error)
            return
        self._to_embed.rotate(-1)  # a few texts do not wait for many
        if len(order.vectors) == len(order.prompts):
            self._to_embed.remove(order)
            order.end()

    def _embedding(self, prompt: tuple[int, ...]) -> list[float]:
        ids = torch.tensor([list(prompt)], device=self._device)
        backbone: Any = base_of(self._llm).base_model
        hidden: Tensor = backbone(input_ids=ids, use_cache=False).last_hidden_state[0]
        self._desk.counts["embedded_tokens_total"] += len(prompt)
        return torch.nn.functional.normalize(hidden.float().mean(0), dim=0).tolist()


class _Embedding:
    """Texts that are being embedded, one after the other; who asked may cancel `future`."""

    def __init__(self, model: str, prompts: Sequence[tuple[int, ...]]) -> None:
        self.model = model
        self.prompts = prompts
        self.vectors: list[list[float]] = []
        self.future: Future[list[list[float]]] = Future()

    def end(self) -> None:
        if self.future.set_running_or_notify_cancel():
            self.future.set_result(self.vectors)

    def fail(self, error: Exception) -> None:
        if self.future.set_running_or_notify_cancel():
            self.future.set_exception(error)
