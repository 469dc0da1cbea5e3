"""The check, on a shipped config with one or several things broken, and the real registries."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from xtune.config import Sheet, check, render, require_valid
from xtune.errors import ConfigError

REPOSITORY = Path(__file__).parents[2]
LEAF = "smollm2_135m_lora_toolcall"


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def problems_of(*options: str, config: str = LEAF) -> list[str]:
    return [str(problem) for problem in check(render(config, options))]


def edited(*replacements: tuple[str, str]) -> Sheet:
    """The flat demo config with pieces of its text replaced, as a user's own file."""
    text = render(LEAF).text
    for old, new in replacements:
        assert old in text
        text = text.replace(old, new, 1)
    Path("mine.py").write_text(text)
    return render("mine.py")


def line_of(sheet: Sheet, text: str) -> int:
    return 1 + next(at for at, line in enumerate(sheet.text.splitlines()) if text in line)


def test_the_demo_has_no_problems():
    assert problems_of() == []


def test_a_misspelt_knob_in_a_leaf_is_located_there():
    folder = REPOSITORY / "configs/smollm2"
    text = (folder / f"{LEAF}.py").read_text().replace("max_epochs = 1", "max_epoch = 1")
    text = text.replace(".._base_", ".base")
    Path("base").symlink_to(REPOSITORY / "configs/_base_")
    Path("leaf.py").write_text(text)
    (problem,) = check(render("leaf.py"))
    line = 1 + text.splitlines().index("max_epoch = 1")
    assert str(problem) == (
        f"leaf.py:{line}: max_epoch = 1: nothing in the sheet uses this name; "
        "did you mean 'max_epochs'?"
    )


def test_every_problem_is_reported_at_once_with_its_line():
    sheet = edited(
        ("type='AdamW', lr=lr", "type='AdamWW', lr=lr"),
        ("type='CheckpointHook', interval", "type='CheckpointHook', intervall"),
        ("batch_size = 1", "batch_size = 0"),
        ("map_fn = 'openai'", "map_fn = 'opnai'"),
        ("warmup_ratio = 0.03", "warmup_ratio = 1.5"),
        ("pack_to_max_length = True", "pack_to_max_length = 'false'"),
        ("seed = 42", "seed = 42\nsed = 43"),
    )
    found = {problem.key: problem for problem in check(sheet)}
    assert {key: problem.line for key, problem in found.items()} == {
        "sed": line_of(sheet, "sed = 43"),
        "optimizer.type": line_of(sheet, "AdamWW"),
        "default_hooks.checkpoint.intervall": line_of(sheet, "intervall"),
        "train_dataset.map_fn": line_of(sheet, "map_fn = 'opnai'"),
        "train_dataset.pack_to_max_length": line_of(sheet, "pack_to_max_length ="),
        "train_dataloader.batch_size": line_of(sheet, "batch_size = 0"),
        "param_scheduler.warmup_ratio": line_of(sheet, "warmup_ratio = 1.5"),
    }
    assert "did you mean 'AdamW'?" in found["optimizer.type"].message
    assert found["default_hooks.checkpoint.intervall"].hint == "did you mean 'interval'?"
    assert "did you mean 'openai'?" in found["train_dataset.map_fn"].message
    assert found["train_dataset.pack_to_max_length"].message == "must be True or False"
    assert found["train_dataloader.batch_size"].message == "must be at least 1"
    assert {problem.file for problem in found.values()} == {"mine.py"}


