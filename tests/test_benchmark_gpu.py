"""`benchmarks/gpu.py` in miniature on the CPU: every contender and method, the goals, the page."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from pathlib import Path

import pytest
import torch

BENCHMARKS = Path(__file__).resolve().parents[1] / "benchmarks"


@pytest.fixture(scope="module", autouse=True)
def _importable():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(BENCHMARKS / "contenders"))
        patch.syspath_prepend(str(BENCHMARKS))
        yield


@pytest.fixture(scope="module")
def cases():
    import gpu

    return {case["name"]: case for case in gpu.all_cases(tiny=True, device="cpu")}


@pytest.mark.parametrize("model", ["meta-llama/Llama-3.1-8B", "internlm/internlm-20b"])
def test_random_weights_leave_no_garbage_and_compute_as_a_model_built_on_the_cpu(model):
    from gpu_weights import random_llm

    made = random_llm(model, device="cpu", dtype="fp32", tiny=True)
    plain = type(made)._from_config(made.config, dtype=torch.float32).eval()  # not on 'meta'
    if "Llama" in model:  # InternLM's has no frequencies of its own: it computes them anew
        assert made.model.rotary_emb.inv_freq[0] == 1.0
        assert torch.equal(plain.model.rotary_emb.inv_freq, made.model.rotary_emb.inv_freq)
    plain.load_state_dict(made.state_dict())
    ids = torch.tensor([[5, 6, 7, 8, 9]])
    with torch.no_grad():
        assert torch.equal(made(ids).logits, plain(ids).logits)
    assert made(ids).logits.std() > 0.1


def test_the_same_weights_packed_as_loading_packs_them():
    from bitsandbytes.functional import dequantize_4bit
    from bitsandbytes.nn import Linear4bit
    from gpu_weights import random_llm

    name = "meta-llama/Llama-2-7b-hf"
    plain = random_llm(name, device="cpu", dtype="bf16", tiny=True)
    packed = random_llm(name, device="cpu", dtype="bf16", tiny=True, nf4=True)
    layers = {n: m for n, m in packed.named_modules() if isinstance(m, Linear4bit)}
    assert len(layers) == 14
    for layer_name, layer in layers.items():
        assert layer.weight.quant_state.nested  # double quantization
        weight = dequantize_4bit(layer.weight.data, layer.weight.quant_state)
        original = plain.get_submodule(layer_name).weight
        assert (
            torch.corrcoef(torch.stack([weight.flatten(), original.flatten()]).float())[0, 1] > 0.95
        )
    assert torch.equal(packed.lm_head.weight, plain.lm_head.weight)


def test_the_documents_of_a_step(cases):
    from gpu_case import documents_of_step

    alpaca = cases["xtune Llama-3.1-8B lora alpaca, no checkpointing"] | {"tokens": 4096}
    documents = documents_of_step(alpaca, 0)
    lengths = [len(ids) for ids, _ in documents]
    assert sum(lengths) == 4096
    assert 15 < len(lengths) < 120
    assert documents == documents_of_step(alpaca, 0) != documents_of_step(alpaca, 1)
    long = documents_of_step(alpaca | {"data": "long"}, 0)
    assert [len(ids) for ids, _ in long] == [4096]
    assert sum(label != -100 for label in long[0][1]) == 2048


@pytest.mark.parametrize("method", ["lora", "qlora", "full"])
@pytest.mark.parametrize("data", ["long", "alpaca"])
def test_ours_and_the_plain_loop_begin_at_the_same_loss(cases, method, data):
    from gpu_case import train

    found = {}
    for contender, checkpointing in [("xtune", False), ("xtune", True), ("plain", True)]:
        case = cases["xtune Llama-3.1-8B lora alpaca, no checkpointing"] | {
            "contender": contender,
            "method": method,
            "data": data,
            "checkpointing": checkpointing,
        }
        result = train(case)
        assert result["tokens"] == 2 * 64
        assert result["tokens_per_s"] > 0
        assert result["tflops"] > 0
        assert all(math.isfinite(loss) for loss in result["losses"])
        found[contender, checkpointing] = result
    losses = [result["losses"][0] for result in found.values()]
    assert losses[0] == losses[1]
    assert losses[2] == pytest.approx(losses[0], rel=1e-2)
    flops = [result["tflops"] * result["step_seconds"] for result in found.values()]
    assert flops == pytest.approx([flops[0]] * 3)  # whatever is computed again


def test_capped_and_20b_cases_run(cases):
    from gpu_case import train

    chosen = [case for case in cases.values() if case["cap_gib"]]
    assert [case["cap_gib"] for case in chosen] == [8, 8, 24]
    result = train(chosen[2])
    assert result["build_peak"]["reserved_gib"] > 0


def test_trl_runs_where_it_is_installed(cases):
    pytest.importorskip("trl", reason="pip install trl to test it")
    from gpu_case import train

    result = train(cases["trl Llama-3.1-8B lora alpaca, no checkpointing"])
    assert result["tokens_per_s"] > 0
    assert math.isfinite(result["losses"][0])


def test_one_case_as_a_process_and_going_on_from_its_line(tmp_path):
    command = [sys.executable, BENCHMARKS / "gpu.py", "--tiny", "--out", tmp_path]
    first = subprocess.run([*command, "--only", "products"], check=True, capture_output=True)
    assert b"products: 0." in first.stdout
    (lines,) = tmp_path.glob("*.jsonl")
    (line,) = map(json.loads, lines.read_text().splitlines())
    assert line["status"] == "ok"
    again = subprocess.run([*command, "--only", "products"], check=True, capture_output=True)
    assert b"products: 0." not in again.stdout
    assert "not judged: no GPU" in lines.with_suffix(".md").read_text() or "| goal |" in (
        lines.with_suffix(".md").read_text()
    )


def test_goals_and_the_page_from_made_up_results(cases):
    import gpu

    def result(name, **found):
        return {"case": cases[name], "status": "ok", "versions": {"torch": "2"}, **found}

    def trained(name, tokens, tflops, reserved=1.0):
        return result(
            name,
            gpu="NVIDIA H100 80GB HBM3",
            tokens_per_s=tokens,
            tflops=tflops,
            allocated_gib=reserved,
            reserved_gib=reserved,
            build_peak={"reserved_gib": 4.0},
            losses=[11.8],
        )

    capped = [case["name"] for case in cases.values() if case["cap_gib"]]
    results = [
        result("products", peak_tflops=800.0, tflops_of_products={"8192x8192x8192": 800.0}),
        trained("xtune Llama-3.1-8B lora long, no checkpointing", 16_000, 500.0),
        trained("xtune Llama-3.1-8B qlora long, no checkpointing", 11_000, 350.0),
        trained("trl Llama-3.1-8B lora long, no checkpointing", 12_000, 380.0),
        trained(capped[0], 4000, 120.0, reserved=7.4),
        trained(capped[1], 4000, 120.0, reserved=8.2),
        {"case": cases[capped[2]], "status": "out of memory", "reason": "CUDA out of memory"},
    ]
    met = [(goal.split(":")[0], verdict) for goal, _, verdict in gpu.goals(results)]
    assert met == [
        ("Llama-3.1-8B lora, packs of 4,096", True),
        ("Llama-3.1-8B qlora, packs of 4,096", False),
        ("Llama-3.1-8B lora, long", False),  # 1.33 times TRL
        ("Llama-3.1-8B lora, alpaca", None),
        ("Llama-2-7b-hf QLoRA r=16 within 8 GiB", True),
        ("Meta-Llama-3-8B QLoRA r=16 within 8 GiB", False),
        ("internlm-20b QLoRA r=16 within 24 GiB", False),
    ]
    page = gpu.written_page(results, judged=True)
    assert page.startswith("# Fine-tuning on NVIDIA H100 80GB HBM3")
    assert "| 62.5% of 800 TFLOP/s | yes |" in page
    assert "out of memory: CUDA out of memory" in page
    assert "not judged: no GPU" in gpu.written_page(results, judged=False)


@pytest.mark.slow
def test_every_case_runs_in_miniature(tmp_path, cases):
    command = [sys.executable, BENCHMARKS / "gpu.py", "--tiny", "--minutes", "90"]
    subprocess.run([*command, "--out", tmp_path], check=True)
    (lines,) = tmp_path.glob("*.jsonl")
    results = [json.loads(line) for line in lines.read_text().splitlines()]
    assert {r["case"]["name"] for r in results} == set(cases)
    assert {r["status"] for r in results} <= {"ok", "not run"}
