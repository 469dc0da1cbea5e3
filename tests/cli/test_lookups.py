"""The look-ups of Python say what the list-* verbs print."""

import re

import pytest

import xtune
from xtune.cli.entry import main


def printed(capsys, *words):
    assert main(list(words)) == 0
    return capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "patterns", "card"),
    [([], [], None), (["internlm2", "qlora"], ["internlm2", "qlora"], None),
     (["--gpu-memory", "8GB"], [], 8)],
    ids=["all", "patterns", "card"],
)  # fmt: skip
def test_configs(words, patterns, card, capsys):
    lines = printed(capsys, "list-cfg", *words).splitlines()
    listed = xtune.list_configs(*patterns, gpu_memory=card)
    assert [line.split()[0] for line in lines] == list(listed)
    for line, row in zip(lines, listed.values(), strict=True):
        assert line.endswith(row.place)
        assert row.memory is None or re.search(rf" {row.memory:g} Gi?B", line)
        assert row.path.stem == row.name


def test_a_config_of_the_list_is_as_the_file_says():
    row = xtune.list_configs()["internlm_7b_qlora_alpaca"]
    assert (row.place, row.is_for_laptop) == ("8 GB GPU", False)
    assert row.memory < 8
    assert xtune.list_configs()["smollm2_135m_lora_toolcall"].is_for_laptop
    assert xtune.list_configs("no such config") == {}


def test_formats(capsys):
    blocks = printed(capsys, "list-formats", "-p", "alpaca").split("\n\n")
    formats = xtune.list_formats("alpaca")
    assert list(formats) == ["alpaca", "alpaca_zh", "code_alpaca", "guanaco"]
    for block, (name, format) in zip(blocks, formats.items(), strict=False):
        assert block.startswith(f"{name}  {format.title}")
    assert formats["alpaca"].row == {"instruction": "Add.", "input": "2 and 2", "output": "4"}


def test_templates(capsys):
    lines = printed(capsys, "list-templates").split("\n\n")[0].splitlines()
    listed = [tuple(re.split(r" {2,}", line, maxsplit=1)) for line in lines]
    assert listed == list(xtune.list_templates().items())
    assert xtune.list_templates()["chatml"] == "ChatML without a BOS."


def test_models(capsys):
    text = printed(capsys, "list-models", "-p", "chatglm")
    assert [family.title for family in xtune.list_models("chatglm").values()] == [
        block.splitlines()[0] for block in text.split("\n\n")[:-1]
    ]
