"""The contenders of `benchmarks/gpu.py`: ours, a plain transformers + PEFT loop, and TRL.

Each is a function (case, steps) -> run, and run(warm_up, clock) -> (losses, seconds of the timed
steps). All train the same documents from the same random weights.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from gpu_weights import random_llm
from torch import Tensor

Documents = list[tuple[list[int], list[int]]]
Run = Callable[[int, Callable[[], float]], tuple[list[float], float]]


def xtune(case: dict[str, Any], steps: list[Documents]) -> Run:
    """Ours: the model from the sheet's kind of dict, the strategy, the optimizer's groups."""
    from xtune.engine.strategies.single import SingleStrategy
    from xtune.models import build_model
    from xtune.optim.optimizers import build_optimizer

    strategy = SingleStrategy(precision="bf16", device=case["device"])
    model = build_model(
        {
            "type": "SupervisedFinetune",
            "llm": {"type": partial(random_llm, case["model"], **_weights(case, masters=True))},
            "adapter": _lora(case),
            "gradient_checkpointing": case["checkpointing"],
        },
        device=case["device"],
        precision=strategy.precision,
    )
    kind = "AdamW8bit" if case["method"] == "full" else "AdamW"
    strategy.prepare(model, partial(build_optimizer, cfg={"type": kind, "lr": case["lr"]}))

    def step(number: int) -> Tensor:
        batch = _row(steps[number])
        loss = strategy.forward(batch, normalizer=batch.trained_tokens)["loss"]
        strategy.backward(loss)
        strategy.clip_grad_norm(1.0)
        strategy.step(1.0)
        return loss.detach()

    return _timed(step, len(steps))


def plain(case: dict[str, Any], steps: list[Documents]) -> Run:
    """What the libraries' own pages show: a padded batch, the model's loss, torch's AdamW."""
    from peft import LoraConfig, get_peft_model, prepare_model_for_kbit_training

    llm: Any = random_llm(case["model"], **_weights(case, masters=False))
    llm.set_attn_implementation(_attention())
    llm.config.use_cache = False
    checkpointing = bool(case["checkpointing"])
    if case["method"] == "qlora":
        llm = prepare_model_for_kbit_training(
            llm,
            use_gradient_checkpointing=checkpointing,
            gradient_checkpointing_kwargs={"use_reentrant": False},
        )
    elif checkpointing:
        llm.gradient_checkpointing_enable({"use_reentrant": False})
    if case["method"] == "full":
        llm.requires_grad_(True)
        import bitsandbytes

        optimizer: Any = bitsandbytes.optim.AdamW8bit(llm.parameters(), lr=case["lr"])
    else:
        settings = _lora(case)
        settings.pop("type")
        llm = get_peft_model(llm, LoraConfig(**settings))
        optimizer = torch.optim.AdamW([p for p in llm.parameters() if p.requires_grad], case["lr"])
    llm.train()
    trained = [p for p in llm.parameters() if p.requires_grad]

    def step(number: int) -> Tensor:
        batch = {key: value.to(case["device"]) for key, value in _padded(steps[number]).items()}
        with torch.autocast(case["device"], dtype=torch.bfloat16):
            loss = llm(**batch).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(trained, 1.0)
        optimizer.step()
        optimizer.zero_grad()
        return loss.detach()

    return _timed(step, len(steps))


