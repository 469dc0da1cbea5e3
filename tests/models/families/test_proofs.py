"""Every family is proven the same way, offline, on a tiny checkpoint as it is published.

    logits of the loaded model = an independent float64 reference, read from the published files
    prefill = cached generation, one row and left-padded rows
    a LoRA, a QLoRA and a full training step
    saved and reloaded, merged, in both layouts: the same logits, and bit for bit the same files
    packed = unpacked
    a missing, extra or misshapen weight, or another vocabulary, is an error that names it

A family joins by a file in cases/; nothing here names one.
"""

from __future__ import annotations

import json
import shutil
from functools import partial

import pytest
import torch
from safetensors.torch import save_file

from tests.data.tiny_tokenizer import tiny_tokenizer
from tests.models.families.case import Case, all_cases
from tests.models.families.published import read_checkpoint
from tests.models.packs import pack, plain_loss, random_documents
from xtune.errors import ModelError
from xtune.export.export import write_model
from xtune.generation.answer import Answer
from xtune.generation.continuous import write_answers
from xtune.generation.row import Row
from xtune.generation.settings import GenerationSettings
from xtune.models import (
    SupervisedFinetune,
    attach_adapter,
    build_model,
    choose_precision,
    generation_mode,
    load_adapter,
    load_config,
    load_model,
    load_tokenizer,
    merge_adapter,
)
from xtune.models.families import all_families, family_of_config
from xtune.models.families.proofs import PROOFS

CASES = {case.name: case for case in all_cases()}


@pytest.fixture(params=CASES, ids=str, scope="module")
def case(request) -> Case:
    return CASES[request.param]


@pytest.fixture(autouse=True)
def _what_a_family_says_it_lacks(request):
    if "case" in request.fixturenames:
        case = request.getfixturevalue("case")
        for proof, why in all_families()[case.family].unproven.items():
            if request.node.name.startswith(f"test_{proof}"):
                pytest.skip(f"{case.family}: {why}")


@pytest.fixture(scope="module")
def published(case, tmp_path_factory):
    """The checkpoint as published; not to be changed."""
    return case.write(tmp_path_factory.mktemp(case.name) / "published")


@pytest.fixture(scope="module")
def llm(published):
    """Read once, for all that only ask it; its weights and buffers are as they were in the end."""
    llm = load_model(str(published), dtype="fp32")
    before = [value.clone() for value in llm.state_dict().values()]
    yield llm
    assert all(map(torch.equal, llm.state_dict().values(), before))


@pytest.fixture
def fresh(published):
    """The same, to be changed."""
    return load_model(str(published), dtype="fp32")


@pytest.fixture(scope="module")
def ids(case):
    generator = torch.Generator().manual_seed(1)
    return torch.randint(3, case.vocab, (case.longest,), generator=generator)


@torch.no_grad()
def logits_of(llm, ids):
    return llm(input_ids=ids[None], use_cache=False).logits[0]


def assert_close(actual, expected, tolerance):
    size = float(expected.abs().max())
    difference = float((actual.double() - expected.double()).abs().max()) / size
    assert difference < tolerance, f"{difference:.2e} of the largest logit"


def is_ours(published) -> bool:
    return family_of_config(load_config(str(published))) is not None


# The forward pass


def test_logits_are_those_of_the_reference(case, published, llm, ids):
    expected = case.reference(*read_checkpoint(published), ids)
    assert expected.dtype == torch.float64
    assert_close(logits_of(llm, ids), expected, case.tolerance)
    for name, value in case.expects.items():
        assert getattr(llm.config, name) == value


def test_a_row_after_a_long_row_is_not_changed_by_it(llm, ids):
    before = logits_of(llm, ids[:7])
    logits_of(llm, ids)
    torch.testing.assert_close(logits_of(llm, ids[:7]), before, rtol=0, atol=0)


