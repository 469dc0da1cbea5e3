from tests.data.map_fns.pairs import asked_and_answered, check_what_cannot_be_used

ROW = {"instruction": "头痛怎么办？", "input": "三天了", "output": "量体温。"}


def test_rows_become_a_request_and_its_answer():
    assert asked_and_answered("medical", ROW) == ("头痛怎么办？\n三天了", "量体温。")
    other = {"instruction": "发烧？", "input": "", "output": "多喝水。"}
    assert asked_and_answered("medical", other) == ("发烧？", "多喝水。")


def test_what_cannot_be_used():
    check_what_cannot_be_used("medical", ROW, asked=("instruction", "input"), answer="output")
