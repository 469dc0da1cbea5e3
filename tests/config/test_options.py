from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xtune.config import render
from xtune.config.options import apply_options, parse_value
from xtune.config.sheet import evaluate
from xtune.config.source import Line, Origin
from xtune.errors import ConfigError

_HERE = Path(__file__)
LEAF = "smollm2_135m_lora_toolcall"


def changed_lines(options: list[str], config: str = LEAF) -> list[str]:
    """The lines of the sheet that the options changed or added."""
    before = set(render(config).text.splitlines())
    return [line for line in render(config, options).text.splitlines() if line not in before]


def test_a_bare_knob_flows_into_everything_derived():
    sheet = render(LEAF, ["lr=1e-5", "save_steps=7"])
    assert sheet.values.lr == sheet.values.optimizer.lr == 1e-5
    assert sheet.values.default_hooks.checkpoint.interval == 7
    assert changed_lines(["save_steps=7"]) == ["save_steps = 7"]


def test_comments_behind_a_replaced_knob_stay():
    assert changed_lines(["max_norm=0.5"]) == ["max_norm = 0.5  # gradient clipping"]


def test_a_dotted_key_is_replaced_inside_its_literal():
    whole = "    type='LoraConfig', r=8, lora_alpha=32, lora_dropout=0.0, modules_to_save=None,"
    assert changed_lines(["lora.r=8"]) == [whole]
    sheet = render(LEAF, ["lora.r=8"])
    assert sheet.values.lora.r == sheet.values.model.adapter.r == 8


def test_a_dotted_key_that_leads_through_a_name_is_replaced_where_it_stands():
    assert render(LEAF, ["model.adapter.r=8"]).text == render(LEAF, ["lora.r=8"]).text


def test_a_derived_value_alone_is_replaced():
    sheet = render(LEAF, ["optimizer.lr=3e-4"])
    assert (sheet.values.optimizer.lr, sheet.values.lr) == (3e-4, 1e-3)


def test_items_of_lists_are_numbered():
    sheet = render(LEAF, ["custom_hooks.0.interval=3", "optimizer.betas.1=0.95"])
    assert sheet.values.custom_hooks[0].interval == 3
    assert sheet.values.optimizer.betas == (0.9, 0.95)


def test_an_argument_of_the_type_may_be_new():
    assert changed_lines(["lora.use_dora=True"]) == ["    use_dora=True,"]
    assert changed_lines(["optimizer.eps=1e-6"]) == [
        "optimizer = dict(type='AdamW', lr=lr, betas=betas, eps=1e-06, weight_decay=weight_decay)"
    ]
    assert render(LEAF, ["model.adapter.use_dora=True"]).values.lora.use_dora is True
    assert render(LEAF, ["tokenizer.trust_remote_code=True"]).values.tokenizer.trust_remote_code


def test_what_a_dict_begins_with_is_set_where_it_stands():
    own = "mine.py:Mine"
    line = f"algorithm = dict(type={own!r})  # or with any argument of it"
    assert (
        changed_lines([f"model.type={own}"]) == changed_lines([f"algorithm.type={own}"]) == [line]
    )
    for option in ("algorithm.fused=False", "model.fused=False"):
        assert render(LEAF, [option]).values.model.fused is False
    with pytest.raises(ConfigError, match=r"'algorithm' has no 'fusd'; did you mean 'fused'\?"):
        render(LEAF, ["algorithm.fusd=False"])