@torch.no_grad()
def test_cached_generation_is_the_prefill(case, llm, ids):
    """Each token alone, with a cache, against the whole row; below what scaling begins at."""
    row = ids[: min(len(ids), 12)]
    whole = logits_of(llm, row)
    cache, steps = None, []
    for index in range(len(row)):
        out = llm(input_ids=row[None, index : index + 1], past_key_values=cache, use_cache=True)
        cache = out.past_key_values
        steps.append(out.logits[0, 0])
    assert_close(torch.stack(steps), whole, case.tolerance)


@torch.no_grad()
def test_left_padded_rows_answer_as_single_ones(llm, ids):
    short, long = ids[:5], ids[:11]
    settings = {"max_new_tokens": 4, "min_new_tokens": 4, "do_sample": False, "pad_token_id": 0}
    alone = [llm.generate(row[None], **settings)[0, len(row) :] for row in (short, long)]
    batch = torch.stack([torch.cat([torch.zeros(6, dtype=torch.long), short]), long])
    mask = torch.ones_like(batch)
    mask[0, :6] = 0
    together = llm.generate(batch, attention_mask=mask, **settings)[:, 11:]
    assert together.tolist() == [row.tolist() for row in alone]


@torch.no_grad()
def test_rows_that_begin_alike_answer_as_single_ones(llm, ids):
    """Four prompts in two slots, three of which share 8 tokens; each answer has its own length."""
    prompts = [ids[:9], ids[:12], torch.cat([ids[:8], ids[9:11]]), ids[3:8]]
    lengths = [4, 2, 5, 3]
    settings = {"do_sample": False, "use_cache": True, "pad_token_id": 0}
    alone = [
        llm.generate(prompt[None], max_new_tokens=most, **settings)[0].tolist()
        for prompt, most in zip(prompts, lengths, strict=True)
    ]
    end = llm.generation_config.eos_token_id
    ends = end if isinstance(end, list) else [end]
    new_answer = partial(Answer, tiny_tokenizer(), stop_ids=ends)
    rows = [
        Row(prompt.tolist(), new_answer, GenerationSettings(max_new_tokens=most))
        for prompt, most in zip(prompts, lengths, strict=True)
    ]
    write_answers(llm, rows, 0, slots=2)
    assert [row.ids for row in rows] == alone


# Training


def documents(case):
    return random_documents([5, 1, case.longest, 17, 2], vocab=case.vocab)


def test_packed_is_unpacked_loss_and_gradients(case, fresh):
    model = SupervisedFinetune(fresh, loss_chunk_size=7)
    assert (model.backbone.why_apart is None) == (case.packs == "row")
    rows = documents(case)
    batch = pack(rows)
    expected = plain_loss(model.llm, rows, batch.trained_tokens)
    parameters = [p for p in model.parameters() if p.requires_grad]
    expected_grads = torch.autograd.grad(expected, parameters, allow_unused=True)
    loss = model(batch, normalizer=batch.trained_tokens)["loss"]
    torch.testing.assert_close(loss, expected, rtol=1e-5, atol=1e-5)
    grads = torch.autograd.grad(loss, parameters, allow_unused=True)
    for grad, wanted in zip(grads, expected_grads, strict=True):
        if wanted is not None:
            torch.testing.assert_close(grad, wanted, rtol=1e-3, atol=2e-5)


def test_packed_is_unpacked_in_bf16_on_a_cpu(case, published):
    """Its kernels are others; a model is asked when it is built."""
    cfg = {"type": "CausalLM", "pretrained_model_name_or_path": str(published)}
    precision = choose_precision("cpu", "bf16")
    cfg = {"type": "SupervisedFinetune", "llm": cfg}
    model = build_model(cfg, device="cpu", precision=precision)  # a faulty one raises
    assert (model.backbone.why_apart is None) == (case.packs == "row")


