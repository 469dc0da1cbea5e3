"""lm_eval's model over ours; where lm_eval is installed, its numbers next to ours."""

from __future__ import annotations

import importlib.util
from types import SimpleNamespace

import pytest
import torch

from tests.eval.scoring.models import folder_of
from xtune.errors import UsageError
from xtune.eval.harness import harness_model
from xtune.generation.model import ChatModel

HAS_LM_EVAL = importlib.util.find_spec("lm_eval") is not None
PAIRS = [
    ("I have 301 miles, what is", " that in kilometres?"),
    ("I have 301 miles, what is", " seven"),
    ("Set an alarm ", "for seven."),
    ("", "Thank you, that is all!"),
]


@pytest.fixture(scope="module")
def chat(shared_folder):
    return ChatModel.load(str(folder_of(shared_folder, "llama")), dtype="fp32")


def request(*args):
    return SimpleNamespace(args=args)


@pytest.mark.skipif(HAS_LM_EVAL, reason="lm_eval is installed")
def test_without_lm_eval_it_says_what_to_install(chat):
    with pytest.raises(UsageError, match=r"pip install '\.\[eval-harness\]' 'python-dateutil<3'"):
        harness_model(chat)


@pytest.mark.skipif(not HAS_LM_EVAL, reason="lm_eval is not installed")
class TestWithLmEval:
    def test_likelihoods_are_those_of_lm_evals_own_class(self, chat, shared_folder):
        from lm_eval.api.instance import Instance
        from lm_eval.models.huggingface import HFLM

        theirs = HFLM(
            pretrained=str(folder_of(shared_folder, "llama")), dtype="float32", device="cpu"
        )
        instances = [
            Instance(request_type="loglikelihood", doc={}, arguments=pair, idx=n)
            for n, pair in enumerate(PAIRS)
        ]
        expected = theirs.loglikelihood(instances, disable_tqdm=True)
        found = harness_model(chat).loglikelihood(instances)
        for (one, greedy), (other, also) in zip(found, expected, strict=True):
            assert one == pytest.approx(other, abs=1e-4)
            assert greedy == also
        text = "The quick brown fox jumps over the lazy dog. " * 3
        (whole,) = harness_model(chat).loglikelihood_rolling([request(text)])
        instance = Instance(request_type="loglikelihood_rolling", doc={}, arguments=(text,), idx=0)
        (expected_whole,) = theirs.loglikelihood_rolling([instance], disable_tqdm=True)
        assert whole == pytest.approx(expected_whole, abs=1e-3)

    def test_answers_end_at_their_own_stop_strings(self, chat):
        model = harness_model(chat, max_gen_toks=12)
        (long,) = model.generate_until([request("Set an alarm", {"until": [], "do_sample": False})])
        assert len(long) > 4
        stop = long[3]
        shorter, same = model.generate_until(
            [
                request("Set an alarm", {"until": [stop], "do_sample": False}),
                request("Set an alarm", {"until": [], "max_gen_toks": 12, "do_sample": False}),
            ]
        )
        assert shorter == long.split(stop)[0]
        assert same == long

    def test_dialogues_are_rendered_as_in_training(self, chat):
        model = harness_model(chat)
        history = [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "Hi"},
        ]
        text = (
            "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n"
            "<|im_start|>assistant\n"
        )
        assert model.apply_chat_template(history) == text
        begun = [*history, {"role": "assistant", "content": "The answer is"}]
        assert (
            model.apply_chat_template(begun, add_generation_prompt=False) == text + "The answer is"
        )
        assert model.chat_template(True) == chat.tokenizer.chat_template
        assert torch.is_grad_enabled()
