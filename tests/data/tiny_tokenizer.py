"""A byte-level BPE tokenizer of a few hundred tokens, with the special tokens of many formats."""

from __future__ import annotations

from functools import cache

from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

SPECIAL = [
    "<s>",
    "</s>",
    "<unk>",
    "<|im_start|>",
    "<|im_end|>",
    "<eoh>",
    "<eoa>",
    "<|begin_of_text|>",
    "<|start_header_id|>",
    "<|end_header_id|>",
    "<|eot_id|>",
    "<|eom_id|>",
    "<eot>",
    "<eoc>",
    "<eor>",
    "<eom>",
    "<start_of_turn>",
    "<end_of_turn>",
    "<|system|>",
    "<|user|>",
    "<|assistant|>",
    "<|observation|>",
    "<|end|>",
    "<|im_sep|>",
    "<|EOT|>",
    "<|end_of_turn|>",
    "<|END_OF_TURN_TOKEN|>",
]

LINES = [
    "<|System|>:Be brief.\n<|User|>:What is the weather in Paris?\n<|Bot|>:It is sunny.",
    "user\nassistant\nsystem\n[INST] Add 2 and 2. [/INST] Four.",
    '{"name": "weather", "arguments": {"city": "Paris"}}',
    "    def f(x):\n\n        return x + 1\n",
] * 3


def tiny_tokenizer(
    *,
    bos: str | None = "<s>",
    eos: str | None = "</s>",
    chat_template: str | None = None,
    without: tuple[str, ...] = (),
    like_llama3: bool = False,
) -> PreTrainedTokenizerFast:
    """Build one.

    Args:
        without: special tokens that its vocabulary shall lack.
        like_llama3: keep line breaks together wherever they stand, as Llama 3's tokenizer does;
            GPT-2's and SmolLM2's take the last of them apart before a letter.
    """
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer.from_str(_trained(without, like_llama3)),
        bos_token=bos,
        eos_token=eos,
        unk_token="<unk>",
    )
    tokenizer.chat_template = chat_template
    return tokenizer


@cache
def _trained(without: tuple[str, ...], like_llama3: bool) -> str:
    tokenizer = Tokenizer(models.BPE())
    words = pre_tokenizers.ByteLevel(add_prefix_space=False)
    if like_llama3:
        words = pre_tokenizers.Sequence(
            [pre_tokenizers.Split(Regex(r"\s*[\r\n]+"), "isolated"), words]
        )
    tokenizer.pre_tokenizer = words
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=435,
        special_tokens=[token for token in SPECIAL if token not in without],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(LINES, trainer)
    return tokenizer.to_str()