@pytest.mark.parametrize(
    ("option", "said"),
    [
        ("lr=0", "optimizer.lr = 0: must be above 0"),
        ("lr=fast", "optimizer.lr = 'fast': must be a number"),
        ("accumulative_counts=0", "train_cfg.accumulative_counts = 0: must be at least 1"),
        ("max_norm=-1", "clip_grad.max_norm = -1: must be above 0"),
        ("betas=(0.9, 1.0)", "optimizer.betas.1 = 1.0: must be at least 0 and below 1"),
        ("betas=(0.9,)", "optimizer.betas = (0.9,): must be two numbers; such as (0.9, 0.999)"),
        ("algorithm.loss_chunk_size=0", "model.loss_chunk_size = 0: must be at least 1"),
        ("gradient_checkpointing=-1", "model.gradient_checkpointing = -1: must be at least 0"),
        (
            "loss_weights={'call': -1}",
            "train_dataset.loss_weights.call = -1: must be at least 0",
        ),
        (
            "algorithm={'type': 'SupervisedFinetune', 'gradient_checkpointing': True}",
            "algorithm.gradient_checkpointing = True: does not hold: model.gradient_checkpointing "
            "is False; leave it out of algorithm, and set the knob",
        ),
        ("map_fn=mine.py", "'mine.py' names a file and nothing in it: write 'mine.py:name'"),
        ("max_length=0", "train_dataset.max_length = 0: must be at least 1"),
        ("save_steps=0", "default_hooks.checkpoint.interval = 0: must be at least 1"),
        ("seed=-1", "randomness.seed = -1: must be at least 0"),
        ("lora.r=0", "model.adapter.r = 0: must be at least 1"),
        ("max_epochs=None", "train_cfg.max_epochs = None: max_steps is None too"),
        ("data_path=no.jsonl", "train_dataset.data_path = 'no.jsonl': no file, folder or pattern"),
        ("data_path=data/no.jsonl", "no file, folder or pattern 'data/no.jsonl'"),
        ("data_path=['no.jsonl']", "no file, folder or pattern 'no.jsonl'"),
        ("data_path=*.jsonl", "no file, folder or pattern '*.jsonl'"),
        ("data_path={'type': 'files', 'path': 'no.csv'}", "no file, folder or pattern 'no.csv'"),
        ("data_path={'type': 'toolcal'}", "did you mean 'toolcall'?"),
        ("prompt_template=chatnl", "did you mean 'chatml'?"),
        ("map_fn=mine.py:my_map_fn", "no file 'mine.py'"),
        ("optimizer.type=torch.optim.Nope", "no registered name and no importable"),
        ("optimizer=AdamW", "optimizer = 'AdamW': must be a dict with a type"),
        ("custom_hooks=EvaluateChatHook", "must be a list of hooks"),
        ("evaluations=MMLU", "must be a list of dicts; on the command"),
        ("randomness=42", "randomness = 42: must be a dict of seed"),
        ("pretrained_model_name_or_path=./no", "no file or folder './no'"),
        ("pretrained_model_name_or_path=no.gguf", "no file or folder 'no.gguf'"),
        ("pretrained_model_name_or_path=a/b/c", "no file or folder 'a/b/c'"),
        ("pretrained_model_name_or_path=work_dirs/no", "no file or folder 'work_dirs/no'"),
        ("pretrained_model_name_or_path=modelscope:name", "an id is 'modelscope:owner/name'"),
        ("pretrained_model_name_or_path=modelscope:a/b/c", "an id is 'modelscope:owner/name'"),
        ("train_cfg=None", "this section is missing"),
    ],
)
def test_one_wrong_option(option, said):
    found = problems_of(option)
    assert any(said in line for line in found), found
    assert all(line.startswith(f"--cfg-options {option}: ") for line in found if said in line)


@pytest.mark.parametrize(
    "options",
    [
        ["max_epochs=None", "max_steps=10"],
        ["data_path=tatsu-lab/alpaca"],
        ["data_path=modelscope:damo/MSAgent-Bench"],
        [
            "data_path={'type': 'toolcall', 'rows': 8}",
            "val_data_path={'type': 'toolcall', 'split': 'train'}",
        ],
        ["val_data_path=None"],
        ["algorithm={'type': 'SupervisedFinetune', 'fused': False, 'activation_offload': False}"],
        ["custom_hooks=[]", "default_hooks={}"],
        ["lora.init_lora_weights=gaussian"],
        ["default_hooks.tensorboard=None"],
        ["clip_grad=None", "evaluations=[]"],
        ["optimizer={'type': 'torch.optim.SGD', 'lr': 1e-3}"],
    ],
)
def test_what_is_allowed(options):
    """None switches an optional section off, knobs may lie idle, a hub id is not looked for."""
    assert problems_of(*options) == []