def one_step(model, case):
    """Loss before and after one step of SGD on a pack, and the names of what has changed."""
    batch = pack(documents(case))
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    trained = [p for p in model.parameters() if p.requires_grad]
    loss = model(batch, normalizer=batch.trained_tokens)["loss"]
    loss.backward()
    size = sum(float(p.grad.square().sum()) for p in trained if p.grad is not None) ** 0.5
    with torch.no_grad():
        for parameter in trained:
            if parameter.grad is not None:
                parameter -= 0.02 * parameter.grad / size
        after = model(batch, normalizer=batch.trained_tokens)["loss"]
    changed = {n for n, p in model.named_parameters() if not torch.equal(p, before[n])}
    return float(loss), float(after), changed


def lora(**settings):
    from peft import LoraConfig

    return LoraConfig(r=4, lora_alpha=8, lora_dropout=0.0, **settings)


def test_full_step(case, fresh):
    before, after, changed = one_step(SupervisedFinetune(fresh), case)
    assert after < before
    assert len(changed) > 0.8 * len(list(fresh.parameters()))


@pytest.mark.parametrize("bits", [None, 4], ids=["lora", "qlora"])
def test_adapter_step(case, published, bits):
    quantization = {"bits": bits, "compute_dtype": "fp32"} if bits else None
    llm = load_model(str(published), dtype="fp32", quantization=quantization)
    model = SupervisedFinetune(llm, adapter=lora())
    landed = {
        name.split(".lora_A")[0].rpartition(".")[2]
        for name, _ in model.named_parameters()
        if ".lora_A" in name
    }
    assert landed == set(case.linears)
    before, after, changed = one_step(model, case)
    assert after < before
    assert changed
    assert all("lora_" in name for name in changed)


# Saving


def tuned_adapter(llm):
    """An adapter whose product is not zero."""
    generator = torch.Generator().manual_seed(5)
    tuned = attach_adapter(llm, lora())
    for name, parameter in tuned.named_parameters():
        if "lora_B" in name:
            parameter.data = torch.randn(parameter.shape, generator=generator) * 0.05
    return tuned.eval()


def test_adapter_saved_and_loaded_and_merged(case, published, fresh, ids, tmp_path):
    plain = logits_of(fresh, ids)
    tuned = tuned_adapter(fresh)
    with generation_mode(tuned):
        expected = logits_of(tuned, ids)
    assert float((expected - plain).abs().max()) > 1e-3
    tuned.save_pretrained(str(tmp_path / "adapter"))
    again = load_adapter(load_model(str(published), dtype="fp32"), tmp_path / "adapter").eval()
    torch.testing.assert_close(logits_of(again, ids), expected, rtol=1e-5, atol=1e-5)
    merged = merge_adapter(again)
    assert_close(logits_of(merged, ids), expected, 1e-5)
    tokenizer = load_tokenizer(str(published))
    for layout in ("transformers", "original") if is_ours(published) else (None,):
        if layout == "original" and "original_layout" in all_families()[case.family].unproven:
            continue
        folder = tmp_path / str(layout)
        write_model(folder, merged, tokenizer, {}, layout=layout)
        assert_close(logits_of(load_model(str(folder), dtype="fp32"), ids), expected, 1e-5)
        if layout != "transformers":  # what others make of the folder
            assert_close(case.reference(*read_checkpoint(folder), ids), expected, case.tolerance)


def test_original_layout_is_written_as_it_was_read(published, llm, tmp_path):
    if not is_ours(published):
        pytest.skip("transformers reads and writes this family's own layout")
    write_model(tmp_path / "out", llm, load_tokenizer(str(published)), {}, layout="original")
    config, weights = read_checkpoint(published)
    config_again, weights_again = read_checkpoint(tmp_path / "out")
    stored = {name: w for name, w in weights.items() if "inv_freq" not in name}
    assert weights_again.keys() == stored.keys()
    for name, weight in stored.items():
        torch.testing.assert_close(weights_again[name], weight, rtol=0, atol=0)
    unchanged = config.keys() - {"torch_dtype", "transformers_version"}
    assert {key: config_again.get(key) for key in unchanged} == {k: config[k] for k in unchanged}
    text = "Give three tips, 上海 🙂"
    ours, again = (load_tokenizer(str(f)) for f in (published, tmp_path / "out"))
    assert again(text)["input_ids"] == ours(text)["input_ids"]