@pytest.mark.parametrize(
    ("section", "text"),
    [
        ("dict(base, c=3)", "base = dict(a=1, b=9)\nboth = dict(base, c=3)\n"),
        ("dict(**base, c=3)", "base = dict(a=1, b=9)\nboth = dict(**base, c=3)\n"),
        ("{'b': 3, **base}", "base = dict(a=1, b=9)\nboth = {'b': 3, **base}\n"),
        ("{**base, 'b': 3}", "base = dict(a=1, b=2)\nboth = {**base, 'b': 9}\n"),
        ("dict(base, b=3)", "base = dict(a=1, b=2)\nboth = dict(base, b=9)\n"),
        ("{**base, **more}", "base = dict(a=1, b=2)\nboth = {**base, **more}\n"),
        ("dict(base, **more)", "base = dict(a=1, b=2)\nboth = dict(base, **more)\n"),
    ],
)
def test_of_dicts_put_together_the_one_that_holds_is_set(write, section, text):
    before = f"base = dict(a=1, b=2)\nmore = dict(b=4)\nboth = {section}\n"
    if "more" in section:
        text = text.replace("\nboth", "\nmore = dict(b=9)\nboth")
    else:
        text = text.replace("\nboth", "\nmore = dict(b=4)\nboth")
    sheet = render(write(mine=before), ["both.b=9"])
    assert sheet.text == text
    assert sheet.values.both.b == 9


def test_a_key_that_a_computed_dict_may_have_is_set_behind(write):
    text = "def make():\n    return dict(b=4)\nbase = dict(b=2)\nboth = dict(base, **make())\n"
    with pytest.raises(ConfigError, match="TypeError"):
        render(write(twice="both = dict(1, a=2)\n"))
    sheet = render(
        write(mine=text.replace("dict(base, **make())", "{**base, **make()}")), ["both.b=9"]
    )
    assert sheet.text.endswith("both['b'] = 9\n")
    assert (sheet.values.both.b, sheet.values.base.b) == (9, 2)


def test_a_key_of_a_knob_that_is_none_says_to_give_it_whole():
    with pytest.raises(ConfigError) as caught:
        render("custom_sft_full", ["lora.r=8"])
    assert str(caught.value) == (
        "--cfg-options lora.r=8: 'lora' is None and has no 'r'; "
        "give it whole: \"lora={'type': …, 'r': …}\""
    )


def test_quantization_which_has_no_type_is_asked_for_without_one():
    with pytest.raises(ConfigError) as caught:
        render("custom_sft_lora", ["quantization.bits=4"])
    assert str(caught.value) == (
        "--cfg-options quantization.bits=4: 'quantization' is None and has no 'bits'; "
        "give it whole: \"quantization={'bits': …}\""
    )


@pytest.mark.parametrize("where", ["quantization", "model.llm.quantization"])
def test_a_misspelt_key_of_quantization_is_not_what_is_asked_for(where):
    with pytest.raises(ConfigError) as caught:
        render("custom_sft_lora", [f"{where}.bist=4"])
    assert str(caught.value) == (
        f"--cfg-options {where}.bist=4: '{where}' is None and has no 'bist'; did you mean 'bits'? "
        f"Give it whole: \"{where}={{'bits': …}}\""
    )


def test_a_key_that_quantization_does_not_have_is_told_which_it_has():
    with pytest.raises(ConfigError) as caught:
        render("custom_sft_lora", ["quantization.zzz=4"])
    assert str(caught.value).endswith(
        "has no 'zzz'; it takes: bits, quant_type, double_quant, compute_dtype. Give it whole: "
        "\"quantization={'bits': …}\""
    )


def test_what_a_dict_cannot_begin_with_is_named():
    for value in ("DPO", None):
        with pytest.raises(ConfigError, match=f"algorithm must be a dict, not {value!r}"):
            render(LEAF, [f"algorithm={value}"])


def test_where_there_is_no_literal_a_statement_is_added(write):
    mine = write(
        mine="""
            def make(lr):
                return dict(type='AdamW', lr=lr, inner=[dict(a=1)])
            optimizer = make(lr=2)
            both = [optimizer]
        """
    )
    sheet = render(mine, ["optimizer.lr=1", "optimizer.inner.0.a=5"])
    assert "optimizer['lr'] = 1\n" in sheet.text
    assert "optimizer['inner'][0]['a'] = 5\n" in sheet.text
    assert sheet.values.both[0].lr == 1
    assert sheet.values.both[0].inner[0].a == 5
    # and again on top of it
    again = render(write(again=sheet.text), ["optimizer.lr=9"])
    assert again.values.both[0].lr == 9