def test_what_a_streamed_data_set_needs_is_said_at_once():
    streamed = ["train_dataset.type=StreamedSFTDataset", "train_dataset.window_rows=0"]
    found = {problem.key for problem in check(render(LEAF, [*streamed, "max_steps=None"]))}
    assert found == {"train_dataset.window_rows", "train_cfg.max_steps"}
    streamed = "val_dataset.type=StreamedSFTDataset"
    told = problems_of(streamed, "val_dataset.data_path=a/b")
    assert any("val_dataset.type = 'StreamedSFTDataset': is streamed, and" in one for one in told)
    unread = problems_of(streamed, "val_dataset.data_path=None")
    assert not [one for one in unread if "is streamed" in one]


def test_every_problem_of_a_mixture_is_reported_at_once():
    sources = [
        {"data_path": "no.jsonl", "map_fn": "alpcaa", "weight": 0},
        {"data_path": "tatsu-lab/alpaca", "wieght": 2, "weight": 1, "epochs": 2},
    ]
    found = {problem.key for problem in check(render(LEAF, [f"data_path={sources}"]))}
    assert found == {
        "evaluations.0.data_path",  # the knob flows into it, and what is measured is one source
        *(
            f"train_dataset.data_path.{place}"
            for place in ("0.data_path", "0.map_fn", "0.weight", "1.wieght", "1.epochs")
        ),
    }


def test_a_type_from_elsewhere_is_checked_against_its_own_signature():
    (problem,) = problems_of("optimizer.type=torch.optim.SGD")
    assert "SGD takes no 'betas'" in problem


def test_data_files_folders_and_patterns_that_exist_pass(tmp_path):
    (tmp_path / "rows.jsonl").write_text("{}\n")
    for data_path in ("rows.jsonl", str(tmp_path), "*.jsonl", "['rows.jsonl']"):
        assert problems_of(f"data_path={data_path}", "evaluations=[]") == []


def test_a_benchmark_that_is_not_there_is_no_source_of_rows():
    measured = "evaluations=[{{'type': 'MMLU', 'data_path': './{}', 'every': 5}}]"
    (problem,) = problems_of(measured.format("benchmarks"))
    assert "no file, folder or pattern './benchmarks'" in problem
    assert problem.endswith(
        "give the folder or file with the task's data, or a hub id 'owner/name'"
    )
    (problem,) = problems_of(measured.format("toolcal"))
    assert "or one of: agent_tools, toolcall" in problem


def test_quantization_without_an_adapter():
    found = problems_of("model.adapter=None", config="smollm2_135m_qlora_toolcall")
    assert any("quantized weights cannot be trained" in line for line in found)


def test_an_adapter_that_is_trained_further_trains_on_quantized_weights():
    found = problems_of("lora=None", "adapter=no", config="smollm2_135m_qlora_toolcall")
    assert not any("quantized weights cannot be trained" in line for line in found)


@pytest.mark.parametrize(
    ("option", "said"),
    [
        (
            "quantization={'bits': 4, 'quant_typ': 'nf4'}",
            "model.llm.quantization.quant_typ = 'nf4': quantization takes no 'quant_typ'; "
            "did you mean 'quant_type'?",
        ),
        ("quantization.bits=3", "model.llm.quantization.bits = 3: must be 4 or 8"),
        ("quantization.quant_type=nf5", "quant_type = 'nf5': must be 'nf4' or 'fp4'"),
        (
            "loss_weights={'cal': 2.0}",
            "train_dataset.loss_weights.cal = 2.0: loss_weights takes no ",
        ),
        ("loss_weights.call=much", "train_dataset.loss_weights.call = 'much': must be a number"),
        (
            "paramwise_cfg={'custom_keys': {'lora_B': {'lr_mul': 2.0}}}",
            "lora_B takes no 'lr_mul'; did you mean 'lr_mult'?",
        ),
    ],
)
def test_what_lies_in_an_argument_is_checked_too(option, said):
    (problem,) = problems_of(option, config="smollm2_135m_qlora_toolcall")
    assert said in problem


