"""New tokens: where their rows begin, that old ones stay, and that adapters keep them."""

from __future__ import annotations

import json

import pytest
import torch
from peft import LoraConfig, PeftModel
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM

from tests.models.families.cases import internlm
from tests.runs import losses, sheet_of, train
from tests.tiny import write_tiny_model
from xtune.errors import AdapterError, ConfigError, ModelError
from xtune.export.export import write_model
from xtune.export.merge import export_model
from xtune.generation.model import ChatModel
from xtune.models import (
    SupervisedFinetune,
    attach_adapter,
    build_model,
    load_adapter,
    load_model,
    load_tokenizer,
    merge_adapter,
)
from xtune.models.tokenizer import open_vocabulary
from xtune.models.vocabulary import (
    add_tokens,
    grow_vocabulary,
    rows_needed,
    token_pieces,
    train_new_rows,
)
from xtune.structures import Batch

TOKENS = ["<call>", "weather alarm", "公园"]
IDS = torch.tensor([[5, 6, 7, 8, 9, 10]])


@torch.no_grad()
def logits(llm, ids=IDS):
    return llm.eval()(input_ids=ids, use_cache=False).logits


def grown(folder, **settings):
    """A model that has grown, and the pieces."""
    source = {"pretrained_model_name_or_path": str(folder), "added_tokens": TOKENS}
    _, pieces = open_vocabulary(source)
    llm = load_model(str(folder), dtype="fp32")
    grow_vocabulary(llm, pieces, **settings)
    return llm, pieces


def test_pieces_are_how_the_old_tokenizer_spelled_the_token(tiny_llama):
    before = load_tokenizer(str(tiny_llama))
    after, pieces = open_vocabulary(
        {"pretrained_model_name_or_path": str(tiny_llama), "added_tokens": TOKENS}
    )
    assert list(pieces) == [384, 385, 386]
    for token, spelling in zip(TOKENS, pieces.values(), strict=True):
        assert before.decode(spelling) == token
        assert len(spelling) > 1
        assert after.encode(token) == [after.convert_tokens_to_ids(token)]
        assert after.decode(after.encode(f"a {token} b")) == f"a {token} b"
    assert after.encode("What is the weather") == before.encode("What is the weather")


def test_tokens_that_are_there_are_not_added_and_empty_ones_are_refused(tiny_llama):
    tokenizer = load_tokenizer(str(tiny_llama))
    assert add_tokens(tokenizer, ["<|im_end|>", "new", "new"]) == ["new"]
    with pytest.raises(ModelError, match="empty or white space"):
        add_tokens(tokenizer, [" \n"])


def test_a_vocabulary_may_only_grow(tiny_llama, tmp_path):
    other = load_tokenizer(str(write_tiny_model(tmp_path / "other", "llama", vocab=380)))
    with pytest.raises(ModelError, match="may only grow"):
        token_pieces(load_tokenizer(str(tiny_llama)), other)


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("family", ["llama", "qwen2", "gemma2", "phi"])
def test_old_logits_stay_and_new_rows_are_means(tiny_family, family, tied):
    if family == "phi" and tied:
        pytest.skip("Phi's head has a bias and is not tied")
    folder = tiny_family(family, tied=tied)
    before = load_model(str(folder), dtype="fp32")
    if family == "phi":
        assert before.lm_head.bias is not None
    expected, rows = logits(before), before.get_input_embeddings().weight.detach()
    llm, pieces = grown(folder)
    given = logits(llm)
    assert given.shape[-1] == 387 == llm.config.vocab_size
    torch.testing.assert_close(given[..., :384], expected, rtol=0, atol=0)
    embedding, head = llm.get_input_embeddings().weight, llm.get_output_embeddings().weight
    assert (embedding is head) == tied
    old_head = before.get_output_embeddings()
    for number, spelling in pieces.items():
        torch.testing.assert_close(embedding[number], rows[spelling].mean(0))
        torch.testing.assert_close(head[number], old_head.weight[spelling].mean(0))
        if old_head.bias is not None:
            bias = llm.get_output_embeddings().bias
            torch.testing.assert_close(bias[number], old_head.bias[spelling].mean())


