"""Every shipped config renders, checks, builds, and says what it is: found by walking the tree."""

from __future__ import annotations

import ast
import hashlib
import json
import re
import runpy
import subprocess
import sys
from collections import Counter
from dataclasses import asdict
from pathlib import Path

import pytest
from mmengine.config import Config

from tests.once import once
from xtune.config import check, find_config, list_configs, render
from xtune.config.find import config_root
from xtune.config.notes import estimated_gib, laptop_gib, notes
from xtune.config.slots import slots
from xtune.data.templates.system_texts import SYSTEM_TEXTS
from xtune.models.precision import choose_precision
from xtune.planning.memory import MemoryEstimate, smallest_card
from xtune.planning.requirement import DeviceMemory, Requirement, need_of

REPOSITORY = Path(__file__).parents[2]
ROOT = REPOSITORY / "configs"
PARTS = sorted(ROOT.glob("_base_/**/*.py"))
LEAVES = sorted(set(ROOT.rglob("*.py")) - set(PARTS))

every_leaf = pytest.mark.parametrize("leaf", LEAVES, ids=lambda path: path.stem)


@pytest.fixture(autouse=True)
def _in_the_repository(monkeypatch):
    monkeypatch.chdir(REPOSITORY)  # configs/custom names examples/ below it


def test_the_walk_finds_them():
    assert config_root() == ROOT
    assert set(LEAVES) == set(list_configs().values())
    assert {"custom_sft_lora", "smollm2_135m_lora_toolcall"} <= {path.stem for path in LEAVES}


def test_every_part_is_named_by_a_leaf_by_another_part_or_by_a_page():
    places = [*LEAVES, *PARTS, *REPOSITORY.glob("docs/*/*.md")]
    text = "\n".join(path.read_text(encoding="utf-8") for path in places)
    named = {name.split(".")[-1] for name in re.findall(r"from ([\w.]+) import \*", text)}
    assert {path.stem for path in PARTS} == named


def test_the_index_is_true(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["index_configs.py", "--check"])
    monkeypatch.setattr(sys, "path", ["docs", *sys.path])  # as a program has it
    with pytest.raises(SystemExit) as ended:
        runpy.run_path("docs/index_configs.py", run_name="__main__")
    assert ended.value.code == 0, "configs/INDEX.md is stale: run python docs/index_configs.py"
    assert (
        (ROOT / "INDEX.md").read_text().startswith(f"# The named configs\n\n{len(LEAVES)} configs")
    )


def test_no_two_share_a_name():
    stems = Counter(path.stem for path in LEAVES)
    assert [stem for stem, count in stems.items() if count > 1] == []


@pytest.mark.parametrize("path", LEAVES + PARTS, ids=lambda path: path.stem)
def test_leaves_and_parts_hold_assignments_only(path):
    allowed = (ast.Assign, ast.With, ast.ImportFrom)
    tree = ast.parse(path.read_text())
    body = tree.body[1:] if ast.get_docstring(tree) else tree.body
    assert [ast.unparse(node) for node in body if not isinstance(node, allowed)] == []


@every_leaf
def test_it_is_a_leaf_that_says_what_it_is(leaf):
    text = leaf.read_text()
    assert "with read_base():" in text
    docstring = ast.get_docstring(ast.parse(text)) or ""
    assert {"Run:", "Hardware:"} <= set(docstring.split())
    # `list-cfg` and INDEX.md say what it needs: a promise to find out is no answer
    hardware = notes(leaf)["Hardware"]
    assert estimated_gib(hardware) or laptop_gib(hardware), hardware
    # The command can be copied, from a wheel too, which has no tools/; copy-cfg puts in the copy's
    run = rf"^Run: +xtune (train {leaf.stem}(?!\w)|copy-cfg {leaf.stem} my_run\.py)"
    assert re.search(run, docstring, re.M)
    assert "tools/" not in docstring


@every_leaf
def test_it_checks_without_problems(leaf):
    assert [str(problem) for problem in check(render(leaf.stem))] == []


@every_leaf
def test_its_name_says_what_is_trained(leaf):
    """A part 2 for all that write, one for all that score: what differs are the settings' knobs."""
    model = render(leaf.stem).values.model
    adapter, quantization = model.adapter is not None, model.llm.quantization is not None
    (method,) = {"full", "lora", "qlora"} & set(leaf.stem.split("_"))
    assert (adapter, quantization) == (method != "full", method == "qlora")
    part = "sequence_classifier" if model.type == "RewardModel" else "causal_lm"
    assert re.findall(r"_base_\.models\.(\w+)", leaf.read_text()) == [part]


