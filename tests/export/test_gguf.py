"""`--format gguf`: what is written, what reads it, and that a wrong file is not kept."""

from __future__ import annotations

import json

import gguf
import pytest
import torch
from peft import LoraConfig

from tests.tiny import write_tiny_llama
from xtune.cli.entry import main
from xtune.errors import ModelError
from xtune.export import gguf_file, prepared
from xtune.export.gguf import vocabulary, write
from xtune.export.gguf_file import export_gguf
from xtune.models import attach_adapter, load_model, load_tokenizer
from xtune.models.gguf_metadata import read_gguf_metadata, read_gguf_tensors

SYSTEM = "Tools: convert weather"


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A tiny Llama and an adapter on it that says something."""
    folder = tmp_path_factory.mktemp("trained")
    write_tiny_llama(folder / "base", width=64, tied=False)
    join_digits(folder / "base/tokenizer.json")
    llm = load_model(str(folder / "base"), dtype="fp32")
    tuned = attach_adapter(
        llm, LoraConfig(r=4, lora_alpha=8, target_modules=["q_proj", "down_proj"], use_rslora=True)
    )
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(0)
        for name, weight in tuned.named_parameters():
            if "lora_B" in name:
                weight.normal_(std=0.1)
    tuned.save_pretrained(folder / "adapter")
    load_tokenizer(str(folder / "base")).save_pretrained(folder / "adapter")
    return folder


def join_digits(file):
    """Put '12' in place of the last token, so that it matters whether digits are cut."""
    said = json.loads(file.read_text())
    vocab = said["model"]["vocab"]
    del vocab[max(vocab, key=vocab.get)]
    vocab["12"] = 383
    said["model"]["merges"][-1] = ["1", "2"]
    file.write_text(json.dumps(said))


@pytest.fixture
def llama_cpp_absent(monkeypatch):
    monkeypatch.setattr(gguf_file, "is_installed", lambda: False)


def export(trained, out, quant="f16", **notes):
    said = {"system": SYSTEM, "base_model": "owner/base", **notes}
    return export_gguf(
        str(trained / "base"), out, adapter=trained / "adapter", notes=said, quant=quant
    )


def test_a_file_answers_as_chat_does(trained, tmp_path, llama_cpp_absent):
    out = tmp_path / "out.gguf"
    done = export(trained, out)
    (outcome,) = done.outcomes
    assert (outcome.reader, outcome.problems) == ("transformers (unpacked)", [])
    assert (outcome.ids, outcome.dialogues) == (18, 18)
    assert outcome.scores.places >= 256
    assert done.unchecked == [
        "llama.cpp: not installed (pip install '.[llamacpp]')",
        "Ollama: not run here",
    ]
    said = read_gguf_metadata(out)
    assert said["general.architecture"] == "llama"
    assert said["general.name"] == "out"
    assert said["general.base_model.0.name"] == "owner/base"
    assert said["general.base_model.0.repo_url"] == "https://huggingface.co/owner/base"
    assert said["tokenizer.ggml.pre"] == "gpt-2"
    assert said["tokenizer.ggml.eos_token_id"] == 2
    assert said["tokenizer.ggml.add_bos_token"] is False
    assert SYSTEM in said["tokenizer.chat_template"]
    kinds = {
        tensor.name: gguf.GGMLQuantizationType(tensor.kind).name
        for tensor in read_gguf_tensors(out)
    }
    assert kinds["blk.0.attn_q.weight"] == kinds["output.weight"] == "F16"
    assert kinds["blk.0.attn_norm.weight"] == "F32"
    table = (tmp_path / "out.gguf.parity.md").read_text()
    assert "| transformers (unpacked) | 18 of 18 |" in table
    assert "- Ollama: not run here" in table
    made = (tmp_path / "out.gguf.Modelfile").read_text()
    assert made.startswith("FROM ./out.gguf\nTEMPLATE ")
    assert f'SYSTEM """{SYSTEM}"""\n' in made
    assert 'PARAMETER stop "<|im_end|>"\n' in made
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "out.gguf",
        "out.gguf.Modelfile",
        "out.gguf.parity.md",
    ]


def no_permutation(monkeypatch):
    monkeypatch.setattr("xtune.export.gguf.tensors.interleaved", lambda weight, heads: weight)


def wrong_pre(monkeypatch):
    monkeypatch.setattr(vocabulary, "pre_tokenizer_name", lambda tokenizer: "smollm")


def no_system(monkeypatch):
    monkeypatch.setattr(prepared, "write_system_into", lambda tokenizer, system: None)


def end_of_the_base(monkeypatch):
    right = gguf_file.write_gguf

    def wrong(*args, end_ids, **rest):
        return right(*args, end_ids=[0], **rest)

    monkeypatch.setattr(gguf_file, "write_gguf", wrong)
    monkeypatch.setattr(write, "_end_of_turn", lambda tokenizer: 0)


def rslora_dropped(monkeypatch):
    def merged(tuned, adapter):
        for module in tuned.modules():
            if hasattr(module, "scaling"):
                module.scaling = {"default": 2.0}  # alpha / r; rsLoRA's is 4
        return tuned.merge_and_unload(), torch.zeros(24, 384)

    monkeypatch.setattr(prepared, "merged", merged)


def not_merged(monkeypatch):
    unmerged = torch.zeros(24, 384)
    monkeypatch.setattr(prepared, "merged", lambda tuned, adapter: (tuned.unload(), unmerged))


def rounded_twice(monkeypatch):
    right = write.packed

    def wrong(name, weight, quant):
        if name == "blk.0.ffn_down.weight":
            kind = gguf.GGMLQuantizationType.Q4_0
            coarse = gguf.quantize(weight.detach().float().numpy(), kind)
            weight = torch.from_numpy(gguf.dequantize(coarse, kind))
        return right(name, weight, quant)

    monkeypatch.setattr(write, "packed", wrong)


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        (no_permutation, "the likeliest token is another at"),
        (wrong_pre, "the dialogue 'odd texts' becomes other ids"),
        (no_system, "the dialogue 'no system' becomes other ids"),
        (end_of_the_base, "an answer does not end at the token 2"),
        (rslora_dropped, "the distributions differ by"),
        (not_merged, "the distributions differ by"),
        (rounded_twice, "the distributions differ by"),
    ],
)
def test_what_is_wrong_leaves_nothing(
    fault, message, trained, tmp_path, monkeypatch, llama_cpp_absent
):
    fault(monkeypatch)
    with pytest.raises(ModelError, match=message) as found:
        export(trained, tmp_path / "out.gguf")
    assert "nothing of it is left" in str(found.value)
    assert list(tmp_path.iterdir()) == []


def test_stopped_in_the_middle_there_is_no_file(trained, tmp_path, monkeypatch, llama_cpp_absent):
    def stop(*args):
        assert (tmp_path / "out.gguf.part").stat().st_size > 100_000
        assert not (tmp_path / "out.gguf").exists()
        raise KeyboardInterrupt

    monkeypatch.setattr(gguf_file, "require_passed", stop)
    with pytest.raises(KeyboardInterrupt):
        export(trained, tmp_path / "out.gguf")
    assert list(tmp_path.iterdir()) == []


def test_the_verb_has_true_exit_codes(trained, tmp_path, monkeypatch, capsys, llama_cpp_absent):
    base, out = str(trained / "base"), str(tmp_path / "out.gguf")
    for words, said in (
        ([base, out], "names a GGUF file: add --format gguf"),
        ([base, str(tmp_path / "out"), "--format", "gguf"], "writes one file: name it"),
        ([base, str(tmp_path / "out"), "--quant", "q8_0"], "--quant belongs to --format gguf"),
        ([base, out, "--format", "gguf-lora"], "has no adapter"),
    ):
        assert main(["export", *words]) == 2
        assert said in capsys.readouterr().err
    words = ["export", base, out, "--adapter", str(trained / "adapter"), "--format", "gguf"]
    words += ["--quant", "f16"]
    assert main(words) == 0
    shown = capsys.readouterr().out
    assert "transformers (unpacked): ids of 18 of 18 dialogues, top-1 " in shown
    assert "unchecked: Ollama: not run here" in shown
    assert f"talk to it: xtune chat {out}" in shown
    assert main(words) == 2  # it is there already
    (tmp_path / "out.gguf").unlink()
    wrong_pre(monkeypatch)
    assert main(words) == 1
    assert "does not answer as xtune chat does" in capsys.readouterr().err
    assert not (tmp_path / "out.gguf").exists()
