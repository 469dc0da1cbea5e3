from tests.data.map_fns.pairs import asked_and_answered, check_what_cannot_be_used

ROW = {
    "instruction_zh": "翻译。",
    "input_zh": "你好",
    "output_zh": "Hello",
    "instruction": "Translate.",
}


def test_rows_become_a_request_and_its_answer():
    assert asked_and_answered("alpaca_zh", ROW) == ("翻译。\n你好", "Hello")
    other = {"instruction_zh": "唱歌。", "input_zh": None, "output_zh": "啦"}
    assert asked_and_answered("alpaca_zh", other) == ("唱歌。", "啦")


def test_what_cannot_be_used():
    check_what_cannot_be_used(
        "alpaca_zh", ROW, asked=("instruction_zh", "input_zh"), answer="output_zh"
    )
