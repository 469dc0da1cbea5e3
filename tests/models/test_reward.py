"""Reward models by hand: each text alone in plain transformers, and what is saved of them."""

from __future__ import annotations

import json
import math

import pytest
import torch
from peft import LoraConfig, PeftModel
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from tests.models.families.cases import internlm2
from tests.models.packs import pack, random_documents
from xtune.errors import AdapterError, ConfigError, DataError, ModelError
from xtune.export.export import write_adapter, write_model
from xtune.export.merge import export_model
from xtune.models import (
    RewardModel,
    generation_mode,
    load_adapter,
    load_model,
    load_tokenizer,
)
from xtune.models.algorithms.alarms import RewardAlarms
from xtune.models.build import build_model
from xtune.models.scores import scores_of, scores_of_rows
from xtune.models.sequence_classifier import load_classifier
from xtune.registry import REWARD_LOSSES, build

LENGTHS = [9, 4, 6, 7, 5, 11]
LORA = {"r": 4, "target_modules": ["q_proj", "v_proj", "down_proj"]}
END, PAD = 2, 0  # of the tiny tokenizer: its own padding is its end token
NOTES = {"stop_words": ["<|im_end|>"]}


def algorithm(folder, loss="bradley_terry", *, lora=None, seed=0, **settings):
    torch.manual_seed(seed)
    made = build(REWARD_LOSSES, {"type": loss} if isinstance(loss, str) else loss)
    adapter = None if lora is None else LoraConfig(**lora)
    llm = load_classifier(str(folder), dtype="fp32")
    return RewardModel(llm, loss=made, adapter=adapter, **settings)


