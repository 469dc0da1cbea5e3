"""Names as CUDA reports them."""

import pytest

from xtune.models.peaks import peak_tflops


@pytest.mark.parametrize(
    ("name", "tflops"),
    [
        ("NVIDIA A100-SXM4-80GB", 312.0),
        ("NVIDIA A100 80GB PCIe", 312.0),
        ("NVIDIA H100 80GB HBM3", 989.4),
        ("NVIDIA H100 PCIe", 756.5),
        ("NVIDIA H200", 989.4),
        ("NVIDIA A10", 125.0),
        ("NVIDIA L40S", 362.1),
        ("NVIDIA GeForce RTX 4090", 165.2),
        ("NVIDIA GeForce RTX 3090", 71.0),
        ("NVIDIA GeForce RTX 3090 Ti", 80.0),
        ("NVIDIA RTX 6000 Ada Generation", 364.2),
        ("Tesla T4", 65.0),
        ("Tesla V100-SXM2-32GB", 125.0),
    ],
)
def test_known(name, tflops):
    assert peak_tflops(name) == tflops


@pytest.mark.parametrize(
    "name",
    [
        "NVIDIA H100 80GB HBM3 MIG 1g.10gb",  # a seventh of one
        "NVIDIA GeForce RTX 4090 Laptop GPU",
        "NVIDIA GeForce RTX 4080 SUPER",  # a card of its own, not in the table
        "Quadro RTX 6000",
        "NVIDIA A10G",
        "NVIDIA X1000",
        "",
    ],
)
def test_another_card_of_nearly_the_same_name_is_unknown(name):
    assert peak_tflops(name) is None
