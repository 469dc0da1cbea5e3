"""A model in training answers as transformers would, and is then as it was."""

from __future__ import annotations

import pytest
import torch
from peft import LoraConfig
from transformers import AutoModelForCausalLM

from tests.models.packs import pack, random_documents
from xtune.models import SupervisedFinetune, base_of, generation_mode, load_model

PROMPTS = torch.tensor([[2, 2, 5, 6], [5, 6, 7, 8]])  # the first is padded on the left
MASK = torch.tensor([[0, 0, 1, 1], [1, 1, 1, 1]])


def answers(llm):
    return llm.generate(
        input_ids=PROMPTS, attention_mask=MASK, max_new_tokens=6, do_sample=False, eos_token_id=-1
    )


@pytest.mark.filterwarnings("ignore:.*pad_token_id")
@pytest.mark.parametrize("checkpointing", [False, True])
def test_padded_batches_are_answered_as_by_transformers(tiny_llama, checkpointing):
    expected = answers(AutoModelForCausalLM.from_pretrained(tiny_llama))
    model = SupervisedFinetune(
        load_model(str(tiny_llama), dtype="fp32"),
        adapter=LoraConfig(r=4),
        gradient_checkpointing=checkpointing,
    )
    with generation_mode(model.llm):
        assert torch.equal(answers(model.llm), expected)


def test_training_goes_on_afterwards(tiny_llama):
    model = SupervisedFinetune(load_model(str(tiny_llama), dtype="fp32"))
    batch = pack(random_documents([3, 5]))
    before = model(batch, normalizer=4)["loss"]
    with pytest.raises(KeyboardInterrupt), generation_mode(model.llm):  # noqa: PT012
        assert not model.llm.training
        assert not torch.is_grad_enabled()
        assert base_of(model.llm).config._attn_implementation == "sdpa"
        raise KeyboardInterrupt
    assert model.llm.training
    after = model(batch, normalizer=4)["loss"]
    assert after.requires_grad
    torch.testing.assert_close(after, before, rtol=0, atol=0)


def test_a_plain_model_may_be_given_too(tiny_llama):
    llm = load_model(str(tiny_llama), dtype="fp32")
    with generation_mode(llm):
        answers(llm)
    assert not llm.training