def test_a_section_the_sheet_lacks_may_be_added_whole():
    option = "paramwise_cfg={'custom_keys': {'lora_B': {'lr_mult': 4.0}}}"
    sheet = render(LEAF, [option])
    assert sheet.values.paramwise_cfg.custom_keys.lora_B.lr_mult == 4
    assert str(sheet.origin("paramwise_cfg")) == f"--cfg-options {option}"


def test_of_two_options_for_one_key_the_later_holds():
    assert render(LEAF, ["lr=1", "lr=2"]).values.optimizer.lr == 2


def test_every_wrong_option_is_named_with_the_nearest_name():
    options = ["lrr=1", "lora.rr=8", "lr", "lora.r=4", "optimizer.lr.x=1", "custom_hooks.7.type=A"]
    with pytest.raises(ConfigError) as caught:
        render(LEAF, options)
    lines = str(caught.value).splitlines()
    assert [line.split(": ")[0] for line in lines] == [
        f"--cfg-options {option}" for option in options if option != "lora.r=4"
    ]
    assert "did you mean 'lr'?" in lines[0]
    assert "did you mean 'r'?" in lines[1]
    assert "key=value" in lines[2]
    assert len(caught.value.problems) == 5


def test_a_wrong_option_does_not_make_the_next_one_wrong(write):
    mine = write(mine="lr = 1\ntwice = lr / 2\nseed = 1\n")
    with pytest.raises(ConfigError) as caught:
        render(mine, ["lr=fast", "seed=2"])
    assert len(caught.value.problems) == 1
    assert "--cfg-options lr=fast: mine.py:2: twice = lr / 2: TypeError" in str(caught.value)


def test_an_option_is_never_executed(tmp_path):
    bomb = f"__import__('pathlib').Path({str(tmp_path / 'x')!r}).touch()"
    sheet = render(LEAF, [f"SYSTEM={bomb}", "evaluation_inputs=[open]", "lora.r=lr"])
    assert bomb == sheet.values.SYSTEM == sheet.values.custom_hooks[0].system
    assert sheet.values.evaluation_inputs == ["open"]  # a list of the word
    assert sheet.values.lora.r == "lr"
    assert not (tmp_path / "x").exists()


def test_an_option_cannot_smuggle_in_a_statement():
    for key in ("lr\nx", "lr; x", "", "a b", "lora[0]", "lora..r"):
        with pytest.raises(ConfigError, match="key=value"):
            render(LEAF, [f"{key}=1"])


def test_strings_with_quotes_newlines_and_chinese_come_through():
    text = 'it\'s "quoted"\n你好 # no comment'
    assert render(LEAF, [f"SYSTEM={text}"]).values.custom_hooks[0].system == text


def test_a_knob_that_is_computed_is_refused_with_its_line(write):
    mine = write(
        mine="""
            for lr in (1, 2):
                pass
            optimizer = dict(lr=lr)
        """
    )
    with pytest.raises(ConfigError, match=r"mine.py:1 sets 'lr' in a way that an option cannot"):
        render(mine, ["lr=3"])


@pytest.mark.parametrize(
    ("text", "option"),
    [
        ("lr = 1\nif lr:\n    lr = 2\n", "lr=9"),
        ("lora = dict(r=1)\nmodel = dict(adapter=lora)\nlora['r'] = 2\n", "model.adapter.r=9"),
        ("lora = dict(r=1)\nlora.update(r=2)\n", "lora.r=9"),
    ],
)
def test_an_option_that_the_sheet_would_undo_is_refused(write, text, option):
    with pytest.raises(ConfigError, match="again in a way that an option cannot replace"):
        render(write(mine=text), [option])


def test_the_last_statement_for_a_key_is_the_one_that_is_replaced(write):
    text = "lora = dict(r=1)\nlora['r'] = 2\nlora = dict(r=3)\nlora['r'] = 4\n"
    assert render(write(mine=text), ["lora.r=9"]).text == text.replace("4", "9")