@pytest.mark.parametrize("order", [["sft", "qlora"], ["qlora", "sft"], ["qlora"]])
def test_the_settings_of_an_adapter_hold_in_whatever_order_they_are_named(tmp_path, order):
    (tmp_path / "_base_").symlink_to(ROOT / "_base_")
    lines = find_config("custom_sft_qlora").read_text().replace(".._base_", "._base_").splitlines()
    kept = [line for line in lines if "settings.qlora" not in line]
    at = next(number for number, line in enumerate(kept) if "settings.sft" in line)
    kept[at : at + 1] = [f"    from ._base_.settings.{name} import *" for name in order]
    leaf = tmp_path / "custom_sft_qlora.py"
    leaf.write_text("\n".join(kept) + "\n")
    assert render(leaf).text == render("custom_sft_qlora").text


@every_leaf
def test_its_flat_copy_is_the_same_run(leaf, tmp_path):
    sheet = render(leaf.stem)
    flat = tmp_path / "flat.py"
    flat.write_text(sheet.text, encoding="utf-8")
    assert render(flat).text == sheet.text
    assert render(flat).digest == sheet.digest
    assert render(flat).values == sheet.values
    assert Config.fromfile(flat).to_dict() == sheet.values.to_dict()
    assert "read_base" not in sheet.text


@every_leaf
def test_its_sheet_has_five_parts_in_order_and_the_knobs_on_top(leaf):
    lines = render(leaf.stem).text.splitlines()
    headings = [line for line in lines if line.startswith("# PART ")]
    assert [line.split()[2] for line in headings] == ["1", "2", "3", "4", "5"]
    assert len(lines) == len([line for line in lines if line == line.rstrip()])
    tree = ast.parse("\n".join(lines))
    part_2 = 1 + lines.index(headings[1])
    values = [node.value for node in tree.body if isinstance(node, ast.Assign)]
    below = [value for value in values if value.lineno > part_2]
    # What stands below PART 1 is derived: sections, and no knob.
    assert {type(value) for value in below} <= {ast.Call, ast.List, ast.Constant}
    constants = [value for value in below if isinstance(value, ast.Constant)]
    assert [value.value for value in constants] == [None]  # work_dir


@every_leaf
def test_every_comment_of_its_parts_that_was_not_replaced_is_there(leaf):
    text = render(leaf.stem).text
    for part in ("models", "schedules", "runtimes"):
        for name in (line for line in leaf.read_text().splitlines() if f"_base_.{part}." in line):
            source = (ROOT / "_base_" / part / f"{name.split('.')[-1].split()[0]}.py").read_text()
            for line in _not_replaced(source, leaf.read_text()):
                assert line in text


def _not_replaced(part: str, leaf: str) -> list[str]:
    """The lines of a part, without what the leaf gives another value."""
    own = {n.targets[0].id for n in ast.parse(leaf).body if isinstance(n, ast.Assign)}
    lines = part.splitlines()
    for node in reversed(ast.parse(part).body):
        if isinstance(node, ast.Assign) and node.targets[0].id in own:
            del lines[node.lineno - 1 : node.end_lineno]
    return lines


@pytest.fixture(scope="session")
def needs(shared_folder):
    """Sheet -> what it needs on one GPU in bf16; leaves that differ in their data share one."""
    made: dict[str, Requirement] = {}

    def of(values) -> Requirement:
        loop = values.train_cfg
        accumulates = loop.get("accumulative_counts", loop.get("prompts", 1)) > 1
        shape = (values.max_length, values.batch_size, values.optimizer.type, accumulates)
        key = hashlib.sha256(repr((values.model, *shape)).encode()).hexdigest()
        if key not in made:
            file = once(shared_folder / "needs" / key, lambda path: _write_need(path, values))
            made[key] = _read_need(file)
        return made[key]

    return of


def _write_need(path: Path, values) -> None:
    need = need_of(values, choose_precision("cuda", "bf16"), DeviceMemory("cuda", None))
    path.write_text(json.dumps(asdict(need)))


def _read_need(path: Path) -> Requirement:
    known = json.loads(path.read_text())
    return Requirement(**known | {"estimate": MemoryEstimate(**known["estimate"])})