def test_the_tools_of_an_agent_are_looked_up_by_their_names():
    found = problems_of("agent_tools={'calculatr': {}}", config="smollm2_135m_lora_agent")
    (problem,) = found
    assert (
        "evaluations.0.tools.calculatr = {}: unknown tool 'calculatr'; did you mean 'calc"
        in problem
    )


LOOP = """
from typing import Annotated, Any
from collections.abc import Mapping, Sequence
from xtune.registry import DATASETS, HOOKS, OPTIMIZERS, SCHEDULES

class Loop:
    def __init__(
        self,
        *,
        rollout: Annotated[Mapping[str, Any], SCHEDULES],
        rewards: Annotated[Sequence[str | Mapping[str, Any]], HOOKS],
        critic: Annotated[Mapping[str, Any], OPTIMIZERS] | None = None,
        prompts: Mapping[str, Annotated[Mapping[str, Any], DATASETS]] | None = None,
        max_steps: int = 1,
        accumulative_counts: int = 1,
    ) -> None: ...
"""
NESTED = """
rollout = dict(type='CosineSchedule', warmup_ratio=0.1)
critic = dict(type='AdamW', lr=1e-3)
words = dict(type='SFTDataset', data_path='toolcall', map_fn='openai', max_length=64)
prompts = dict(math=words)
train_cfg = dict(
    type='loops.py:Loop', rollout=rollout, critic=critic, prompts=prompts,
    rewards=['CheckLossHook', dict(type='CheckpointHook', interval=5)])
"""


def nested(*replacements: tuple[str, str]) -> list[str]:
    Path("loops.py").write_text(LOOP)
    text = f"{render(LEAF).text}{NESTED}"
    for old, new in replacements:
        assert old in text
        text = text.replace(old, new, 1)
    Path("mine.py").write_text(text)
    return [str(problem).partition(": ")[2] for problem in check(render("mine.py"))]


def test_a_type_inside_an_argument_is_looked_up_in_the_registry_that_its_parameter_names():
    assert nested() == []
    found = nested(
        ("dict(type='CosineSchedule', warmup_ratio=0.1)", "dict(type='CosinSchedule')"),
        ("'CheckLossHook', ", "'ChekLossHook', "),
        ("interval=5", "intervall=5"),
        ("critic = dict(type='AdamW', lr=1e-3)", "critic = dict(type='AdamW', lr='x', params=[])"),
        ("data_path='toolcall', map_fn='openai'", "data_path=dict(type='toolcal'), map_fn='opnai'"),
        ("prompts = dict(math=", "prompts = dict(more=dict(data_path='toolcall'), math="),
    )
    assert len(found) == 8, found
    for key, said in (
        ("train_cfg.rollout.type", "did you mean 'CosineSchedule'?"),
        ("train_cfg.rewards.0", "did you mean 'CheckLossHook'?"),
        ("train_cfg.rewards.1.intervall", "did you mean 'interval'?"),
        ("train_cfg.critic.lr", "must be a number"),
        ("train_cfg.critic.params", "gets 'params' from xtune"),
        ("train_cfg.prompts.math.data_path.type", "did you mean 'toolcall'?"),
        ("train_cfg.prompts.math.map_fn", "did you mean 'openai'?"),
        ("train_cfg.prompts.more", "must be a dict with a type"),
    ):
        assert [line for line in found if line.startswith(f"{key} = ") and said in line], key


def test_options_reach_what_lies_inside_an_argument():
    nested()
    sheet = render("mine.py", ["train_cfg.critic.eps=1e-6", "train_cfg.rewards.1.max_keep=2"])
    assert check(sheet) == []
    assert (sheet.values.critic.eps, sheet.values.train_cfg.rewards[1].max_keep) == (1e-6, 2)
    with pytest.raises(ConfigError, match=r"has no 'epss'; did you mean 'eps'\?"):
        render("mine.py", ["train_cfg.critic.epss=1e-6"])


def test_a_section_of_ones_own_is_allowed_where_something_uses_it():
    assert nested(("critic=critic, ", ""), ("critic = dict(type='AdamW', lr=1e-3)\n", "")) == []
    (problem,) = nested(("critic=critic, ", ""))
    assert problem.startswith("critic = {'type': 'AdamW', 'lr': 0.001}: nothing in the sheet uses")


