"""Which number formats are chosen where."""

from __future__ import annotations

import pytest
import torch

from xtune.errors import ConfigError
from xtune.models import choose_precision
from xtune.models import precision as module


@pytest.fixture(autouse=True)
def nothing_is_known_of_this_cpu():
    """Each test asks anew, and leaves nothing that it has set to those after it."""
    module._probe_cpu.cache_clear()
    yield
    module._probe_cpu.cache_clear()


def with_cpu(monkeypatch, *, gain, **abilities):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: abilities)
    seconds = {torch.float32: gain, torch.bfloat16: 1.0}
    monkeypatch.setattr(module, "_seconds_of_product", seconds.__getitem__)


def test_a_cpu_without_bf16_computes_in_fp32_without_being_timed(monkeypatch):
    with_cpu(monkeypatch, gain=100.0, avx2=True)
    chosen = choose_precision("cpu")
    assert chosen.compute_dtype == chosen.weight_dtype == torch.float32
    assert not chosen.autocast
    assert not chosen.loss_scaling
    assert "neither AMX nor AVX512-bf16" in chosen.reason


@pytest.mark.parametrize("ability", ["amx_bf16", "avx512_bf16"])
@pytest.mark.parametrize(("gain", "dtype"), [(5.0, torch.bfloat16), (1.1, torch.float32)])
def test_a_cpu_with_bf16_is_timed(monkeypatch, ability, gain, dtype):
    with_cpu(monkeypatch, gain=gain, **{ability: True})
    chosen = choose_precision("cpu")
    assert chosen.compute_dtype == dtype
    assert chosen.autocast == (dtype == torch.bfloat16)


@pytest.mark.parametrize(("gain", "rounds"), [(5.0, 5), (0.3, 5), (0.2, 2)])
def test_a_processor_is_asked_once_and_not_long_where_bf16_is_hopeless(monkeypatch, gain, rounds):
    with_cpu(monkeypatch, gain=gain, avx512_bf16=True)
    asked = []
    seconds = module._seconds_of_product
    monkeypatch.setattr(
        module, "_seconds_of_product", lambda dtype: asked.append(dtype) or seconds(dtype)
    )
    assert choose_precision("cpu") == choose_precision("cpu")
    assert asked == rounds * [torch.float32, torch.bfloat16]


def test_a_cpu_is_timed_once_for_each_number_of_threads(monkeypatch):
    timed = []
    with_cpu(monkeypatch, gain=2.0, avx512_bf16=True)
    monkeypatch.setattr(module, "_seconds_of_product", lambda dtype: timed.append(dtype) or 1.0)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 3)
    first = choose_precision("cpu")
    products = len(timed)
    assert (choose_precision("cpu"), len(timed)) == (first, products)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 4)
    choose_precision("cpu")
    assert len(timed) == 2 * products


def test_this_cpu_is_given_what_it_is_faster_in():
    able = torch.cpu.get_capabilities()
    chosen = choose_precision()
    if not (able.get("amx_bf16") or able.get("avx512_bf16")):
        assert chosen.compute_dtype == torch.float32
    assert chosen.compute_dtype in (torch.float32, torch.bfloat16)


def test_a_format_that_is_asked_for_is_not_questioned():
    chosen = choose_precision("cpu", "bf16")
    assert (chosen.compute_dtype, chosen.weight_dtype) == (torch.bfloat16, torch.bfloat16)
    assert chosen.autocast


@pytest.mark.parametrize(("bf16", "dtype"), [(True, torch.bfloat16), (False, torch.float16)])
def test_a_gpu_without_bf16_gets_fp16_with_loss_scaling(monkeypatch, bf16, dtype):
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: bf16)
    chosen = choose_precision("cuda:1")
    assert chosen.compute_dtype == dtype
    assert chosen.loss_scaling == (dtype == torch.float16)


def test_fp16_on_a_cpu_is_refused():
    with pytest.raises(ConfigError, match="'fp16' does not train on a CPU"):
        choose_precision("cpu", "fp16")


def test_an_unknown_format_lists_the_known():
    with pytest.raises(ConfigError, match="unknown dtype 'fp23'.*'fp32', 'bf16', 'fp16'"):
        choose_precision("cpu", "fp23")
