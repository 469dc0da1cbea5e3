"""Keys and values in 8 bits: half of the memory, twice the rows, refused where they cannot be."""

from __future__ import annotations

import pytest
import torch

from tests.serve.conftest import serving
from tests.serve.test_chat_completions import WHO, chat, of_whole
from tests.serve.test_complaints import error_of
from tests.serve.test_engine import ask, prompts
from tests.tiny import write_tiny_model
from xtune.errors import UsageError
from xtune.generation.cache_form import EightBits, Whole, bytes_per_token
from xtune.generation.model import ChatModel
from xtune.generation.row_cache import require_keys_and_values
from xtune.generation.settings import GenerationSettings
from xtune.models import load_model
from xtune.serve.engine.local import LocalEngine
from xtune.serve.engine.questions import Question

HEADS = {"num_hidden_layers": 3, "num_key_value_heads": 2, "head_dim": 64}


def test_a_token_takes_half_of_the_bytes_that_it_takes_in_bf16(tmp_path):
    llm = load_model(str(write_tiny_model(tmp_path, "llama", **HEADS)), dtype="bf16")
    assert bytes_per_token(llm) == 2 * 3 * 2 * 64 * 2
    assert bytes_per_token(llm, EightBits()) == 2 * 3 * 2 * (64 + 2)
    assert bytes_per_token(llm, EightBits()) / bytes_per_token(llm, Whole()) == pytest.approx(
        0.516, abs=1e-3
    )


def test_what_is_held_takes_the_bytes_that_admission_counts(talker):
    """The reserve of columns is at most a quarter, or 64 columns; all else is counted."""
    question = Question("base", tuple(range(10, 310)), GenerationSettings(max_new_tokens=40))
    held = {}
    for bits in (None, 8):
        engine = LocalEngine(talker, cached_tokens=20_000, kv_bits=bits)
        sizes = held[bits] = []
        rows = []

        def note(module, args, engine=engine, sizes=sizes, rows=rows):
            for group in engine._groups.values():
                sizes.append(group.cache_bytes)
                rows.append(group.count * group.longest)

        hook = talker.switch.llm.get_input_embeddings().register_forward_pre_hook(note)
        try:
            ask(engine, *[question] * 4)
            counted = bytes_per_token(talker.switch.llm, engine._form)
        finally:
            hook.remove()
            engine.close()
        assert max(sizes) <= max(rows) * 1.25 * counted + 4 * 64 * counted
        assert max(sizes) >= max(rows) * counted * 0.9
    assert max(held[8]) / max(held[None]) == pytest.approx(
        bytes_per_token(talker.switch.llm, EightBits()) / bytes_per_token(talker.switch.llm),
        abs=0.01,
    )


def test_twice_the_tokens_are_admitted_in_bf16(tmp_path, monkeypatch):
    import xtune.serve.engine.local as local

    monkeypatch.setattr(local, "free_memory", lambda device: 10_000_000)
    llm = load_model(str(write_tiny_model(tmp_path, "llama", **HEADS)), dtype="bf16")

    class Switch:
        def __init__(self):
            self.llm = llm

        def use(self, number):
            pass

    class Served:
        switch = Switch()
        models = {}

    limits = {}
    for bits in (None, 8):
        engine = LocalEngine(Served(), kv_bits=bits)
        limits[bits] = engine.counts()["cached_tokens_limit"]
        engine.close()
    assert limits == {None: 5_000_000 // 1536, 8: 5_000_000 // 792}


def test_it_answers_alone_as_among_others_and_contrastive_search_is_refused(talker):
    with serving(talker, kv_bits=8, cached_tokens=20_000) as api:
        assert of_whole(chat(api))[0] == "A parrot."
        questions = [
            Question("red", prompt, GenerationSettings(max_new_tokens=16, temperature=1, seed=at))
            for at, prompt in enumerate(prompts(8))
        ]
        _, together = ask(api.engine, *questions)
        for at, question in enumerate(questions):
            _, alone = ask(api.engine, question)
            assert [e.token for e in alone if hasattr(e, "token")] == [
                e.token for e in together if hasattr(e, "token") and e.index == at
            ]
        body = {"model": "base", "messages": WHO, "decoder": "contrastive"}
        error = error_of(api, "/v1/chat/completions", body, 400)
        assert "8 bits" in error["message"]
        assert "--kv-bits" in error["message"]


def test_models_that_keep_something_else_are_refused_by_name(tmp_path):
    states = {"layer_types": ["conv", "full_attention"], "block_ff_dim": 64}
    recurrent = load_model(str(write_tiny_model(tmp_path, "lfm2", **states)), dtype="fp32")
    with pytest.raises(UsageError, match="lfm2 keeps another state .*leave --kv-bits out"):
        require_keys_and_values(recurrent, 100)
    recurrent.config.kv_lora_rank = 16
    with pytest.raises(UsageError, match="MLA"):
        require_keys_and_values(recurrent, 100)


def test_chat_says_the_same_and_holds_8_bits(talker_folder):
    folder = str(talker_folder / "base")
    plain, eight = ChatModel.load(folder), ChatModel.load(folder, kv_bits=8)
    assert eight.chat("Who are you?").text == plain.chat("Who are you?").text == "A parrot."
    kinds = set()
    hook = eight.llm.register_forward_pre_hook(
        lambda module, args, named: kinds.update(
            part.dtype for parts in named["past_key_values"].parts for part in parts
        ),
        with_kwargs=True,
    )
    eight.chat("Who are you?")
    hook.remove()
    assert kinds == {torch.int8, torch.bfloat16}
    with pytest.raises(UsageError, match="allowed: 8"):
        ChatModel.load(folder, kv_bits=4)