@every_leaf
def test_it_builds_without_weights_and_says_what_memory_it_takes(leaf, needs):
    need = needs(render(leaf.stem).values)
    assert 0 < need.estimate.trainable <= need.estimate.parameters
    said = re.search(r"([\d.]+) GiB estimated", leaf.read_text())
    if said:  # a new torch may keep a little more; docs/index_configs.py --estimate writes it anew
        assert float(said[1]) == pytest.approx(need.gib, rel=0.02, abs=0.05)
    one = re.search(r"one GPU of (\d+) GB", leaf.read_text())
    if said:
        assert (int(one[1]) if one else None) == smallest_card(float(said[1]))


@pytest.mark.parametrize(
    "name",
    [
        "internlm_7b_qlora_alpaca",
        "llama2_7b_qlora_alpaca",
        *(f"qwen2_5_{size}_qlora_alpaca" for size in ("0_5b", "1_5b", "3b")),
        "qwen2_5_7b_qlora_alpaca_8gb",
        *(f"qwen3_{size}_qlora_alpaca" for size in ("0_6b", "1_7b", "4b")),
        "qwen3_8b_qlora_alpaca_8gb",
        *(f"llama3_2_{size}_qlora_alpaca" for size in ("1b", "3b")),
        "llama3_1_8b_qlora_alpaca_8gb",
        *(f"internlm2{minor}_1_8b_qlora_alpaca" for minor in ("", "_5")),
        *(f"internlm2{minor}_7b_qlora_alpaca_8gb" for minor in ("", "_5")),
        "internlm3_8b_qlora_alpaca_8gb",
    ],
)
def test_it_fits_8_gb_as_shipped_with_the_recipe_users_know(name, needs):
    values = render(name).values
    assert needs(values).fits(DeviceMemory("cuda", 8.0))
    # XTuner's: 16 packs of 2,048 tokens a step, over three epochs
    assert (values.max_length, values.pack_to_max_length) == (2048, True)
    assert (values.batch_size, values.accumulative_counts, values.max_epochs) == (1, 16, 3)
    assert (values.lr, values.lora.lora_alpha, values.lora.lora_dropout) == (2e-4, 16, 0.1)


@pytest.mark.parametrize("name", ["custom_sft_lora", "custom_sft_qlora"])
def test_the_first_knobs_of_a_custom_config_are_those_one_edits(name):
    first = list(render(name).values)[:4]
    assert set(first) == {
        "pretrained_model_name_or_path",
        "prompt_template",
        "data_path",
        "map_fn",
    }
    assert (ROOT.parent / render(name).values.data_path).is_file()


@pytest.mark.parametrize(
    ("part", "name"),
    {
        "arxiv": "arxiv_gentile",
        "code_alpaca": "coder",
        "colorist": "colorist",
        "lawyer": "lawyer",
        "medical": "medical",
        "sql": "sql",
        "tiny_codes": "coder",
    }.items(),
)
def test_a_data_sets_system_text_is_the_one_that_chat_has_by_name(part, name):
    tree = ast.parse((ROOT / f"_base_/datasets/{part}.py").read_text(encoding="utf-8"))
    values = {
        node.targets[0].id: node.value
        for node in tree.body
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name)
    }
    assert ast.literal_eval(values["SYSTEM"]) == SYSTEM_TEXTS[name]


def test_the_custom_configs_say_the_same_to_whoever_copies_one():
    """Copies that cannot be helped: a config is a file by itself."""
    told = {}
    for method in ("lora", "qlora", "full"):
        docstring = ast.get_docstring(ast.parse(find_config(f"custom_sft_{method}").read_text()))
        body = docstring.partition("Run:")[2].partition("Hardware:")[0]
        told[method] = body.replace(f"custom_sft_{method}", "custom_sft_METHOD")
    assert told["lora"] == told["qlora"] == told["full"]


def test_check_finds_nothing_wrong_where_nothing_is_imported_yet():
    """In a process of its own: leaves that have each type and each argument that any leaf has."""
    program = """
import sys
from xtune.config import check, render
for name in sys.argv[1:]:
    for problem in check(render(name)):
        print(name, problem)
"""
    chosen = leaves_with_every_argument()
    assert 5 < len(chosen) < 50
    run = subprocess.run(
        [sys.executable, "-c", program, *chosen], capture_output=True, text=True, cwd=REPOSITORY
    )
    assert (run.returncode, run.stdout, run.stderr) == (0, "", "")


def leaves_with_every_argument() -> list[str]:
    """Leaves of which each has a type, or an argument of one, that none before it has."""
    chosen, seen = [], set()
    for leaf in LEAVES:
        slots_of = slots(render(leaf.stem).values)
        own = {(slot.key, slot.cfg["type"], name) for slot in slots_of for name in slot.cfg}
        if not own <= seen:
            chosen.append(leaf.stem)
            seen |= own
    return chosen
