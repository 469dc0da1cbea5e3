"""Answers: one or many, streamed or not, they are the same; and they end where they should."""

from __future__ import annotations

import pytest
import torch

from tests.parrot import LINES
from tests.tiny import write_tiny_llama
from xtune.errors import TemplateError, UsageError
from xtune.generation.generate import answer_batch, context_length, prompt_ids, stream_answer
from xtune.generation.settings import GenerationSettings
from xtune.generation.stopping import stop_ids_and_words
from xtune.models import load_model, load_tokenizer


def ask(text):
    return [{"role": "user", "content": text}]


@pytest.fixture(scope="module")
def babbler(tmp_path_factory):
    """An untrained model, which answers anything with anything and does not stop by itself."""
    folder = str(write_tiny_llama(tmp_path_factory.mktemp("babbler"), max_position_embeddings=256))
    return load_model(folder), load_tokenizer(folder)


def test_every_answer_is_the_one_learnt_and_ends(parrot):
    answers = answer_batch(
        parrot.llm, parrot.tokenizer, [ask(request) for request, _ in LINES], max_new_tokens=80
    )
    assert answers == [answer for _, answer in LINES]


@pytest.mark.parametrize("batch_size", [1, 3, 32])
def test_a_batch_answers_as_each_alone_does(babbler, batch_size):
    requests = ["a", "What is the weather?", "The quick brown fox jumps over the lazy dog. " * 2]
    together = answer_batch(
        *babbler, [ask(each) for each in requests], max_new_tokens=24, batch_size=batch_size
    )
    alone = [answer_batch(*babbler, [ask(each)], max_new_tokens=24)[0] for each in requests]
    assert together == alone
    assert len(set(together)) == 3


def test_progress_counts_answers(babbler):
    seen = []
    answer_batch(*babbler, [ask("a")] * 5, max_new_tokens=2, batch_size=2, on_progress=seen.append)
    assert seen == [2, 4, 5]


def test_no_dialogues_no_answers(babbler):
    assert answer_batch(*babbler, []) == []


def test_streamed_pieces_are_the_answer(parrot):
    pieces = []
    answer = stream_answer(
        parrot.llm,
        parrot.tokenizer,
        ask("Say it in Greek, please!"),
        pieces.append,
        settings=GenerationSettings(max_new_tokens=80),
    )
    assert "".join(pieces) == answer.text == "Γεια σου 🦜 κόσμε"
    assert len(pieces) > 5
    assert not any("\ufffd" in piece or "<|" in piece for piece in pieces)
    assert answer.ended_by == "stop"


def test_an_answer_that_did_not_end_says_so(babbler):
    answer = stream_answer(
        *babbler, ask("a"), lambda text: None, settings=GenerationSettings(max_new_tokens=7)
    )
    assert (answer.ended_by, answer.tokens) == ("length", 7)


def test_a_stop_word_that_is_no_token_ends_a_row_and_not_the_others(parrot):
    requests = [ask("301 miles in km?"), ask("Who are you?")]
    answers = answer_batch(
        parrot.llm, parrot.tokenizer, requests, stop_words=["convert"], max_new_tokens=80
    )
    assert answers == ['{"name": "', "A parrot."]


def test_a_seed_gives_the_same_answer_and_leaves_the_global_random_state(babbler):
    state = torch.random.get_rng_state()

    def sampled(seed):
        return answer_batch(*babbler, [ask("a")], max_new_tokens=20, temperature=1.5, seed=seed)

    assert sampled(1) == sampled(1)
    assert sampled(1) != sampled(2)
    assert sampled(None) != sampled(None)
    assert torch.equal(state, torch.random.get_rng_state())


def test_temperature_zero_ignores_the_checkpoints_own_sampling(babbler):
    llm, tokenizer = babbler
    greedy = answer_batch(llm, tokenizer, [ask("a")], max_new_tokens=20)
    llm.generation_config.update(do_sample=True, temperature=3.0, repetition_penalty=5.0)
    try:
        assert answer_batch(llm, tokenizer, [ask("a")], max_new_tokens=20) == greedy
    finally:
        llm.generation_config.update(do_sample=False, temperature=None, repetition_penalty=None)


def test_a_model_in_training_comes_back_in_training(babbler):
    llm, tokenizer = babbler
    llm.train()
    try:
        answer_batch(llm, tokenizer, [ask("a")], max_new_tokens=2)
        assert llm.training
        assert torch.is_grad_enabled()
    finally:
        llm.eval()


def test_ctrl_c_ends_the_answer_and_keeps_what_there_is(babbler):
    pieces = []

    def interrupt_at_the_third(text):
        pieces.append(text)
        if len(pieces) == 3:
            raise KeyboardInterrupt

    answer = stream_answer(
        *babbler, ask("a"), interrupt_at_the_third, settings=GenerationSettings(max_new_tokens=50)
    )
    assert answer.ended_by == "interrupt"
    assert answer.text.startswith("".join(pieces[:3]))
    assert answer.tokens < 50