def test_gradient_checkpointing_and_what_may_be_offloaded():
    for policy in ("False", "True", "3", "'auto'"):
        assert problems_of(f"gradient_checkpointing={policy}") == []
    (problem,) = problems_of("gradient_checkpointing='yes'")
    assert "must be True or False or an integer or 'auto'" in problem
    (problem,) = problems_of("model.activation_offload=True")
    assert "moves what checkpointed layers keep, and there are none" in problem
    assert problems_of("model.activation_offload=True", "gradient_checkpointing=2") == []


def test_ones_own_function_in_the_config_and_in_a_file(tmp_path):
    (tmp_path / "code.py").write_text("def my_map_fn(row):\n    return {'text': row['t']}\n")
    assert check(edited(("map_fn = 'openai'", "map_fn = 'code.py:my_map_fn'"))) == []
    own = "def my_map_fn(row):\n    return {'text': row['t']}\nmap_fn = my_map_fn"
    sheet = edited(("map_fn = 'openai'", own))
    assert check(sheet) == []
    assert callable(sheet.values.train_dataset.map_fn)
    assert check(edited(("map_fn = 'openai'", "map_fn = 'auto'"))) == []
    switched = "map_fn = dict(type='prompt_output', train_on_inputs=True)"
    assert check(edited(("map_fn = 'openai'", switched))) == []
    misspelt = edited(("map_fn = 'openai'", switched.replace("inputs", "input")))
    assert any("did you mean 'train_on_inputs'?" in str(problem) for problem in check(misspelt))
    (problem,) = check(edited(("map_fn = 'openai'", "map_fn = 'code.py:my_mapfn'")))
    assert "did you mean 'my_map_fn'?" in str(problem)


def test_missing_sections_and_wrong_kinds():
    sheet = edited(("randomness = dict(seed=seed)", ""), ("max_norm=max_norm", "max_nrm=max_norm"))
    found = [(p.key, p.message) for p in check(sheet)]
    assert ("randomness", "this section is missing") in found
    assert ("clip_grad.max_nrm", "clip_grad takes no 'max_nrm'") in found
    assert ("clip_grad.max_norm", "clip_grad needs 'max_norm', which is not given") in found


def test_require_valid_raises_with_all_of_them():
    sheet = render(LEAF, ["lr=0", "batch_size=0"])
    with pytest.raises(ConfigError) as caught:
        require_valid(sheet)
    assert caught.value.exit_code == 2
    assert list(caught.value.problems) == check(sheet)
    assert len(caught.value.problems) == 2
    assert str(caught.value).startswith(f"{LEAF} has 2 problems:\n")


def test_long_values_are_shortened():
    inputs: Sequence[str] = ["x" * 500]
    (problem,) = check(render(LEAF, [f"lora.r={inputs!r}"]))
    assert len(problem.value) == 60


def test_quantization_that_is_no_dict():
    found = problems_of("model.llm.quantization=nf4", config="smollm2_135m_qlora_toolcall")
    assert any("quantization" in line and "must be a dict or None" in line for line in found)


@pytest.mark.parametrize("given", ["hi", "3", "[1,2]"])
def test_a_text_is_no_list_of_texts(given):
    found = problems_of(f"evaluation_inputs={given}")
    assert any("must be a list of texts" in line for line in found)


@pytest.mark.parametrize(
    "given", ["rows/custom_sft.jsnl", "rows/custom_sft", "rows/custom_stf.jsonl"]
)
def test_what_nearly_names_a_file_is_no_hub_id(tmp_path, monkeypatch, given):
    (tmp_path / "rows").mkdir()
    (tmp_path / "rows" / "custom_sft.jsonl").write_text("{}")
    monkeypatch.chdir(tmp_path)
    (found,) = problems_of(f"data_path={given}", "val_data_path=None")
    assert f"no file, folder or pattern {given!r}" in found
    assert "did you mean 'rows/custom_sft.jsonl'?" in found