def trl(case: dict[str, Any], steps: list[Documents]) -> Run:
    """TRL's SFTTrainer as its pages have it: packing, bf16, fused AdamW."""
    from datasets import Dataset
    from peft import LoraConfig
    from transformers import TrainerCallback
    from trl import SFTConfig, SFTTrainer

    llm: Any = random_llm(case["model"], **_weights(case, masters=False))
    llm.set_attn_implementation(_attention())
    settings = _lora(case)
    settings.pop("type")
    config = SFTConfig(
        output_dir=tempfile.mkdtemp(),
        use_cpu=case["device"] == "cpu",
        bf16=True,
        gradient_checkpointing=bool(case["checkpointing"]),
        per_device_train_batch_size=1,
        max_length=case["tokens"],
        packing=True,
        max_steps=len(steps),
        learning_rate=case["lr"],
        lr_scheduler_type="constant",
        max_grad_norm=1.0,
        logging_steps=len(steps),
        logging_first_step=True,
        optim="adamw_torch_fused" if case["method"] != "full" else "adamw_bnb_8bit",
        report_to="none",
        save_strategy="no",
        disable_tqdm=True,
    )
    rows = [{"input_ids": ids, "labels": labels} for step in steps for ids, labels in step]
    times: list[float] = []
    losses: list[float] = []

    class Watch(TrainerCallback):
        def __init__(self, warm_up: int, clock: Callable[[], float]) -> None:
            self.warm_up, self.clock = warm_up, clock

        def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            if state.global_step in (self.warm_up, args.max_steps):
                times.append(self.clock())

        def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **_: Any) -> None:
            if "loss" in logs:
                losses.append(logs["loss"])

    trainer = SFTTrainer(
        model=llm,
        args=config,
        train_dataset=Dataset.from_list(rows),
        processing_class=_tokenizer(),
        peft_config=LoraConfig(**settings) if case["method"] != "full" else None,
    )

    def run(warm_up: int, clock: Callable[[], float]) -> tuple[list[float], float]:
        trainer.add_callback(Watch(warm_up, clock))
        trainer.train()
        return losses, times[1] - times[0]

    return run


CONTENDERS: dict[str, Callable[[dict[str, Any], list[Documents]], Run]] = {
    "xtune": xtune,
    "plain": plain,
    "trl": trl,
}


def _weights(case: dict[str, Any], *, masters: bool) -> dict[str, Any]:
    """All trained: ours are fp32 masters under autocast, the others' are bf16 alone."""
    dtype = "fp32" if masters and case["method"] == "full" else "bf16"
    nf4 = case["method"] == "qlora"
    return {"device": case["device"], "dtype": dtype, "nf4": nf4, "tiny": case["tiny"]}


def _lora(case: dict[str, Any]) -> dict[str, Any]:
    if case["method"] == "full":
        return {}
    return {
        "type": "LoraConfig",
        "r": case["rank"],
        "lora_alpha": 2 * case["rank"],
        "target_modules": "all-linear",
        "task_type": "CAUSAL_LM",
    }


def _timed(step: Callable[[int], Tensor], count: int) -> Run:
    def run(warm_up: int, clock: Callable[[], float]) -> tuple[list[float], float]:
        losses = [step(number) for number in range(warm_up)]
        began = clock()
        losses += [step(number) for number in range(warm_up, count)]
        seconds = clock() - began
        return [loss.item() for loss in losses], seconds

    return run


def _row(documents: Documents) -> Any:
    from xtune.structures import Batch

    lengths = [len(ids) for ids, _ in documents]
    return Batch(
        input_ids=torch.tensor([[i for ids, _ in documents for i in ids]]),
        position_ids=torch.cat([torch.arange(length) for length in lengths])[None],
        labels=torch.tensor([[i for _, labels in documents for i in [*labels[1:], -100]]]),
        cu_seqlens=torch.tensor([0, *lengths]).cumsum(0).int(),
        max_seqlen=max(lengths),
    )


def _padded(documents: Documents) -> dict[str, Tensor]:
    longest = max(len(ids) for ids, _ in documents)
    gaps = [longest - len(ids) for ids, _ in documents]
    pairs = list(zip(documents, gaps, strict=True))
    return {
        "input_ids": torch.tensor([ids + [0] * gap for (ids, _), gap in pairs]),
        "labels": torch.tensor([labels + [-100] * gap for (_, labels), gap in pairs]),
        "attention_mask": torch.tensor([[1] * len(ids) + [0] * gap for (ids, _), gap in pairs]),
    }


def _attention() -> str:
    try:
        import flash_attn  # noqa: F401
    except ImportError:
        return "sdpa"
    return "flash_attention_2"


def _tokenizer() -> Any:
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel
    from transformers import PreTrainedTokenizerFast

    words = {"<pad>": 0, "<eos>": 1} | {f"w{number}": number for number in range(2, 384)}
    made = Tokenizer(WordLevel(words, unk_token="<pad>"))
    return PreTrainedTokenizerFast(tokenizer_object=made, pad_token="<pad>", eos_token="<eos>")