def documents_of(lengths=LENGTHS, seed=0):
    """Documents that end in the end token, and have one in their prompts too."""
    made = random_documents(lengths, seed=seed)
    for ids, labels in made:
        ids[1] = ids[-1] = END
        labels[:-1], labels[-1] = ids[1:], -100
        labels[: len(ids) // 2] = -100
    return made


def batch_of(documents, sides, **vectors):
    batch = pack(documents)
    batch.per_document["side"] = torch.tensor(sides)
    for name, values in vectors.items():
        batch.per_document[name] = torch.tensor(values)
    return batch


def moved(model, by=0.3):
    """The model after some steps."""
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter += by * torch.randn(parameter.shape, generator=generator)
    return model


@torch.no_grad()
def scores_by_hand(model, documents):
    """The score at every token, each document alone with transformers' own attention: float64."""
    found = []
    with generation_mode(model.llm):
        base = model.backbone.base
        weight = model.backbone.head.module.weight[0].double()
        for ids, _ in documents:
            hidden = base.base_model(ids[None], use_cache=False).last_hidden_state[0]
            found.append(hidden.double() @ weight)
    return found


def plain_scores(llm, documents):
    return [llm(input_ids=ids[None]).logits.item() for ids, _ in documents]


def padded(documents, side, fill):
    """Rows of one length, and their mask."""
    length = max(len(ids) for ids, _ in documents)
    rows = torch.full((len(documents), length), fill)
    mask = torch.zeros_like(rows)
    for row, (ids, _) in enumerate(documents):
        place = slice(length - len(ids), None) if side == "left" else slice(0, len(ids))
        rows[row, place], mask[row, place] = ids, 1
    return rows, mask


def test_scores_are_the_same_alone_packed_and_padded_on_either_side(tiny_llama):
    model = moved(algorithm(tiny_llama, lora=LORA))
    documents = documents_of()
    by_hand = scores_by_hand(model, documents)
    batch = batch_of(documents, [0, 1] * 3)
    packed = scores_of(model.backbone, batch)
    assert packed.scores.shape == (1, sum(LENGTHS), 1)
    assert packed.end_scores.shape == (len(LENGTHS), 1)
    assert packed.end_index.tolist() == [8, 12, 18, 25, 30, 41]
    torch.testing.assert_close(
        packed.scores[0, :, 0].double(), torch.cat(by_hand), rtol=1e-5, atol=1e-5
    )
    ends = torch.stack([scores[-1] for scores in by_hand])
    torch.testing.assert_close(packed.end_scores[:, 0].double(), ends, rtol=1e-5, atol=1e-5)
    for side in ("left", "right"):
        for fill in (PAD, END):  # what padding is, the mask says
            rows, mask = padded(documents, side, fill)
            found = scores_of_rows(model.backbone, rows, mask)
            assert found.scores.shape == (*rows.shape, 1)
            torch.testing.assert_close(found.end_scores, packed.end_scores, rtol=1e-5, atol=1e-5)
            assert rows.gather(1, found.end_index[:, None])[:, 0].tolist() == [END] * 6
            assert found.scores[mask == 0].abs().sum() == 0


def test_a_mask_with_a_hole_or_an_empty_row_is_refused(tiny_llama):
    backbone = algorithm(tiny_llama).backbone
    for mask in ([[1, 0, 1]], [[0, 0, 0]]):
        with pytest.raises(DataError, match="1 from a row's first token to its last"):
            scores_of_rows(backbone, torch.ones(1, 3, dtype=torch.long), torch.tensor(mask))


def test_the_head_begins_as_it_should_and_stays_fp32(tiny_llama):
    heads = []
    for seed in range(40):
        torch.manual_seed(seed)
        heads.append(load_classifier(str(tiny_llama), dtype="bf16").score.weight)
    weights = torch.cat(heads)
    assert weights.shape == (40, 32)
    assert weights.dtype == torch.float32
    assert weights.std().item() == pytest.approx(1 / math.sqrt(33), rel=0.1)
    llm = load_classifier(str(tiny_llama), dtype="bf16")
    assert llm.dtype == torch.bfloat16
    with torch.autocast("cpu", dtype=torch.bfloat16):
        out = llm.score(torch.randn(3, 32, dtype=torch.bfloat16))
    assert out.dtype == torch.float32


def test_a_step_is_the_mean_over_prompts_of_all_pairs_of_their_answers(tiny_llama):
    model = moved(algorithm(tiny_llama, {"type": "bradley_terry", "margin_weight": 0.5}, l2=0.1))
    documents = documents_of()
    # a pair, then four ranked answers of which the last two are equally good
    worth = [2.0, 0.0, 7.0, 5.0, 1.0, 1.0]
    batch = batch_of(documents, [0, 1, 0, 1, 2, 3], rank=[-1, -1, 0, 1, 2, 2], score=worth)
    r = [scores[-1].item() for scores in scores_by_hand(model, documents)]

    def loss(w, l):  # noqa: E741
        margin = 0.5 * (worth[w] - worth[l])
        return math.log1p(math.exp(-(r[w] - r[l] - margin))) + 0.1 * (r[w] ** 2 + r[l] ** 2) / 2

    pairs = [(2, 3), (2, 4), (2, 5), (3, 4), (3, 5)]
    expected = (loss(0, 1) + sum(loss(*pair) for pair in pairs) / 5) / 2
    assert model.weight(batch) == 2
    found = model.summary({k: v.item() for k, v in model(batch, normalizer=2).items()})
    assert found["loss"] == pytest.approx(expected, rel=1e-5)
    right = (float(r[0] > r[1]) + sum(r[a] > r[b] for a, b in pairs) / 5) / 2
    assert found["reward_accuracy"] == pytest.approx(right)
    # each prompt counts once, and its answers alike
    share = torch.tensor([1 / 4, 1 / 4, 1 / 8, 1 / 8, 1 / 8, 1 / 8], dtype=torch.float64)
    scores = torch.tensor(r, dtype=torch.float64)
    lengths = torch.tensor([float((labels != -100).sum()) for _, labels in documents]).double()

    def mean(x):
        return (x * share).sum()

    centred, long = scores - mean(scores), lengths - mean(lengths)
    assert found["score_mean"] == pytest.approx(mean(scores).item(), rel=1e-4)
    assert found["score_std"] == pytest.approx(mean(centred**2).sqrt().item(), rel=1e-4)
    together = mean(centred * long) / (mean(centred**2) * mean(long**2)).sqrt()
    assert found["length_correlation"] == pytest.approx(together.item(), rel=1e-3)
    assert not {"score_square", "score_length"} & found.keys()


def test_read_as_a_mean_a_score_is_that_of_the_answers_tokens(tiny_llama):
    model = moved(algorithm(tiny_llama, reading="token_mean"))
    documents = documents_of()
    found = model(batch_of(documents, [0, 1] * 3), normalizer=3)
    r = [
        scores[1:][labels[:-1] != -100].mean().item()
        for scores, (_, labels) in zip(scores_by_hand(model, documents), documents, strict=True)
    ]
    expected = [math.log1p(math.exp(r[at + 1] - r[at])) for at in (0, 2, 4)]
    assert found["loss"].item() == pytest.approx(sum(expected) / 3, rel=1e-5)


def test_tokens_are_compared_from_the_first_that_differs_to_the_earlier_end(tiny_llama):
    model = moved(algorithm(tiny_llama, "token_aligned", reading="token_mean"))
    documents = documents_of()
    for one, other, same in ((0, 1, 2), (2, 3, 4)):  # a common prompt of 2 and 4 tokens
        documents[other][0][:same] = documents[one][0][:same]
    documents[5] = (documents[4][0].clone(), documents[4][1].clone())  # the same twice
    found = model(batch_of(documents, [0, 1] * 3), normalizer=3)
    scores = scores_by_hand(model, documents)

    def loss(w, l, first, end):  # noqa: E741
        apart = [(scores[w][t] - scores[l][t]).item() for t in range(first, end + 1)]
        return sum(math.log1p(math.exp(-x)) for x in apart) / len(apart)

    assert documents[0][0][2] != documents[1][0][2]
    assert documents[2][0][4] != documents[3][0][4]
    expected = (loss(0, 1, 2, 3) + loss(2, 3, 4, 5) + 0.0) / 3
    assert found["loss"].item() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(
    ("loss", "settings"),
    [
        ("bradley_terry", {"centre": 0.01, "log_barrier": 0.02}),
        ("focal", {"reading": "token_mean"}),
        ("token_aligned", {"reading": "token_mean"}),
        ("safe_rlhf_cost", {"l2": 0.001}),
    ],
)
def test_a_prompt_counts_the_same_in_any_split(tiny_llama, loss, settings):
    model = moved(algorithm(tiny_llama, loss, lora=LORA, **settings))
    documents = documents_of([9, 4, 6, 7, 5, 11, 8, 8], seed=4)
    sides, safe = [0, 1, 0, 1, 2, 0, 1, 0], [1.0, -1, 1, 1, -1, -1, 0, 0]
    bounds = [0, 2, 5, 7]

    def batch(start, end):
        vectors = {"safe": safe[start:end]} if loss == "safe_rlhf_cost" else {}
        return batch_of(documents[start:end], sides[start:end], **vectors)

    def step(*batches):
        model.zero_grad()
        outputs = [model(one, normalizer=3) for one in batches]
        sum(out["loss"] for out in outputs).backward()
        grads = [p.grad.clone() for p in model.parameters() if p.requires_grad]
        return {name: sum(o[name].item() for o in outputs) for name in outputs[0]}, grads

    whole, gradients = step(batch(0, 7))
    alone, split = step(*(batch(*both) for both in zip(bounds, bounds[1:], strict=False)))
    uneven, parts = step(batch(0, 5), batch(5, 7))
    assert alone == pytest.approx(whole, rel=1e-4, abs=1e-6)
    assert uneven == pytest.approx(whole, rel=1e-4, abs=1e-6)
    for one, other, third in zip(gradients, split, parts, strict=True):
        torch.testing.assert_close(other, one, rtol=1e-3, atol=1e-6)
        torch.testing.assert_close(third, one, rtol=1e-3, atol=1e-6)


def test_a_soft_label_moves_the_loss(tiny_llama):
    model = moved(algorithm(tiny_llama))
    documents = documents_of()
    r = [scores[-1].item() for scores in scores_by_hand(model, documents)]
    soft = [0.7, 0.7, 0.5, 0.5, 1.0, 1.0]
    found = model(batch_of(documents, [0, 1] * 3, soft_label=soft), normalizer=3)

    def loss(at):
        q, apart = soft[at], r[at] - r[at + 1]
        return q * math.log1p(math.exp(-apart)) + (1 - q) * math.log1p(math.exp(apart))

    assert found["loss"].item() == pytest.approx(sum(map(loss, (0, 2, 4))) / 3, rel=1e-5)


def test_a_margin_that_the_data_have_not_is_asked_for(tiny_llama):
    model = algorithm(tiny_llama, {"type": "bradley_terry", "margin_weight": 1.0})
    with pytest.raises(DataError, match=r"asks for per_document\['score'\]"):
        model(batch_of(documents_of(), [0, 1] * 3), normalizer=3)


def test_nothing_of_a_filler_counts_and_all_gets_a_gradient(tiny_llama):
    model = moved(algorithm(tiny_llama, lora=LORA))
    batch = batch_of(documents_of(), [0, 1] * 3)
    batch.is_filler = True
    found = model(batch, normalizer=3)
    found["loss"].backward()
    assert {name: value.item() for name, value in found.items()} == dict.fromkeys(found, 0.0)
    assert all(p.grad is not None for p in model.parameters() if p.requires_grad)
    assert not any(p.grad.any() for p in model.parameters() if p.requires_grad)


def test_it_learns_which_answer_is_better_and_not_the_inverse(tiny_llama):
    """Answers with more of one token are better."""
    model = algorithm(tiny_llama)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)

    def batch(seed):
        documents = documents_of([8] * 16, seed=seed)
        for number, (ids, _) in enumerate(documents):
            ids[4:7] = torch.tensor([50, 50, 50] if number % 2 == 0 else [60, 50, 60])
        return batch_of(documents, [0, 1] * 8)

    for step in range(15):
        optimizer.zero_grad()
        model(batch(step), normalizer=8)["loss"].backward()
        optimizer.step()
    assert model(batch(99), normalizer=8)["reward_accuracy"].item() > 0.9