def test_a_hub_id_next_to_a_folder_of_its_owners_name_stays_one(tmp_path, monkeypatch):
    (tmp_path / "tatsu-lab" / "alpaca-old").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    assert problems_of("data_path=tatsu-lab/alpaca") == []


def test_a_number_format_that_there_is_not_is_named_with_its_line():
    (problem,) = problems_of("strategy.precision=fp31")
    assert "strategy.precision = 'fp31': must be " in problem
    assert "'bf16'" in problem
    assert problems_of("strategy.precision=bf16") == []


DATA = {"data_path": "toolcall", "max_length": 128}
PAIRS = [
    f"train_dataset={ {'type': 'PreferenceDataset', 'map_fn': 'preference', **DATA} }",
    "val_dataset=None",
]


def test_pairs_for_an_algorithm_that_takes_dialogues_are_found_by_the_check(write):
    (problem,) = problems_of(*PAIRS)
    assert problem.endswith(
        ": train_dataset.type = 'PreferenceDataset': makes pairs of rows, and "
        "model.type='SupervisedFinetune' learns from dialogues; name an algorithm that learns "
        "from pairs, or a data set that makes dialogues"
    )
    assert check(render(LEAF, PAIRS), trains=False) == []  # what only shows data asks no algorithm
    write(
        own="class Pairs:\n    learns_from = 'pairs'\n    def __init__(self, llm, **knobs): pass\n"
    )
    assert problems_of(*PAIRS, "model.type=own.py:Pairs") == []
    (problem,) = problems_of("model.type=own.py:Pairs", "val_dataset=None")
    assert "makes dialogues of rows, and model.type='own.py:Pairs' learns from pairs" in problem


@pytest.mark.parametrize(
    "kind",
    [
        *("PreferenceDataset", "UnpairedPreferenceDataset"),
        *("StreamedPreferenceDataset", "StreamedUnpairedPreferenceDataset"),
    ],
)
def test_judged_answers_have_no_weights_of_thoughts_and_calls(kind):
    data = {"type": kind, "map_fn": "preference", **DATA, "loss_weights": {"call": 2.0}}
    sheet = render(LEAF, [f"train_dataset={data}", "val_dataset=None"])
    (problem,) = (one for one in map(str, check(sheet, trains=False)) if "loss_weights" in one)
    assert f".loss_weights = {{'call': 2.0}}: {kind} takes no 'loss_weights'" in problem


def test_groups_that_no_data_set_makes_are_a_slip_of_the_algorithm(write):
    write(
        own="""
        class Pears:
            learns_from = 'pears'
            def __init__(self, llm, **knobs): pass

        class Paris(Pears):
            learns_from = 'paris'

        class Stories:
            makes = 'pears'
            def __init__(self, tokenizer, **settings): pass
        """
    )
    (problem,) = problems_of(*PAIRS, "model.type=own.py:Paris")
    assert problem.endswith(
        "own.py:Paris.learns_from is 'paris', which no data set makes; did you mean 'pairs'?"
    )
    stories = f"train_dataset={ {'type': 'own.py:Stories', **DATA} }"
    assert problems_of("model.type=own.py:Pears", stories, "val_dataset=None") == []


def test_a_nested_type_whose_parameter_has_no_annotation_is_looked_up(write):
    write(
        own="""
        from typing import Any
        from collections.abc import Mapping

        class MyHook:
            def __init__(self, *, inner=None, several=(), word: Mapping[str, Any] | None = None):
                pass
        """
    )

    def found(**arguments):
        hook = {"type": "own.py:MyHook", **arguments}
        return problems_of(f"custom_hooks=[{hook!r}]")

    good = {"type": "LossCurveHook"}
    assert found(inner=good, several=[good], word={"type": "anything"}) == []
    (problem,) = found(inner={"type": "LossCurveHok"})
    assert "custom_hooks.0.inner.type = 'LossCurveHok': no registry has it; did you mean" in problem
    assert "annotate the parameter 'inner' with the registry that has it" in problem
    (problem,) = found(several=[good, {"type": "EarlyStoppingHook", "patienc": 3}])
    assert "custom_hooks.0.several.1.patienc" in problem
    assert "EarlyStoppingHook takes no 'patienc'; did you mean 'patience'?" in problem
