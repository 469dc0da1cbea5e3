"""What prompts begin with is computed once, and nothing about the answers changes."""

from __future__ import annotations

import pytest

from tests.tiny import write_tiny_llama
from xtune.generation.generate import answer_prompts
from xtune.models import load_model, load_tokenizer

SYSTEM = list(range(10, 30))  # 20 tokens
QUESTIONS = [[40, 41, 42, 43, 44, 45], [40, 50], [60, 61, 62, 63]]


@pytest.fixture(scope="module")
def babbler(tmp_path_factory):
    folder = str(write_tiny_llama(tmp_path_factory.mktemp("babbler"), max_position_embeddings=256))
    return load_model(folder), load_tokenizer(folder)


def computed(babbler, prompts, **settings):
    """The answers' texts, and the shape [rows, tokens] of each forward pass."""
    llm, tokenizer = babbler
    shapes = []
    hook = llm.get_input_embeddings().register_forward_pre_hook(
        lambda module, args: shapes.append(tuple(args[0].shape))
    )
    try:
        answers = answer_prompts(llm, tokenizer, prompts, max_new_tokens=3, **settings)
    finally:
        hook.remove()
    return [answer.text for answer in answers], shapes


def test_shared_tokens_are_computed_in_one_row(babbler):
    answers, shapes = computed(babbler, [SYSTEM + question for question in QUESTIONS])
    assert shapes == [(1, 20), (3, 6), (3, 1), (3, 1)]
    alone = [computed(babbler, [SYSTEM + question])[0][0] for question in QUESTIONS]
    assert answers == alone
    assert len(set(answers)) == 3


def test_a_prompt_that_is_the_beginning_of_the_others_keeps_a_token_to_compute(babbler):
    prompts = [SYSTEM, SYSTEM + QUESTIONS[0]]
    answers, shapes = computed(babbler, prompts)
    assert shapes[:2] == [(1, 19), (2, 7)]
    assert answers == [computed(babbler, [prompt])[0][0] for prompt in prompts]


@pytest.mark.parametrize(
    "prompts", [[SYSTEM], [SYSTEM[:7] + each for each in QUESTIONS], QUESTIONS]
)
def test_one_prompt_or_little_in_common_is_computed_as_it_stands(babbler, prompts):
    _, shapes = computed(babbler, prompts)
    assert shapes[0] == (len(prompts), max(map(len, prompts)))