def test_plain_transformers_gives_a_saved_model_the_same_scores(tiny_llama, tmp_path):
    model = moved(algorithm(tiny_llama))
    documents = documents_of()
    ours = scores_of(model.backbone, batch_of(documents, [0, 1] * 3)).end_scores[:, 0]
    tokenizer = load_tokenizer(str(tiny_llama))
    assert tokenizer.pad_token_id == END
    write_model(tmp_path / "reward", model.llm, tokenizer, NOTES | model.notes())
    assert tokenizer.pad_token_id == END
    assert not (tmp_path / "reward" / "generation_config.json").exists()
    fields = json.loads((tmp_path / "reward" / "config.json").read_text())
    assert fields["architectures"] == ["LlamaForSequenceClassification"]
    assert fields["pad_token_id"] == PAD
    notes = json.loads((tmp_path / "reward" / "xtune.json").read_text())
    assert notes["reward"] == {"kind": "reward", "reading": "end", "shift": 0.0}
    llm = AutoModelForSequenceClassification.from_pretrained(tmp_path / "reward")
    own = AutoTokenizer.from_pretrained(tmp_path / "reward")
    assert own.pad_token_id == PAD
    assert own.eos_token_id == END
    with torch.no_grad():
        assert plain_scores(llm, documents) == pytest.approx(ours.tolist(), rel=1e-4, abs=1e-5)
        for side in ("left", "right"):
            rows, mask = padded(documents, side, own.pad_token_id)
            found = llm(input_ids=rows, attention_mask=mask).logits[:, 0]
            assert found.tolist() == pytest.approx(ours.tolist(), rel=1e-4, abs=1e-5)
    again = RewardModel(
        load_classifier(str(tmp_path / "reward"), dtype="fp32"),
        loss=build(REWARD_LOSSES, {"type": "bradley_terry"}),
    )
    assert torch.equal(
        scores_of(again.backbone, batch_of(documents, [0, 1] * 3)).end_scores[:, 0], ours
    )


