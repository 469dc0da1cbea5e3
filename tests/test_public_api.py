"""What `import xtune` gives, lazily: these names and signatures. A change here is a user's."""

import inspect
import subprocess
import sys

import pytest

import xtune

SIGNATURES = {
    "evaluate": "(model: 'str | os.PathLike[str] | ChatModel', tasks: 'Sequence[str | Task]', *, "
    "adapter: 'str | os.PathLike[str] | None' = None, data: 'str | None' = None, "
    "form: 'Form | None' = None, shots: 'int | None' = None, rows: 'int | None' = None, "
    "bits: 'int | None' = None, dtype: 'str | None' = None, run_code: 'bool' = False, "
    "out: 'str | os.PathLike[str] | None' = None) -> 'Results'",
    "list_configs": "(*patterns: 'str', gpu_memory: 'float | None' = None)"
    " -> 'dict[str, ListedConfig]'",
    "list_formats": "(pattern: 'str' = '') -> 'dict[str, Format]'",
    "list_models": "(pattern: 'str' = '') -> 'dict[str, Family]'",
    "list_templates": "() -> 'dict[str, str]'",
    "load": "(name_or_path: 'str | PathLike[str] | None' = None, *, "
    "adapter: 'str | PathLike[str] | None' = None, "
    "bits: 'int | None' = None, dtype: 'str' = 'auto', prompt_template: 'str | None' = None, "
    "kv_bits: 'int | None' = None) -> 'ChatModel'",
    "pipeline": "(model: 'str | PathLike[str] | ChatModel | None' = None, *, "
    "adapter: 'str | PathLike[str] | None' = None, "
    "bits: 'int | None' = None, dtype: 'str' = 'auto', prompt_template: 'str | None' = None)"
    " -> 'Pipeline'",
    "render": "(config: 'str | Path | Sheet', options: 'Sequence[str]' = (), /, **knobs: 'Any')"
    " -> 'Sheet'",
    "results": "(work_dir: 'str | Path') -> 'Results'",
    "train": "(config: 'str | Path | Sheet', /, *, work_dir: 'str | Path | None' = None, "
    "resume: 'bool | str | Path' = False, strategy: 'str | None' = None, "
    "deepspeed: 'str | None' = None, force: 'bool' = False, "
    "stop: 'threading.Event | None' = None, **knobs: 'Any') -> 'Results'",
}
MEMBERS = {
    "ChatModel": [
        *("answer_batch", "call_form", "chat", "context", "count_tokens", "default_system"),
        *(
            "dialogue",
            "kv_bits",
            "llm",
            "load",
            "name",
            "reply",
            "require_tools",
            "stop_words",
            "stream",
        ),
        *("system", "tokenizer", "trained_on"),
    ],
    "Reply": ["ended_by", "malformed", "message", "text", "written"],
    "Results": ["adapter", "checkpoint", "metrics", "model", "report", "val_report", "work_dir"],
    "Sheet": [
        *("bindings", "chain", "digest", "lines", "name", "options", "origin", "path"),
        *("replaced", "save", "text", "tree", "values"),
    ],
    "XtuneError": ["add_note", "args", "exit_code", "with_traceback"],
}


def test_these_names_and_no_others():
    assert sorted(xtune.__all__) == sorted([*SIGNATURES, *MEMBERS])
    assert dir(xtune) == sorted(["__version__", *xtune.__all__])


@pytest.mark.parametrize("name", SIGNATURES)
def test_a_function_keeps_its_signature_and_is_documented(name):
    function = getattr(xtune, name)
    assert str(inspect.signature(function)) == SIGNATURES[name]
    said = inspect.getdoc(function)
    parameters = [p for p in inspect.signature(function).parameters if p not in ("self", "cls")]
    assert all(f"{parameter}:" in said for parameter in parameters)


@pytest.mark.parametrize("name", MEMBERS)
def test_a_class_keeps_its_members(name):
    kind = getattr(xtune, name)
    fields = getattr(kind, "__dataclass_fields__", {})
    assert sorted({*fields, *(n for n in dir(kind) if n[0] != "_")}) == MEMBERS[name]


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="module 'xtune' has no attribute 'trian'"):
        xtune.trian  # noqa: B018


def test_a_type_checker_sees_what_a_program_gets():
    """The names that `TYPE_CHECKING` imports come from where `__getattr__` takes them."""
    source = inspect.getsource(xtune)
    for name in xtune.__all__:
        home = xtune._HOMES.get(name, "xtune.generation.model")
        assert f"from {home} import" in source
        assert inspect.unwrap(getattr(xtune, name)).__module__ == home


def test_looking_around_imports_no_torch():
    code = (
        "import sys, xtune\n"
        "sheet = xtune.render('smollm2_135m_lora_toolcall', lr=1e-4)\n"
        "xtune.list_configs('qwen', gpu_memory=8), xtune.list_formats(), xtune.list_templates()\n"
        "try: xtune.render('smollm2_135m_lora_toolcal')\n"
        "except xtune.XtuneError: pass\n"
        "sys.exit(bool({'torch', 'transformers', 'peft', 'datasets'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
