"""`xtune list-templates`, as a user types it."""

from __future__ import annotations

import subprocess
import sys

from xtune.cli.entry import main
from xtune.registry import TEMPLATES, names


def test_every_template_has_a_line_that_says_what_it_is_for(capsys):
    assert main(["list-templates"]) == 0
    lines, _, closing = capsys.readouterr().out.partition("\n\n")
    shown = dict(line.split(maxsplit=1) for line in lines.splitlines())
    assert list(shown) == names(TEMPLATES)
    assert "prompt_template = " in closing


def test_one_template_is_shown_with_its_text_form(capsys):
    assert main(["list-templates", "gemma2"]) == 0
    shown = capsys.readouterr().out
    assert shown.startswith("gemma2  Gemma 1, 2 and 3")
    assert "\n    <start_of_turn>model\n    Four.<end_of_turn>\n" in shown


def test_an_unknown_name_is_misuse_and_the_nearest_is_offered(capsys):
    assert main(["list-templates", "qwen_3"]) == 2
    assert "there is no template 'qwen_3'; did you mean 'qwen3'?" in capsys.readouterr().err


def test_it_is_immediate_and_imports_no_torch():
    code = (
        "import sys; from xtune.cli.entry import main; main(['list-templates']); "
        "sys.exit(len({'torch', 'transformers', 'pyarrow', 'datasets'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True).returncode == 0