def test_the_mean_of_all_and_padding(tiny_llama):
    llm, _ = grown(tiny_llama, init="mean", pad_to_multiple_of=64)
    weight = llm.get_input_embeddings().weight
    assert weight.shape[0] == llm.config.vocab_size == rows_needed(384, {386: []}, 64) == 448
    torch.testing.assert_close(weight[384:], weight[:384].mean(0).expand(64, -1))


def test_spare_rows_are_used_and_begin_anew(tmp_path):
    """As Qwen's: more rows than the tokenizer has tokens, with whatever was left in them."""
    folder = write_tiny_model(tmp_path / "padded", "llama", vocab=384)
    llm = load_model(str(folder), dtype="fp32")
    grow_vocabulary(llm, {}, pad_to_multiple_of=256)
    with torch.no_grad():
        llm.get_input_embeddings().weight[384:] = 7.0
    write_model(tmp_path / "spare", llm, load_tokenizer(str(folder)), {})
    wide, pieces = grown(tmp_path / "spare")
    weight = wide.get_input_embeddings().weight
    assert weight.shape[0] == 512
    assert list(pieces) == [384, 385, 386]
    for number, spelling in pieces.items():
        torch.testing.assert_close(weight[number], weight[spelling].mean(0))
    assert (weight[387:] == 7.0).all()


def test_a_model_without_weights_grows_too(tiny_llama):
    model = build_model(
        {
            "type": "SupervisedFinetune",
            "llm": {"type": "CausalLM", "pretrained_model_name_or_path": str(tiny_llama)},
            "vocabulary": {"pad_to_multiple_of": 128},
            "adapter": {"type": "LoraConfig", "r": 2},
        },
        device="meta",
        pieces={384: [5, 6]},
    )
    assert model.llm.config.vocab_size == 512
    assert any("trainable_tokens" in n for n, p in model.named_parameters() if p.requires_grad)


@pytest.mark.parametrize("where", ["tied", "untied", "internlm", "bias"])
def test_an_adapter_trains_saves_loads_and_merges_the_new_rows(tmp_path, where):
    if where == "internlm":
        folder = internlm.write(tmp_path / "base")
        pieces = {384: [5, 6], 385: [7, 8, 9]}
        llm = load_model(str(folder), dtype="fp32")
        grow_vocabulary(llm, pieces)
    else:
        family = "phi" if where == "bias" else "llama"
        folder = write_tiny_model(tmp_path / "base", family, tied=where == "tied")
        llm, pieces = grown(folder)
    number = next(iter(pieces))
    ids = torch.tensor([[5, number, 7, number]])
    expected = logits(llm, ids)
    wanted = LoraConfig(r=4, target_modules="all-linear")
    peft_model = attach_adapter(llm, train_new_rows(llm, wanted, pieces))
    torch.testing.assert_close(logits(peft_model, ids), expected, rtol=0, atol=0)
    loss = peft_model(input_ids=ids, labels=ids).loss
    loss.backward()
    with torch.no_grad():
        for name, parameter in peft_model.named_parameters():
            if parameter.requires_grad:
                assert parameter.grad is not None, name
                parameter += 0.1 * torch.randn_like(parameter)
    expected = logits(peft_model, ids)
    peft_model.save_pretrained(tmp_path / "adapter", save_embedding_layers=False)
    notes = {
        "base_vocab_size": llm.config.vocab_size,
        "vocabulary": {"pieces": {str(n): list(s) for n, s in pieces.items()}},
    }
    (tmp_path / "adapter" / "xtune.json").write_text(json.dumps(notes))
    loaded = load_adapter(load_model(str(folder), dtype="fp32"), tmp_path / "adapter")
    torch.testing.assert_close(logits(loaded, ids), expected, rtol=0, atol=0)
    if where in ("tied", "untied"):
        plain = AutoModelForCausalLM.from_pretrained(folder)
        plain.resize_token_embeddings(llm.config.vocab_size)
        plain = PeftModel.from_pretrained(plain, tmp_path / "adapter")
        torch.testing.assert_close(logits(plain, ids), expected)
    merged = merge_adapter(loaded)
    torch.testing.assert_close(logits(merged, ids), expected, rtol=1e-5, atol=1e-5)