def test_a_prompt_as_long_as_the_context_is_refused(babbler):
    llm, tokenizer = babbler
    assert context_length(llm) == 256
    request = ask("x " * 300)
    with pytest.raises(UsageError, match=r"the prompt has \d+ tokens .* context is 256: shorten"):
        answer_batch(llm, tokenizer, [ask("a"), request])


def test_an_answer_ends_where_the_context_ends(babbler):
    llm, tokenizer = babbler
    request = ask("x" * 220)
    length = len(prompt_ids(tokenizer, request))
    assert 200 < length < 256
    answer = stream_answer(
        llm, tokenizer, request, lambda text: None, settings=GenerationSettings(max_new_tokens=999)
    )
    assert answer.tokens == 256 - length


def test_the_prompt_is_the_templates_text_once(babbler):
    _, tokenizer = babbler
    text = "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n"
    assert tokenizer.decode(prompt_ids(tokenizer, ask("Hi"))) == text


def test_without_a_chat_template_the_error_says_what_to_give(babbler):
    _, tokenizer = babbler
    template, tokenizer.chat_template = tokenizer.chat_template, None
    try:
        with pytest.raises(TemplateError, match="no chat template.*--prompt-template"):
            prompt_ids(tokenizer, ask("Hi"))
    finally:
        tokenizer.chat_template = template


def test_a_dialogue_that_the_template_refuses(babbler):
    _, tokenizer = babbler
    template = tokenizer.chat_template
    tokenizer.chat_template = (
        "{% if messages[0].role == 'system' %}{{ raise_exception('no system role') }}{% endif %}"
    )
    try:
        with pytest.raises(TemplateError, match=r"roles: system user.*no system role"):
            prompt_ids(tokenizer, [{"role": "system", "content": "x"}, *ask("Hi")])
    finally:
        tokenizer.chat_template = template


def test_calls_of_a_dialogue_are_given_as_the_template_takes_them(babbler):
    """As DeepSeek's, which joins the arguments to text: a dict there is an error."""
    _, tokenizer = babbler
    template = tokenizer.chat_template
    tokenizer.chat_template = (
        "{% for m in messages %}{% for c in m.tool_calls or [] %}"
        "{{ c['function']['name'] + ' ' + c['function']['arguments'] + ';' }}{% endfor %}"
        "{{ m.content or '' }}{% endfor %}"
    )
    call = {"type": "function", "function": {"name": "add", "arguments": {"a": 2}}}
    made = {"role": "assistant", "content": "", "tool_calls": [call]}
    try:
        ids = prompt_ids(tokenizer, [*ask("Hi."), made, {"role": "tool", "content": "4"}])
    finally:
        tokenizer.chat_template = template
    assert tokenizer.decode(ids) == 'Hi.add {"a": 2};4'


def test_what_ends_an_answer(babbler):
    llm, tokenizer = babbler
    end, text_end = tokenizer.convert_tokens_to_ids(["<|im_end|>", "<|endoftext|>"])
    assert stop_ids_and_words(llm, tokenizer) == ([end], [])
    assert stop_ids_and_words(llm, tokenizer, ["<|im_end|>"]) == ([end], [])
    ids, words = stop_ids_and_words(llm, tokenizer, ["\nUser:"])
    assert (ids, words) == ([end], ["\nUser:"])
    llm.generation_config.eos_token_id = [text_end]
    try:
        assert stop_ids_and_words(llm, tokenizer)[0] == sorted([end, text_end])
    finally:
        llm.generation_config.eos_token_id = end


def test_the_end_of_turn_counts_where_the_end_of_text_is_another_token(babbler):
    llm, tokenizer = babbler
    turn, text_end = tokenizer.convert_tokens_to_ids(["<|im_end|>", "<|endoftext|>"])
    tokenizer.eos_token = "<|endoftext|>"
    llm.generation_config.eos_token_id = text_end
    try:
        assert stop_ids_and_words(llm, tokenizer)[0] == sorted([turn, text_end])
    finally:
        tokenizer.eos_token = "<|im_end|>"
        llm.generation_config.eos_token_id = turn


def test_a_tokenizer_without_any_end_token(babbler):
    llm, tokenizer = babbler
    end = tokenizer.convert_tokens_to_ids("<|im_end|>")
    template = tokenizer.chat_template
    tokenizer.eos_token = tokenizer.pad_token = None
    tokenizer.chat_template = "{% for m in messages %}{{ m.content }}\n{% endfor %}"
    llm.generation_config.eos_token_id = None
    try:
        assert stop_ids_and_words(llm, tokenizer) == ([], [])
        assert len(answer_batch(llm, tokenizer, [ask("a"), ask("bcd")], max_new_tokens=5)) == 2
    finally:
        tokenizer.eos_token = tokenizer.pad_token = "<|im_end|>"
        tokenizer.chat_template = template
        llm.generation_config.eos_token_id = end
