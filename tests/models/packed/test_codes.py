"""Codes in words, against words written bit by bit."""

from __future__ import annotations

import pytest
import torch

from tests.packed_checkpoint import stream
from xtune.models.packed.codes import unpack, weights


@pytest.mark.parametrize("bits", [2, 3, 4, 8])
def test_codes_come_back_along_either_dimension(bits):
    generator = torch.Generator().manual_seed(bits)
    codes = torch.randint(0, 2**bits, (5, 64), generator=generator)
    words = torch.tensor([stream(row, bits) for row in codes.tolist()], dtype=torch.int32)
    assert words.shape == (5, 2 * bits)
    assert unpack(words, bits, 1).tolist() == codes.tolist()
    assert unpack(words.t().contiguous(), bits, 0).tolist() == codes.t().tolist()


def test_three_bits_go_on_over_the_end_of_a_word():
    # The eleventh code, 6, has its lowest two bits at the top of the first word
    codes = [0] * 10 + [6] + [0] * 10 + [5] + [0] * 10
    assert stream(codes, 3) == [-(2**31), 1 - 2**31, 2]
    assert unpack(torch.tensor([stream(codes, 3)], dtype=torch.int32), 3, 1)[0].tolist() == codes


def test_what_codes_stand_for():
    codes = torch.tensor([[0, 15], [8, 1], [3, 2], [7, 7]], dtype=torch.uint8)
    zeros = torch.tensor([[8, 1], [0, 16]], dtype=torch.uint8)
    scales = torch.tensor([[0.5, 2.0], [1.0, 0.25]], dtype=torch.float16)
    assert weights(codes, zeros, scales, None).tolist() == [
        [-4.0, 28.0],  # (0 - 8) / 2, (15 - 1) * 2
        [0.0, 0.0],
        [3.0, -3.5],  # 3 - 0, (2 - 16) / 4
        [7.0, -2.25],
    ]
    order = torch.tensor([1, 0, 0, 1])  # the first input is of the second group
    assert weights(codes, zeros, scales, order).tolist() == [
        [0.0, -0.25],
        [0.0, 0.0],
        [-2.5, 2.0],
        [7.0, -2.25],
    ]
    assert weights(codes, 8, scales, None)[0].tolist() == [-4.0, 14.0]