def test_peft_gives_a_saved_adapter_the_same_scores_and_export_merges_it(untied_llama, tmp_path):
    from peft import get_peft_model_state_dict

    model = moved(algorithm(untied_llama, lora=LORA))
    documents = documents_of()
    ours = scores_of(model.backbone, batch_of(documents, [0, 1] * 3)).end_scores[:, 0].tolist()
    weights = get_peft_model_state_dict(model.llm, save_embedding_layers=False)
    notes = NOTES | model.notes() | {"base_model": str(untied_llama)}
    folder = tmp_path / "adapter"
    write_adapter(folder, model.llm, weights, load_tokenizer(str(untied_llama)), notes)
    settings = json.loads((folder / "adapter_config.json").read_text())
    assert settings["task_type"] == "SEQ_CLS"
    assert settings["modules_to_save"] == ["score"]
    base = AutoModelForSequenceClassification.from_pretrained(untied_llama, num_labels=1)
    plain = PeftModel.from_pretrained(base, str(folder)).eval()
    with torch.no_grad():
        # the base pads with its end token, so that transformers reads a token early
        assert plain_scores(plain, documents)[0] != pytest.approx(ours[0], abs=1e-2)
        plain.config.pad_token_id = AutoTokenizer.from_pretrained(folder).pad_token_id
        assert plain_scores(plain, documents) == pytest.approx(ours, rel=1e-4, abs=1e-5)
    exported = export_model(str(untied_llama), tmp_path / "out", adapter=folder, notes=notes)
    assert exported.scores
    merged = AutoModelForSequenceClassification.from_pretrained(tmp_path / "out")
    assert merged.config.pad_token_id == PAD
    with torch.no_grad():
        assert plain_scores(merged, documents) == pytest.approx(ours, rel=1e-4, abs=1e-5)
    further = load_adapter(load_classifier(str(untied_llama), dtype="fp32"), folder)
    assert further.active_peft_config.modules_to_save == ["score"]
    with pytest.raises(AdapterError, match="is a reward model's.*xtune score"):
        load_adapter(load_model(str(untied_llama), dtype="fp32"), folder)
    with pytest.raises(ModelError, match="is a reward model .*: xtune score"):
        load_model(str(tmp_path / "out"))


