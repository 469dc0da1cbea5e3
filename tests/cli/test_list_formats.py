"""`xtune list-formats`, as a user types it."""

from __future__ import annotations

import json
import subprocess
import sys

from xtune.cli.entry import main
from xtune.data.formats import all_formats


def test_every_format_is_shown_with_its_fields_an_example_and_what_it_becomes(capsys):
    assert main(["list-formats"]) == 0
    *blocks, closing = capsys.readouterr().out.split("\n\n")
    assert closing.startswith(f"{len(all_formats())} formats.")
    for block, format in zip(blocks, all_formats().values(), strict=True):
        lines = dict(line.strip().split(maxsplit=1) for line in block.splitlines())
        assert lines[format.name] == format.title
        assert lines["reads"] == format.fields
        assert json.loads(lines["row"]) == format.row
        assert lines["becomes"].endswith(json.dumps(format.becomes, ensure_ascii=False))


def test_one_format_is_shown_with_all_that_is_said_of_it(capsys):
    assert main(["list-formats", "prompt_output"]) == 0
    shown = capsys.readouterr().out
    assert "  switches  train_on_inputs=False\n" in shown
    assert "map_fn = dict(type='prompt_output', train_on_inputs=True)" in shown
    assert "alpaca" not in shown


def test_a_pattern_finds_names_titles_and_fields(capsys):
    def found(pattern, code=0):
        assert main(["list-formats", "-p", pattern]) == code
        blocks = capsys.readouterr().out.split("\n\n")
        return [block.split()[0] for block in blocks[:-1]]

    assert found("Query") == ["metamath", "query_response", "xlam"]
    assert found("alpaca") == ["alpaca", "alpaca_zh", "code_alpaca", "guanaco"]
    assert found("nothing-like-this", code=1) == []


def test_an_unknown_name_is_misuse_and_the_nearest_is_offered(capsys):
    assert main(["list-formats", "alpca"]) == 2
    assert "no format 'alpca'; did you mean 'alpaca'? there are: alpaca," in capsys.readouterr().err


def test_it_is_immediate_and_imports_no_torch():
    code = (
        "import sys; from xtune.cli.entry import main; main(['list-formats', 'alpaca']); "
        "sys.exit(len({'torch', 'transformers', 'pyarrow', 'datasets'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True).returncode == 0
