"""What the benchmarks compare, and what disqualifies a contender."""

from __future__ import annotations

import torch
from common import Run, digest
from growth import Line
from sft_cpu import _gates, _wrong_documents
from watch import recording

DOCUMENTS = [([5, 6, 7], [-100, 6, 7]), ([8, 9], [-100, 9])]
DIGESTS = [digest(ids, labels) for ids, labels in DOCUMENTS]


def noted(batch) -> Run:
    run = Run()
    recording(lambda _: batch, run)([])
    return run


def test_documents_are_read_back_from_padded_rows():
    batch = {
        "input_ids": torch.tensor([[5, 6, 7], [8, 9, 0]]),
        "labels": torch.tensor([[-100, 6, 7], [-100, 9, -100]]),
        "attention_mask": torch.tensor([[1, 1, 1], [1, 1, 0]]),
    }
    run = noted(batch)
    assert run.documents == DIGESTS
    assert (run.tokens, run.trained) == ([5], [3])


def test_documents_are_read_back_from_a_padding_free_row():
    batch = {
        "input_ids": torch.tensor([[5, 6, 7, 8, 9]]),
        "labels": torch.tensor([[-100, 6, 7, -100, 9]]),
        "position_ids": torch.tensor([[0, 1, 2, 0, 1]]),
    }
    assert noted(batch).documents == DIGESTS


def test_documents_are_read_back_from_what_a_mask_of_blocks_lets_see():
    seen = torch.block_diag(torch.ones(3, 3).tril(), torch.ones(2, 2).tril(), torch.zeros(1, 1))
    batch = {
        "input_ids": torch.tensor([[5, 6, 7, 8, 9, 0]]),
        "labels": torch.tensor([[-100, 6, 7, -100, 9, -100]]),
        "attention_mask": ((1 - seen) * torch.finfo(torch.float32).min)[None, None],
    }
    assert noted(batch).documents == DIGESTS
    # one document that sees another is another document
    batch["attention_mask"][0, 0, 3:5, :3] = 0
    assert noted(batch).documents == [digest([5, 6, 7, 8, 9], [-100, 6, 7, -100, 9])]


def test_a_first_label_does_not_count_and_any_other_does():
    ids, labels = DOCUMENTS[0]
    assert digest(ids, [5, *labels[1:]]) == digest(ids, labels)
    assert digest(ids, [-100, -100, 7]) != digest(ids, labels)


def test_other_documents_disqualify():
    task = {"digests": DIGESTS, "trained": 3}
    assert _wrong_documents({"documents": DIGESTS[::-1], "trained": [1, 2]}, task) == []
    assert _wrong_documents({"documents": DIGESTS[:1] * 2, "trained": [3]}, task) == [
        "other documents"
    ]
    assert _wrong_documents({"documents": DIGESTS, "trained": [4]}, task) == [
        "4 trained tokens, not 3"
    ]


def test_other_losses_and_parameters_disqualify():
    reference = {"trainable": 10, "losses": [2.0, 1.0]}
    assert _gates({"trainable": 10, "losses": [2.00009, 1.009]}, reference, "fp32") == []
    assert _gates({"trainable": 10, "losses": [2.009, 1.0]}, reference, "bf16") == []
    for wrong in (
        {"trainable": 11, "losses": [2.0, 1.0]},
        {"trainable": 10, "losses": [2.0002, 1.0]},
        {"trainable": 10, "losses": [2.0, 1.02]},
        {"trainable": 10, "losses": [2.0, 1.0, 1.0]},
    ):
        assert len(_gates(wrong, reference, "fp32")) == 1


def test_the_exponent_of_a_line():
    sizes = (1, 2, 5, 9)
    square = Line("", "", "", {n: 3 * n**2 for n in sizes}, "")
    assert abs(square.exponent - 2) < 1e-9
    assert abs(Line("", "", "", dict.fromkeys(sizes, 4.0), "").exponent) < 1e-9