def run_with_tokens(inputs, work_dir, *further, config="custom_sft_lora"):
    from xtune.engine.runner import Runner

    options = ["max_steps=4", "save_steps=2", "lr=1e-3", f"added_tokens={['Paris', '<call>']}"]
    Runner(sheet_of(inputs, *options, *further, config=config), work_dir=work_dir).train()
    return work_dir / "checkpoints" / "latest"


def test_a_run_with_added_tokens_chats_on_the_plain_base(inputs, tmp_path):
    latest = run_with_tokens(inputs, tmp_path / "run")
    notes = json.loads((latest / "adapter" / "xtune.json").read_text())
    assert notes["base_vocab_size"] == 386
    assert notes["vocabulary"]["added_tokens"] == {"Paris": 384, "<call>": 385}
    model = ChatModel.load(str(inputs.model), adapter=tmp_path / "run", dtype="fp32")
    assert model.tokenizer.encode("Paris") == [384]
    weight = model.llm.get_base_model().get_input_embeddings().weight
    plain = load_model(str(inputs.model), dtype="fp32").get_input_embeddings().weight
    assert not torch.equal(weight[384], weight.new_zeros(32))
    torch.testing.assert_close(weight[:384], plain, rtol=0, atol=0)  # only new rows are trained
    before = model.llm.get_base_model().get_input_embeddings().original_module.weight[384]
    assert not torch.equal(weight[384], before)  # 'Paris' is in the data
    answers = model.answer_batch([[{"role": "user", "content": "Paris"}]], max_new_tokens=4)
    assert len(answers) == 1
    done = export_model(
        str(inputs.model), tmp_path / "merged", adapter=latest / "adapter", notes={}, dtype="fp32"
    )
    assert done.difference < 1e-5
    merged = AutoModelForCausalLM.from_pretrained(tmp_path / "merged")
    assert merged.lm_head.weight is merged.model.embed_tokens.weight
    ids = torch.tensor([[5, 384, 385, 7]])
    torch.testing.assert_close(logits(merged, ids), logits(model.llm, ids), rtol=1e-4, atol=1e-4)


def test_a_quantized_base_grows_too(inputs, tmp_path):
    latest = run_with_tokens(inputs, tmp_path / "run", "lora.r=4", config="custom_sft_qlora")
    model = ChatModel.load(str(inputs.model), adapter=latest, bits=4)
    assert model.llm.config.vocab_size == 386
    merged = merge_adapter(load_adapter(load_model(str(inputs.model)), latest / "adapter"))
    assert merged.get_input_embeddings().weight.shape[0] == 386


def test_a_whole_embedding_that_is_trained_has_the_new_rows(inputs, tmp_path):
    latest = run_with_tokens(inputs, tmp_path / "run", "lora.modules_to_save=['embed_tokens']")
    llm = load_adapter(load_model(str(inputs.model), dtype="fp32"), latest / "adapter")
    weight = llm.get_input_embeddings().weight
    assert weight.shape == (386, 32)
    saved = load_file(latest / "adapter/adapter_model.safetensors")
    (name,) = (name for name in saved if "embed_tokens" in name)
    assert torch.equal(weight, saved[name])


def test_lora_on_the_head_itself_is_refused_with_the_way_out(tmp_path):
    llm, pieces = grown(write_tiny_model(tmp_path / "base", "llama", tied=False))
    with pytest.raises(AdapterError, match=r"modules_to_save=\['lm_head'\]"):
        train_new_rows(llm, LoraConfig(target_modules=["q_proj", "lm_head"]), pieces)
    whole = train_new_rows(llm, LoraConfig(modules_to_save=["embed_tokens"]), pieces)
    assert whole.trainable_token_indices == {"lm_head": [384, 385, 386]}


