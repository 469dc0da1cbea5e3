"""Pruning: the surgeon's update by hand, exact shares, 2:4, and smallest weights as the rival."""

from __future__ import annotations

import json

import pytest
import torch

from tests.allocations import bytes_of, peak_of
from tests.tiny import write_tiny_llama
from xtune.cli.entry import main
from xtune.errors import ModelError, UsageError
from xtune.export.int4.calibrate import change_alone, change_by_rows, linears_of
from xtune.export.int4.columns import changed_by
from xtune.export.int4.sparse import by_size, parse_sparsity, sparse_gpt
from xtune.export.proof.dialogues import all_dialogues
from xtune.export.pruned_folder import density_of, export_pruned
from xtune.generation.generate import prompt_ids
from xtune.models import load_model, load_tokenizer


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    return write_tiny_llama(tmp_path_factory.mktemp("sparse") / "base", width=64, tied=False)


def rows(count=24, length=48, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(3, 120, (count, length), generator=generator).tolist()


def inputs_and_weight(outputs=32, width=256):
    generator = torch.Generator().manual_seed(0)
    mixed = torch.eye(width) + torch.randn(width, width, generator=generator) / width**0.5
    inputs = torch.randn(600, width, generator=generator) @ mixed  # columns that hang together
    return inputs, torch.randn(outputs, width, generator=generator)


class Masked:
    """A rule that leaves out what a mask says."""

    block = 3  # so that the last block is not whole

    def __init__(self, mask):
        self.mask, self.begin = mask, -self.block

    def enter(self, columns, importance, spread):
        self.begin += self.block

    def become(self, columns, at):
        return columns[:, 0] * ~self.mask[:, self.begin + at]


def test_the_update_is_the_brain_surgeons_in_float64():
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(20, 5, generator=generator, dtype=torch.float64)
    weight = torch.randn(2, 5, generator=generator, dtype=torch.float64)
    mask = torch.tensor([[True, False, True, False, False], [False, True, True, True, False]])
    hessian = 2 * x.T @ x
    found = changed_by(Masked(mask), weight, hessian.clone())

    hessian += 0.01 * hessian.diagonal().mean() * torch.eye(5, dtype=torch.float64)
    expected = weight.clone()
    for row in range(2):
        for at in range(5):
            if not mask[row, at]:
                continue
            inverse = torch.linalg.inv(hessian[at:, at:])  # of the columns that may still change
            step = expected[row, at] / inverse[0, 0]
            expected[row, at:] -= step * inverse[0]
    assert torch.allclose(found, expected, rtol=0, atol=1e-12)
    assert (found == 0).tolist() == mask.tolist()


def test_what_is_left_is_the_least_squares_answer_where_the_zeros_come_first():
    generator = torch.Generator().manual_seed(2)
    x = torch.randn(20, 6, generator=generator, dtype=torch.float64)
    weight = torch.randn(3, 6, generator=generator, dtype=torch.float64)
    mask = torch.tensor([[True, True, False, False, False, False]]).expand(3, 6)
    hessian = 2 * x.T @ x
    found = changed_by(Masked(mask), weight, hessian.clone())
    hessian += 0.01 * hessian.diagonal().mean() * torch.eye(6, dtype=torch.float64)
    moved = torch.linalg.solve(hessian[2:, 2:], hessian[2:, :2] @ weight[:, :2].T).T
    assert torch.allclose(found[:, 2:], weight[:, 2:] + moved, rtol=0, atol=1e-12)


def test_what_is_missed_least_is_what_the_inverse_says():
    # One row, three columns; H is not diagonal, so that sizes alone would choose otherwise
    hessian = torch.tensor([[4.0, 0.0, 0.0], [0.0, 4.0, 3.9], [0.0, 3.9, 4.0]]).double()
    weight = torch.tensor([[0.5, 0.9, 0.8]], dtype=torch.float64)
    damped = hessian + 0.04 * torch.eye(3, dtype=torch.float64)
    missed = [
        float(weight[0, at] ** 2 / torch.linalg.inv(damped[at:, at:])[0, 0]) for at in range(3)
    ]
    assert min(range(3), key=missed.__getitem__) == 1  # the third makes up for it
    found = sparse_gpt(weight, hessian.clone(), 1 / 3)
    assert (found == 0).tolist() == [[False, True, False]]
    assert (by_size(weight, 1 / 3) == 0).tolist() == [[True, False, False]]


@pytest.mark.parametrize(
    ("sparsity", "of_its_error"), [(0.25, 0.8), (0.5, 0.85), (0.9, 0.99), ("2:4", 0.8)]
)
def test_the_share_is_exact_and_the_outputs_change_less_than_without_the_smallest(
    sparsity, of_its_error
):
    inputs, weight = inputs_and_weight()
    hessian = 2 * inputs.T @ inputs
    ours, plain = sparse_gpt(weight, hessian.clone(), sparsity), by_size(weight, sparsity)
    share = 0.5 if sparsity == "2:4" else sparsity
    for made in (ours, plain):
        assert int((made == 0).sum()) == round(share * weight.numel())
    if sparsity == "2:4":
        for made in (ours, plain):
            assert ((made.reshape(32, 64, 4) == 0).sum(-1) == 2).all()
    errors = [float(((made - weight) @ inputs.T).norm()) for made in (ours, plain)]
    assert errors[0] < of_its_error * errors[1]
    assert torch.equal(plain[plain != 0], weight[plain != 0])


def test_a_calibrated_model_comes_nearer_than_one_without_its_smallest_weights(base):
    llm = load_model(str(base), dtype="fp32")
    linears = linears_of(llm)
    held_out = torch.tensor(rows(4, seed=1))

    def logits():
        with torch.no_grad():
            return llm(input_ids=held_out, use_cache=False).logits

    whole = logits()
    before = change_alone(linears, lambda weight: by_size(weight, 0.5))
    by_sizes = float((logits() - whole).norm())
    for name, weight in before.items():
        linears[name].weight.data = weight
    change_by_rows(
        llm, linears, rows(), lambda _, weight, hessian: sparse_gpt(weight, hessian, 0.5)
    )
    assert float((logits() - whole).norm()) < by_sizes
    assert density_of(linears) == {"model.layers.0": 0.5, "model.layers.1": 0.5}
    assert llm.lm_head.weight.count_nonzero() == llm.lm_head.weight.numel()


def test_one_layer_and_the_inputs_are_held(tmp_path):
    """Six layers take what two take, but for what is said once of a layer's call."""
    peaks = []
    given = rows(8)
    for layers in (2, 6):
        folder = write_tiny_llama(tmp_path / str(layers), width=64, layers=layers)
        llm = load_model(str(folder), dtype="fp32")
        linears = linears_of(llm)

        def run(llm=llm, linears=linears):
            change_by_rows(llm, linears, given, lambda _, w, hessian: sparse_gpt(w, hessian, 0.5))

        own = bytes_of(llm.parameters())
        peaks.append(peak_of(run, own) - own)
    hessians = 4 * (6 * 64**2 + 128**2)
    hidden = 4 * 8 * 48 * 64
    assert peaks[1] < 1.02 * peaks[0]
    # besides: work on one Hessian, a block's errors, a pass of one text
    assert peaks[1] < 2 * hessians + 2 * hidden + 4 * 48 * 384 * 2


def test_a_folder_is_written_with_its_densities(base, tmp_path):
    out, tokenizer = tmp_path / "out", load_tokenizer(str(base))
    texts = [dialogue.messages for dialogue in all_dialogues([], has_tools=False)]
    given = [prompt_ids(tokenizer, messages) for messages in texts]
    written = export_pruned(
        str(base), out, adapter=None, notes={}, rows=given, sparsity=0.1, dtype="fp32"
    )
    assert written.calibrated.kl_mean < written.by_size.kl_mean
    assert written.density["model.layers.1"] == pytest.approx(0.9, abs=1e-4)
    table = (out / "PARITY.md").read_text()
    assert f"0.1 of 14 linear layers is zero, by SparseGPT on {len(given)} rows" in table
    assert "model.layers.1: 90.00% of the weights are left" in table
    linears = linears_of(load_model(str(out), dtype="fp32"))
    assert density_of(linears) == written.density
    assert "quantization_config" not in json.loads((out / "config.json").read_text())


def test_what_is_refused(base, tmp_path, capsys):
    assert parse_sparsity("2:4") == "2:4"
    for text in ("0", "1", "half", "4:8"):
        with pytest.raises(UsageError, match="give the share of weights that become zero"):
            parse_sparsity(text)
    odd = write_tiny_llama(tmp_path / "odd", width=48, intermediate_size=66)
    with pytest.raises(ModelError, match="down_proj is 66 wide, which is no multiple of 4"):
        export_pruned(
            str(odd), tmp_path / "out", adapter=None, notes={}, rows=rows(), sparsity="2:4"
        )
    assert not (tmp_path / "out").exists()
    assert main(["export", str(base), str(tmp_path / "out"), "--sparsity", "0.5"]) == 2
    assert "--sparsity belongs to --format pruned" in capsys.readouterr().err