def test_a_knob_that_is_set_twice_in_a_flat_sheet_is_replaced_twice(write):
    mine = write(mine="lr = 1\na = dict(x=lr)\nlr = 2\nb = dict(x=lr)\n")
    values = render(mine, ["lr=9"]).values
    assert (values.a.x, values.b.x) == (9, 9)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-5", 1e-5),
        ("8", 8),
        ("None", None),
        ("false", False),
        ("True", True),
        ("(0.9, 0.95)", (0.9, 0.95)),
        ("['a', 'b']", ["a", "b"]),
        ("{'type': 'files', 'path': 'a'}", {"type": "files", "path": "a"}),
        ("my.json", "my.json"),
        ("", ""),
        ("a=b", "a=b"),
        ("'8'", "8"),
        ("(" * 5000, "(" * 5000),
        ("\0", "\0"),
    ],
)
def test_values(text, value):
    assert parse_value(text) == value


def test_infinity_is_refused():
    with pytest.raises(ConfigError, match="cannot be written as a literal"):
        render(LEAF, ["lr=1e999"])


@given(st.text())
def test_any_text_is_read_back_as_it_was_parsed(text):
    value = parse_value(text)
    if value != value or isinstance(value, complex):
        return
    texts = ["knob = 1  # what it is", "d = dict(a=knob)"]
    lines = [Line(text, Origin("x.py", number)) for number, text in enumerate(texts, 1)]
    try:
        changed, _, _ = apply_options(lines, _HERE, [f"knob={text}"])
    except ConfigError:
        is_infinite = repr(value) in ("inf", "-inf")
        if not is_infinite:
            raise
        return
    assert evaluate(changed, _HERE)["d"]["a"] == value


@pytest.mark.parametrize(
    ("option", "expected"),
    [
        ("[q_proj,v_proj]", ["q_proj", "v_proj"]),
        ("q_proj,v_proj", ["q_proj", "v_proj"]),
        ('["q_proj", v_proj]', ["q_proj", "v_proj"]),
        ("['q_proj','v_proj']", ["q_proj", "v_proj"]),
        ("[q_proj]", ["q_proj"]),
        ("q_proj", "q_proj"),
        (r".*\.(q|v)_proj", r".*\.(q|v)_proj"),
        (r".*layers\.\d{1,2}\.q_proj", r".*layers\.\d{1,2}\.q_proj"),
        ("all-linear", "all-linear"),
    ],
)
def test_lists_are_typed_as_in_mmengine(option, expected):
    sheet = render(LEAF, [f"lora.target_modules={option}"])
    assert sheet.values.lora.target_modules == expected
    assert sheet.values.model.adapter.target_modules == expected
    again = render(LEAF, [f"model.adapter.target_modules={option}"])
    assert again.values.model.adapter.target_modules == expected


@pytest.mark.parametrize(
    ("option", "name", "expected"),
    [
        ("added_tokens=[<call>,<end>]", "added_tokens", ["<call>", "<end>"]),
        ("added_tokens=<call>,<end>", "added_tokens", ["<call>", "<end>"]),
        ("evaluation_inputs=[Who are you?, Hi]", "evaluation_inputs", ["Who are you?", "Hi"]),
        ("evaluation_inputs=Well, hello", "evaluation_inputs", "Well, hello"),  # refused by check
        ("data_path=a.json,b.json", "data_path", ["a.json", "b.json"]),
        ("data_path=[[a,b],c]", "data_path", [["a", "b"], "c"]),
        ("betas=0.9,0.95", "betas", (0.9, 0.95)),
        ("SYSTEM=[INST] be brief, kind", "SYSTEM", "[INST] be brief, kind"),
        ("SYSTEM=[a,b]", "SYSTEM", "[a,b]"),
        ("prompt_template=a,b", "prompt_template", "a,b"),
    ],
)
def test_only_where_a_list_may_stand(option, name, expected):
    assert render(LEAF, [option]).values[name] == expected


def test_a_file_whose_name_has_a_comma_is_a_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a,b.json").write_text("[]")
    assert render(LEAF, ["data_path=a,b.json"]).values.data_path == "a,b.json"