def test_a_language_models_adapter_has_no_score(tiny_llama, tmp_path):
    from xtune.models import attach_adapter

    tuned = attach_adapter(load_model(str(tiny_llama), dtype="fp32"), LoraConfig(**LORA))
    tuned.save_pretrained(str(tmp_path))
    with pytest.raises(AdapterError, match="no head that scores. Merge it"):
        load_adapter(load_classifier(str(tiny_llama), dtype="fp32"), tmp_path)


def test_on_4_bit_layers_the_head_is_not_quantized(tiny_llama):
    model = build_model(
        {
            "type": "RewardModel",
            "loss": {"type": "bradley_terry"},
            "llm": {
                "type": "SequenceClassifier",
                "pretrained_model_name_or_path": str(tiny_llama),
                "quantization": {"bits": 4},
            },
            "adapter": {"type": "LoraConfig", "r": 2},
        }
    )
    head = model.backbone.head.module
    assert head.weight.dtype == torch.float32
    assert head.weight.shape == (1, 32)
    trained = {name.split(".")[-2] for name, p in model.named_parameters() if p.requires_grad}
    assert trained == {"default"}
    model(batch_of(documents_of(), [0, 1] * 3), normalizer=3)["loss"].backward()
    assert head.weight.grad.abs().sum() > 0
    assert not any("score" in name and "lora" in name for name, _ in model.named_parameters())


def test_what_does_not_go_together_is_refused(tiny_llama, tmp_path):
    with pytest.raises(ConfigError, match="token_mean"):
        algorithm(tiny_llama, "token_aligned")
    with pytest.raises(ConfigError, match="centre would move it"):
        algorithm(tiny_llama, "safe_rlhf_cost", centre=0.01)
    with pytest.raises(ConfigError, match="reading is 'last'; it is one of: end, token_mean"):
        algorithm(tiny_llama, reading="last")
    with pytest.raises(ConfigError, match="l2 is -1"):
        algorithm(tiny_llama, l2=-1)
    with pytest.raises(ModelError, match="code of its own.* Take a model of another family"):
        load_classifier("baichuan-inc/Baichuan-13B-Base", device="meta")
    causal = {"type": "CausalLM", "pretrained_model_name_or_path": str(tiny_llama)}
    scoring = causal | {"type": "SequenceClassifier"}
    with pytest.raises(ConfigError, match="set model.llm.type='SequenceClassifier'"):
        build_model({"type": "RewardModel", "loss": {"type": "focal"}, "llm": causal})
    with pytest.raises(ConfigError, match="set model.llm.type='CausalLM'"):
        build_model({"type": "SupervisedFinetune", "llm": scoring})


def test_internlm2_takes_a_head_in_its_own_layout_and_in_that_of_transformers(tmp_path):
    published = internlm2.write(tmp_path / "internlm2", internlm2.CONFIG)
    export_model(str(published), tmp_path / "plain", adapter=None, notes={})
    own = load_classifier(str(published), dtype="fp32")
    plain = load_classifier(str(tmp_path / "plain"), dtype="fp32")
    assert type(own) is type(plain)
    assert own.score.weight.shape == plain.score.weight.shape
    theirs = dict(plain.model.named_parameters())
    assert theirs.keys() == dict(own.model.named_parameters()).keys()
    for name, weight in own.model.named_parameters():
        assert torch.equal(weight.bfloat16(), theirs[name].bfloat16()), name  # as it may be saved
    own.save_pretrained(tmp_path / "saved")
    again = load_classifier(str(tmp_path / "saved"), dtype="fp32")
    assert torch.equal(again.score.weight, own.score.weight)


def test_it_says_what_goes_wrong_once():
    alarms = RewardAlarms()
    said = []
    for step in range(70):
        metrics = {"reward_accuracy": 0.4, "length_correlation": 0.9 if step > 10 else 0.1}
        said += alarms.look(metrics)
    assert [line.split(":")[0][:30] for line in said] == [
        "scores and lengths of answers ",
        "after 50 steps the better answ",
    ]
    assert "in 40% of the last pairs" in said[1]
    assert not list(RewardAlarms().look({"reward_accuracy": 1.0, "length_correlation": 0.9}))