def test_the_dry_run_knows_of_the_new_rows(inputs, tmp_path, capsys):
    from xtune.engine.dry_run import make_plan

    lines = {}
    for tokens in ([], ["Paris", "<call>"]):
        plan = make_plan(sheet_of(inputs, f"added_tokens={tokens}"), tmp_path / str(len(tokens)))
        (line,) = (line for line in plan if line.startswith("parameters"))
        lines[len(tokens)] = int(line.split()[1].replace(",", ""))
    assert lines[2] == lines[0] + 2 * 32


def test_a_run_with_added_tokens_resumes_exactly(inputs, tmp_path):
    options = ["max_steps=4", "save_steps=2", f"added_tokens={['Paris', '<call>']}"]
    for config, lr in (("custom_sft_lora", "1e-3"), ("smollm2_135m_full_toolcall", "1e-4")):
        from xtune.engine.runner import Runner

        whole, cut = tmp_path / f"{config}_whole", tmp_path / f"{config}_cut"
        sheet = sheet_of(inputs, *options, f"lr={lr}", config=config)
        Runner(sheet, work_dir=whole).train()
        first = Runner(sheet, work_dir=cut)
        step = first.run.save_checkpoint

        def save_and_stop(run=first.run, step=step, **keywords):
            run.stop("the test says so")
            return step(**keywords)

        first.run.save_checkpoint = save_and_stop
        first.train()
        Runner(sheet, work_dir=cut, resume="auto").train()
        assert losses(cut) == losses(whole)


def test_full_tuning_saves_the_larger_vocabulary(inputs, tmp_path):
    latest = run_with_tokens(
        inputs,
        tmp_path / "run",
        "lr=1e-4",
        "model.vocabulary.pad_to_multiple_of=64",
        config="smollm2_135m_full_toolcall",
    )
    llm = load_model(str(latest / "model"), dtype="fp32")
    assert llm.config.vocab_size == 448
    assert load_tokenizer(str(latest / "model")).encode("Paris") == [384]
    ChatModel.load(str(tmp_path / "run"), dtype="fp32")


def test_an_adapter_is_refused_on_another_vocabulary(inputs, tmp_path):
    from xtune.export.expand import expand_with_tokens

    expand_with_tokens(str(inputs.model), ["Paris", "<a>"], tmp_path / "one")
    expand_with_tokens(str(inputs.model), ["Paris", "<b>"], tmp_path / "other")
    expand_with_tokens(str(inputs.model), ["Paris"], tmp_path / "smaller")
    train(
        inputs,
        tmp_path / "run",
        f"pretrained_model_name_or_path={tmp_path / 'one'}",
        "max_steps=1",
    )
    adapter = tmp_path / "run" / "checkpoints" / "latest" / "adapter"
    load_adapter(load_model(str(tmp_path / "one"), dtype="fp32"), adapter)
    with pytest.raises(AdapterError, match=r"id 385 is '<a>' in the training and '<b>'"):
        load_adapter(load_model(str(tmp_path / "other"), dtype="fp32"), adapter)
    with pytest.raises(AdapterError, match=r"vocabulary of 386; .* has 385.*expand-vocab"):
        load_adapter(load_model(str(tmp_path / "smaller"), dtype="fp32"), adapter)


def test_tokens_that_cannot_be_are_found_by_the_check(inputs):
    from xtune.config import require_valid

    for bad in (["a", "a"], [" "], [3]):
        with pytest.raises(ConfigError, match="added_tokens"):
            require_valid(sheet_of(inputs, f"added_tokens={bad}"))
    with pytest.raises(ConfigError, match=r"model.vocabulary.init"):
        require_valid(sheet_of(inputs, "model.vocabulary.init=median"))