def test_transformers_layout_needs_no_code_of_ours(published, llm, ids, tmp_path):
    from transformers import AutoModelForCausalLM

    if not is_ours(published):
        pytest.skip("transformers reads and writes this family's own layout")
    if "transformers" not in family_of_config(llm.config).layouts(llm.config):
        pytest.skip("no transformers architecture computes this; see the family's `layouts`")
    write_model(tmp_path / "out", llm, load_tokenizer(str(published)), {}, layout="transformers")
    plain = AutoModelForCausalLM.from_pretrained(tmp_path / "out", dtype=torch.float32)
    assert type(plain).__module__.startswith("transformers.")
    short = ids[:12]  # dynamic scaling beyond is a known difference of transformers'
    assert_close(logits_of(plain, short), logits_of(llm, short), 1e-5)


# Refusals


def damaged(published, folder, change):
    """A copy with its weights changed by `change(weights)`, as one safetensors file."""
    shutil.copytree(published, folder)
    _, weights = read_checkpoint(published, dtype=None)
    for file in (
        *folder.glob("*.safetensors"),
        *folder.glob("*.bin"),
        *folder.glob("*.index.json"),
    ):
        file.unlink()
    weights = {name: weight.contiguous() for name, weight in weights.items()}
    save_file(change(weights), folder / "model.safetensors", metadata={"format": "pt"})
    return str(folder)


def last_layer_weight(weights):
    """A matrix of the last layer: its name."""
    return max(name for name, w in weights.items() if w.ndim == 2 and ".1." in name)


def test_damaged_by_a_missing_weight(published, tmp_path):
    def change(weights):
        del weights[last_layer_weight(weights)]
        return weights

    with pytest.raises(ModelError, match=r"(?s)do not fit.*missing: "):
        load_model(damaged(published, tmp_path / "damaged", change), dtype="fp32")


def test_damaged_by_an_extra_weight(published, tmp_path):
    def change(weights):
        return weights | {"some.other.weight": torch.ones(3)}

    with pytest.raises(ModelError, match=r"(?s)do not fit.*extra: .*some\.other\.weight"):
        load_model(damaged(published, tmp_path / "damaged", change), dtype="fp32")


def test_damaged_by_a_misshapen_weight(published, tmp_path):
    def change(weights):
        name = last_layer_weight(weights)
        return weights | {name: weights[name][:, :-1].contiguous()}

    with pytest.raises(ModelError, match=r"(?s)do not fit.*should be"):
        load_model(damaged(published, tmp_path / "damaged", change), dtype="fp32")


def test_damaged_by_another_vocabulary(published, tmp_path):
    folder = shutil.copytree(published, tmp_path / "damaged")
    file = folder / "config.json"
    fields = json.loads(file.read_text())
    name = "vocab_size" if "vocab_size" in fields else "padded_vocab_size"
    file.write_text(json.dumps(fields | {name: fields[name] + 64}))
    with pytest.raises(ModelError, match=r"(?s)do not fit.*should be"):
        load_model(str(folder), dtype="fp32")


# The list of families is true


def test_every_proof_that_is_listed_is_a_test():
    here = [name for name in globals() if name.startswith("test_")]
    for proof in PROOFS:
        assert any(name.startswith(f"test_{proof}") for name in here), proof
    for family in all_families().values():
        assert family.unproven.keys() <= PROOFS.keys()


def test_every_family_has_a_case_and_every_case_a_family():
    assert {case.family for case in CASES.values()} == set(all_families())


def test_every_family_says_what_it_is():
    for name, family in all_families().items():
        assert family.title, name
        assert family.published, name
        assert family.model_types, name
        assert family.loaded_as, name