@pytest.mark.parametrize("where", ["tied", "untied", "bias", "gemma2"])
def test_the_chunked_loss_has_the_gradients_of_the_models_own(tmp_path, where):
    family = {"bias": "phi", "gemma2": "gemma2"}.get(where, "llama")
    tied = where in ("tied", "gemma2")
    caps = {"attn_logit_softcapping": None} if family == "gemma2" else {}  # else a GPU's matter
    llm, pieces = grown(write_tiny_model(tmp_path / "base", family, tied=tied, **caps))
    ids = torch.tensor([[5, 384, 7, 385, 386, 9]])
    model = SupervisedFinetune(
        llm, adapter=train_new_rows(llm, LoraConfig(r=2), pieces), loss_chunk_size=2
    )
    labels = torch.cat([ids[:, 1:], torch.tensor([[-100]])], 1)
    batch = Batch(
        input_ids=ids,
        position_ids=torch.arange(6)[None],
        labels=labels,
        cu_seqlens=torch.tensor([0, 6], dtype=torch.int32),
        max_seqlen=6,
    )
    trained = {name: p for name, p in model.named_parameters() if p.requires_grad}
    loss = model(batch, normalizer=5)["loss"]
    ours = torch.autograd.grad(loss, list(trained.values()), allow_unused=True)
    llm.set_attn_implementation("eager")
    own = model.llm(input_ids=ids, labels=ids).loss
    theirs = torch.autograd.grad(own, list(trained.values()), allow_unused=True)
    torch.testing.assert_close(loss, own)
    assert any("tokens_delta" in name or "modules_to_save" in name for name in trained)
    for name, one, other in zip(trained, ours, theirs, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-6, msg=name)


def test_in_bf16_the_new_rows_are_trained_in_fp32(inputs, tmp_path):
    latest = run_with_tokens(inputs, tmp_path / "run", "strategy.precision=bf16")
    stored = load_file(latest / "adapter" / "adapter_model.safetensors")
    (rows,) = (value for name, value in stored.items() if "trainable_tokens_delta" in name)
    assert rows.dtype == torch.float32
    assert not torch.equal(rows[0], rows[0].bfloat16().float())


def test_the_original_layout_has_the_new_tokens_beside_the_published_files(tmp_path):
    folder = internlm.write(tmp_path / "base")
    source = {"pretrained_model_name_or_path": str(folder), "added_tokens": TOKENS}
    tokenizer, pieces = open_vocabulary(source)
    llm = load_model(str(folder), dtype="fp32")
    grow_vocabulary(llm, pieces)
    write_model(tmp_path / "out", llm, tokenizer, {}, layout="original")
    added = json.loads((tmp_path / "out" / "added_tokens.json").read_text())
    assert added == dict(zip(TOKENS, pieces, strict=True))
    assert json.loads((tmp_path / "out" / "config.json").read_text())["vocab_size"] == 387
    again = load_model(str(tmp_path / "out"), dtype="fp32")
    torch.testing.assert_close(logits(again), logits(llm), rtol=0, atol=0)
    assert load_tokenizer(str(tmp_path / "out")).encode("<call>")[-1] == added["<call>"]


@pytest.mark.parametrize("target", ["model.embed_tokens", r".*(q_proj|embed_tokens)"])
def test_an_adapter_on_rows_that_are_trained_is_refused_by_any_name(tiny_llama, target):
    llm = load_model(str(tiny_llama), dtype="fp32")
    pieces = {384: [70, 71]}
    grow_vocabulary(llm, pieces)
    targets = target if "*" in target else ["q_proj", target]
    with pytest.raises(AdapterError, match="target_modules names 'embed_tokens'"):
        train_new_rows(llm, LoraConfig(target_modules=targets), pieces)


@pytest.mark.parametrize("name", ["lm_head", "embed_tokens", "model.embed_tokens"])
def test_new_tokens_of_a_tied_weight_that_is_trained_whole(tiny_llama, name):
    llm = load_model(str(tiny_llama), dtype="fp32")
    pieces = {384: [70, 71]}
    grow_vocabulary(llm, pieces)
    config = LoraConfig(target_modules=["q_proj"], modules_to_save=[name])
    tuned = attach_adapter(llm, train_new_rows(llm, config, pieces))
    trained = [p for n, p in tuned.named_parameters() if p.requires_grad and "lora_" not in n]
    assert [tuple(p.shape) for p in trained] == [(385, 32)]  # one weight of both layers
