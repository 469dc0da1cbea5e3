import bz2
import gc
import gzip
import json
import lzma
import tracemalloc

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from datasets import Dataset
from hypothesis import given, settings
from hypothesis import strategies as st

from xtune.data.sources import open_source
from xtune.data.sources.encodings import advice_for
from xtune.data.sources.files import FilesSource
from xtune.errors import DataError

ROWS = [{"q": "Zwölf?", "a": "12"}, {"q": "", "a": "two\nlines"}, {"q": "a,b", "a": 'say "x"'}]
CSV = 'q,a\nZwölf?,12\n,"two\nlines"\n"a,b","say ""x"""\n'


def jsonl(rows):
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def write(path, rows=ROWS):
    match path.suffix:
        case ".json":
            path.write_text(json.dumps(rows, indent=1), encoding="utf-8")
        case ".jsonl":
            path.write_text(jsonl(rows), encoding="utf-8")
        case ".csv":
            path.write_text(CSV, encoding="utf-8")
        case ".tsv":
            path.write_text("q\ta\nZwölf?\t12\n", encoding="utf-8")
        case ".parquet":
            pq.write_table(pa.Table.from_pylist(rows), path)
    return path


def read(path):
    return [row for _, row in FilesSource(path).rows()]


@pytest.mark.parametrize("suffix", [".json", ".jsonl", ".csv", ".parquet"])
def test_every_type_of_file_gives_the_same_rows(tmp_path, suffix):
    assert read(str(write(tmp_path / f"data{suffix}"))) == ROWS


def test_rows_can_be_read_again(tmp_path):
    source = FilesSource(str(write(tmp_path / "data.jsonl")))
    assert list(source.rows()) == list(source.rows())


def test_a_tab_separates_in_tsv(tmp_path):
    assert read(str(write(tmp_path / "data.tsv"))) == ROWS[:1]


@pytest.mark.parametrize(
    ("suffix", "places"),
    [
        (".json", [" row 1", " row 2", " row 3"]),
        (".jsonl", [":1", ":2", ":3"]),
        (".csv", [":2", ":3", ":5"]),  # row 2 reaches over lines 3 and 4
        (".parquet", [" row 1", " row 2", " row 3"]),
    ],
)
def test_each_row_says_where_it_stands(tmp_path, suffix, places):
    path = str(write(tmp_path / f"data{suffix}"))
    assert [where for where, _ in FilesSource(path).rows()] == [path + place for place in places]


def compress(path, kind):
    data = path.read_bytes()
    packed = path.with_name(path.name + kind)
    match kind:
        case ".gz":
            packed.write_bytes(gzip.compress(data))
        case ".bz2":
            packed.write_bytes(bz2.compress(data))
        case ".xz":
            packed.write_bytes(lzma.compress(data))
        case ".zst":
            with pa.CompressedOutputStream(str(packed), "zstd") as stream:
                stream.write(data)
    path.unlink()
    return packed


COMPRESSIONS = (".gz", ".bz2", ".xz", ".zst")


@pytest.mark.parametrize("suffix", [".json", ".jsonl", ".csv", ".tsv"])
@pytest.mark.parametrize("kind", COMPRESSIONS)
def test_a_compressed_file_gives_the_same_rows_and_places(tmp_path, suffix, kind):
    plain = write(tmp_path / f"data{suffix}")
    expected, content = list(FilesSource(str(plain)).rows()), FilesSource(str(plain)).fingerprint()
    packed = compress(plain, kind)
    source = FilesSource(str(packed))
    assert [row for _, row in source.rows()] == [row for _, row in expected]
    assert [where for where, _ in source.rows()] == [
        where.replace(str(plain), str(packed)) for where, _ in expected
    ]
    assert source.fingerprint() == content
    assert read(str(tmp_path)) == [row for _, row in expected]  # found in a folder too


@pytest.mark.parametrize("kind", COMPRESSIONS)
@pytest.mark.parametrize("damage", [lambda data: data[:-9], lambda data: b"not compressed" * 5])
def test_a_damaged_compressed_file_is_refused(tmp_path, kind, damage):
    path = compress(write(tmp_path / "data.jsonl"), kind)
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(DataError, match=rf"data\.jsonl\{kind}: cannot be read: \S"):
        read(str(path))
    with pytest.raises(DataError, match="cannot be read: "):
        FilesSource(str(path)).fingerprint()


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("data.parquet.gz", r"compressed inside already: unpack it to data\.parquet"),
        ("data.arrow.zst", r"compressed inside already: unpack it to data\.arrow"),
        ("data.gz", r"compressed, but not said what: .*data\.jsonl\.gz or data\.csv\.gz"),
        ("data.v2.zst", r"not said what: .*data\.jsonl\.zst"),
        ("data.jsonl.lz4", r"in a way that is not read: unpack it, or use \.gz, \.bz2, \.xz"),
        ("data.xlsx", "a spreadsheet: save it as CSV UTF-8"),
        ("data.XLS", "a spreadsheet: save it as CSV UTF-8"),
        ("data.ods", "a spreadsheet: save it as CSV UTF-8"),
        ("data.zip", "an archive: unpack it, and name the files in it"),
        ("data.tar.gz", "an archive: unpack it"),
        ("data.pkl", "a pickle, which could run any code"),
        ("data.yaml", "no list of rows: .* in a .jsonl file"),
        ("data.md", r"text: give its name the end \.txt"),
        ("data.feather", r"an Arrow file by its name: give it the end \.arrow"),
        ("data.pq", r"a parquet file by its name: give it the end \.parquet"),
    ],
)
def test_a_type_that_is_not_read_says_what_to_do_in_one_line(tmp_path, name, said):
    (tmp_path / name).write_bytes(b"x")
    for named in (tmp_path / name, tmp_path, tmp_path / "*"):
        with pytest.raises(DataError, match=said) as caught:
            open_source(str(named), split="train")
        assert name in str(caught.value)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ('{"q": "a"}\n{"q": "b"}\n', r"JSON objects: rename the file to \.jsonl"),
        ('[{"q": "a"},\n{"q": "b"}]\n', r"array of objects: rename the file to \.json"),
        ('[\n  {"q": "a"}]\n', r"array of objects: rename the file to \.json"),
        ("input\toutput\na, b\tc\n", r"the fields input, output: rename the file to \.tsv"),
        ("input,output\na b,c\n", r"the fields input, output: rename the file to \.csv"),
    ],
)
def test_rows_in_a_text_file_are_not_trained_as_they_stand(tmp_path, content, said):
    path = tmp_path / "data.txt"
    path.write_text(content)
    with pytest.raises(DataError, match=said):
        read(str(path))
    assert len(list(FilesSource(str(path), sample_by="file").rows())) == 1


@pytest.mark.parametrize(
    "content", ["Hello, world\nand, you\n", "one,two\n", "{x}\n", "[1] A note.\n", "a,b\nc\n"]
)
def test_prose_with_commas_and_brackets_is_text(tmp_path, content):
    path = tmp_path / "data.txt"
    path.write_text(content)
    assert [row["text"] for row in read(str(path))] == content.splitlines()


def write_arrow(path, *, indexed):
    table = pa.Table.from_pylist(ROWS)
    with pa.OSFile(str(path), "wb") as file:
        make = pa.ipc.new_file if indexed else pa.ipc.new_stream
        with make(file, table.schema) as writer:
            writer.write_table(table, max_chunksize=2)
    return str(path)


@pytest.mark.parametrize("indexed", [True, False])
def test_both_forms_of_arrow_files_are_read(tmp_path, indexed):
    path = write_arrow(tmp_path / "data.arrow", indexed=indexed)
    assert list(FilesSource(path).rows()) == [
        (f"{path} row {number}", row) for number, row in enumerate(ROWS, start=1)
    ]


def test_a_broken_arrow_file_is_refused(tmp_path):
    path = tmp_path / "data.arrow"
    for content in (b"", b"ARROW1\0\0 and no more", b'{"q": 1}\n'):
        path.write_bytes(content)
        with pytest.raises(DataError, match=r"data\.arrow: .*(not a readable|cannot be)"):
            read(str(path))


def test_what_datasets_saves_is_read_and_its_notes_are_not(tmp_path):
    Dataset.from_list(ROWS).save_to_disk(tmp_path / "saved")
    assert read(str(tmp_path / "saved")) == ROWS


TEXT = "\n  One.\nTwo.\r\n\n \nThree.\n"


@pytest.mark.parametrize(
    ("sample_by", "rows"),
    [
        ("line", [(2, "  One."), (3, "Two."), (6, "Three.")]),
        ("paragraph", [(2, "  One.\nTwo."), (6, "Three.")]),
        ("file", [(2, "  One.\nTwo.\r\n\n \nThree.")]),
    ],
)
def test_a_text_file_is_lines_paragraphs_or_one_text(tmp_path, sample_by, rows):
    path = tmp_path / "data.txt"
    path.write_bytes(TEXT.encode())
    source = FilesSource(str(path), sample_by=sample_by)
    assert list(source.rows()) == [(f"{path}:{line}", {"text": text}) for line, text in rows]


def test_an_empty_text_file_has_no_rows_and_an_unknown_sample_by_is_refused(tmp_path):
    path = tmp_path / "data.txt"
    path.write_text("\n \n")
    for sample_by in ("line", "paragraph", "file"):
        assert list(FilesSource(str(path), sample_by=sample_by).rows()) == []
    with pytest.raises(DataError, match="sample_by='word' is unknown; allowed: 'line', 'paragra"):
        FilesSource(str(path), sample_by="word")


def test_text_files_beside_data_are_notes_and_alone_they_are_data(tmp_path):
    (tmp_path / "notes.txt").write_text("note\n")
    assert read(str(tmp_path)) == read(str(tmp_path / "*")) == [{"text": "note"}]
    write(tmp_path / "data.jsonl")
    assert read(str(tmp_path)) == read(str(tmp_path / "*")) == ROWS
    assert read(str(tmp_path / "*.txt")) == [{"text": "note"}]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("data.json", '[["p", "r", "x"], ["q", "s", "y"]]'),
        ("data.jsonl", '["p", "r", "x"]\n\n["q", "s", "y"]\n'),
    ],
)
def test_rows_that_are_lists_get_the_names_of_their_fields(tmp_path, name, content):
    (tmp_path / name).write_text(content)
    source = FilesSource(str(tmp_path / name), fields=["prompt", "reject", "response"])
    assert [list(row.items()) for _, row in source.rows()] == [
        [("prompt", "p"), ("reject", "r"), ("response", "x")],
        [("prompt", "q"), ("reject", "s"), ("response", "y")],
    ]
    two = FilesSource(str(tmp_path / name), fields=["prompt", "response"])
    with pytest.raises(DataError, match="a list of 3 values, but fields names 2: prompt, "):
        list(two.rows())
    assert two.fingerprint() != source.fingerprint()


def test_without_names_a_list_is_refused_with_the_way_to_give_them(tmp_path):
    (tmp_path / "data.json").write_text('[["p", "r", "x"]]')
    with pytest.raises(DataError, match=r"row 1: the row is a list of 3 values.*fields=\['prompt'"):
        read(str(tmp_path / "data.json"))


@pytest.mark.parametrize("suffix", [".json", ".jsonl", ".csv"])
def test_a_byte_order_mark_is_no_part_of_the_data(tmp_path, suffix):
    path = write(tmp_path / f"data{suffix}")
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert read(str(path)) == ROWS


def test_windows_line_ends_and_empty_lines_are_fine(tmp_path):
    path = tmp_path / "data.jsonl"
    path.write_bytes(b'\r\n{"q": 1}\r\n\r\n  \n{"q": 2}')
    assert list(FilesSource(str(path)).rows()) == [(f"{path}:2", {"q": 1}), (f"{path}:5", {"q": 2})]


@pytest.mark.parametrize("suffix", [".json", ".jsonl"])
def test_a_json_file_is_told_by_its_content(tmp_path, suffix):
    path = tmp_path / f"data{suffix}"
    path.write_text('\n [{"q": 1}]')
    assert read(str(path)) == [{"q": 1}]
    path.write_text('{"q": 1}\n{"q": 2}\n')
    assert read(str(path)) == [{"q": 1}, {"q": 2}]


@pytest.mark.parametrize("suffix", [".json", ".jsonl", ".csv"])
@pytest.mark.parametrize("content", ["", " \n\n"])
def test_an_empty_file_has_no_rows(tmp_path, suffix, content):
    path = tmp_path / f"data{suffix}"
    path.write_text(content if suffix != ".csv" else content.replace(" ", ""))
    assert read(str(path)) == []


def test_a_text_longer_than_csv_usually_allows(tmp_path):
    path = tmp_path / "data.csv"
    path.write_text("text\n" + "x" * 200_000 + "\n")
    assert read(str(path)) == [{"text": "x" * 200_000}]


def test_one_row_may_have_a_list_of_objects(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text('{"id": "irrelevance_0", "function": [{"name": "f"}]}\n')
    assert read(str(path)) == [{"id": "irrelevance_0", "function": [{"name": "f"}]}]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.jsonl", b'{"q": 1}\n{"q": \n{"q": 3}\n', r"a\.jsonl:2: broken JSON at column \d+:"),
        ("a.jsonl", b'{"q": 1}\n"text"\n', r"a\.jsonl:2: a row must be a JSON object.*str 'text'"),
        ("a.jsonl", b'{"q": 1}\n{"q": "\xe9"}\n', r"a\.jsonl:2: not UTF-8: byte 0xe9"),
        ("a.jsonl", b'{"q": ' + b"9" * 5000 + b"}", r"a\.jsonl:1: JSON that cannot be read"),
        ("a.jsonl", b'{"q": ' + b"[" * 200_000, r"a\.jsonl:1: JSON that cannot be read"),
        ("a.json", b'[{"q": 1},\n {"q": 2},\n {"q" 3}]', r"a\.json:3: broken JSON at column 7"),
        ("a.json", b'[{"q": 1},\n {"q": "\xe9"}]', r"a\.json:2: not UTF-8: byte 0xe9"),
        ("a.json", b'[{"q": 1}, 5]', r"a\.json row 2: a row must be a JSON object.*int '5'"),
        ("a.json", b'{\n "data": [{"q": 1}]\n}', r"a\.json: .*the rows lie under 'data'"),
        ("a.csv", b"q,a\n1,2\n3\n", r"a\.csv:3: 1 cells, but the header names 2 fields \(q, a\)"),
        ("a.csv", b"q,a\n1,2,3\n", r"a\.csv:2: 3 cells"),
        ("a.csv", b'q,a\n1,2\n3,"open\n\n', r"a\.csv:3: broken csv: unexpected end of data"),
        ("a.csv", b"q,a,q\n1,2,3\n", r"a\.csv:1: the header names 'q' twice"),
        ("a.csv", b"q,a\n1,\xff\n", r"a\.csv:2: not UTF-8: byte 0xff"),
        ("a.json", b'{"train": [{"q": 1}], "test": []}', "the rows lie under 'train'"),
        ("a.jsonl", b'{"q": 1}\n{"q": 1, "q": 2}', r"a\.jsonl:2: broken JSON: the key 'q' stands"),
        ("a.jsonl", b'{"q": Infinity}', "Infinity is no JSON: write a number, or null"),
        ("a.csv", b"q;a\n1;2\n", r"a\.csv:1: the fields are parted by ';', not by ','"),
        ("a.csv", b"q\ta\n1\t2\n", r"parted by .*Rename the file to \.tsv"),
        ("a.tsv", b"q,a\n1,2\n", r"parted by .*Rename the file to \.csv"),
        ("a.json", b"PK\x03\x04" + bytes(40), r"a\.json: this is no text but a zip archive"),
        ("a.csv", bytes(range(256)) * 9, r"a\.csv: this is no text but a binary file"),
        ("a.parquet", b"q,a\n1,2\n", r"a\.parquet: not a readable parquet file"),
    ],
)
def test_a_broken_file_is_refused_with_its_line(tmp_path, name, content, message):
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(DataError, match=message):
        read(str(path))


@pytest.mark.parametrize(
    ("encoding", "text"),
    [
        ("gb18030", "你好，请介绍一下你自己。我是一个助手。"),
        ("big5", "你好，請介紹一下你自己。我是一個助手，很高興認識你。"),
        ("cp932", "こんにちは、自己紹介をしてください。"),
        ("cp949", "안녕하세요 자기소개를 해 주세요"),
        ("cp1252", "It’s fine – café"),
        ("cp1251", "Привет, как дела? Хорошо"),
    ],
)
def test_another_encoding_is_named_and_never_latin1(tmp_path, encoding, text):
    path = tmp_path / "data.jsonl"
    path.write_bytes(json.dumps({"q": text}, ensure_ascii=False).encode(encoding))
    with pytest.raises(DataError, match=f"iconv -f {encoding} -t utf-8 data.jsonl"):
        read(str(path))


# Every byte of these is everyday Korean: the Chinese is not told by a byte that Korean has not
SHORT_CHINESE = ["你好吗？都好吧，那就好。", "成都的天气好不好，风大不大", "把苹果分给大家"]
SHORT_KOREAN = ["오늘 날씨가 어때요?", "이 문장을 번역해 주세요", "서울의 인구는 얼마입니까"]


@pytest.mark.parametrize(
    ("encoding", "text"),
    [
        *(("gb18030", text) for text in SHORT_CHINESE),
        *(("cp949", text) for text in SHORT_KOREAN),
    ],
)
def test_chinese_that_could_be_korean_is_told_by_its_commonest_characters(encoding, text):
    content = f'{{"q": "{text}"}}\n'.encode(encoding)
    assert f"It looks like {encoding}. Convert it" in advice_for(content, "data.jsonl")


@pytest.mark.parametrize(("encoding", "text"), [("gb18030", "苹果"), ("cp949", "김치")])
def test_where_nothing_tells_them_apart_both_are_said_with_how_to_choose(tmp_path, encoding, text):
    (tmp_path / "data.jsonl").write_bytes(f'{{"q": "{text}"}}\n'.encode(encoding))
    with pytest.raises(DataError, match=r"Chinese \(gb18030\) or Korean \(cp949\)") as caught:
        read(str(tmp_path / "data.jsonl"))
    for either in ("gb18030", "cp949"):
        assert f"iconv -f {either} -t utf-8 data.jsonl > utf8_data.jsonl" in str(caught.value)


@pytest.mark.parametrize("encoding", ["utf-16", "utf-32"])
@pytest.mark.parametrize("suffix", [".json", ".jsonl", ".csv"])
def test_a_byte_order_mark_tells_the_encoding(tmp_path, encoding, suffix):
    path = write(tmp_path / f"data{suffix}")
    path.write_bytes(path.read_bytes().decode().encode(encoding))
    assert read(str(path)) == ROWS


def test_nan_is_null(tmp_path):
    (tmp_path / "data.jsonl").write_text('{"q": NaN}\n')
    assert read(str(tmp_path / "data.jsonl")) == [{"q": None}]


def test_whole_emoji_written_as_surrogates_are_fine(tmp_path):
    path = tmp_path / "data.jsonl"
    path.write_text('{"q": "\\ud83d\\ude00"}')
    assert read(str(path)) == [{"q": "😀"}]


def test_rows_before_a_broken_line_are_still_given(tmp_path):
    path = tmp_path / "data.jsonl"
    path.write_text('{"q": 1}\n{')
    rows = FilesSource(str(path)).rows()
    assert next(rows) == (f"{path}:1", {"q": 1})
    with pytest.raises(DataError):
        next(rows)


def folder_of(tmp_path):
    for name in ("b.jsonl", "a.json", ".hidden.jsonl", "notes.txt"):
        (tmp_path / name).write_text(f'{{"from": "{name}"}}\n')
    (tmp_path / "more").mkdir()
    (tmp_path / "more" / "c.jsonl").write_text('{"from": "c"}\n')
    return tmp_path


def test_a_folder_is_its_data_files_in_order_of_name(tmp_path):
    rows = read(str(folder_of(tmp_path)))
    assert [row["from"] for row in rows] == ["a.json", "b.jsonl"]


@pytest.mark.parametrize(
    ("pattern", "expected"), [("*.jsonl", ["b.jsonl"]), ("**/*", ["a.json", "b.jsonl", "c"])]
)
def test_a_glob_is_sorted(tmp_path, pattern, expected):
    rows = read(str(folder_of(tmp_path) / pattern))
    assert [row["from"] for row in rows] == expected


def test_a_list_keeps_its_order_and_repeats(tmp_path):
    folder = folder_of(tmp_path)
    names = ["b.jsonl", "a.json", "b.jsonl"]
    assert [row["from"] for row in read([str(folder / name) for name in names])] == names


@pytest.mark.parametrize("name", ["data.xyz", "data"])
def test_an_unknown_type_lists_the_known_ones(tmp_path, name):
    path = tmp_path / name
    path.write_bytes(b"PK")
    with pytest.raises(
        DataError, match=r"unknown type of file '.*allowed: \.json, \.jsonl.*after it"
    ):
        FilesSource(str(path))


def test_one_missing_file_in_a_list_is_named(tmp_path):
    with pytest.raises(DataError, match=r"no data at '.*gone\.jsonl'"):
        FilesSource([str(write(tmp_path / "data.jsonl")), str(tmp_path / "gone.jsonl")])


def test_a_file_that_goes_away_is_a_data_error(tmp_path):
    path = write(tmp_path / "data.jsonl")
    source = FilesSource(str(path))
    path.unlink()
    with pytest.raises(DataError, match="cannot be read: No such file"):
        list(source.rows())


def test_the_fingerprint_is_of_content_and_order(tmp_path):
    one, other = tmp_path / "one.jsonl", tmp_path / "other.jsonl"
    one.write_text('{"q": 1}\n')
    other.write_text('{"q": 2}\n')
    fingerprint = open_source([str(one), str(other)], split="train").fingerprint()
    renamed = one.rename(tmp_path / "renamed.jsonl")
    assert FilesSource([str(renamed), str(other)]).fingerprint() == fingerprint
    assert FilesSource([str(other), str(renamed)]).fingerprint() != fingerprint
    renamed.write_text('{"q": 3}\n')
    assert FilesSource([str(renamed), str(other)]).fingerprint() != fingerprint


@pytest.mark.parametrize("suffix", [".jsonl", ".csv", ".parquet"])
def test_memory_does_not_grow_with_the_file(tmp_path, suffix):
    """A file of 16 MB of text is read within 6 MB."""
    path = tmp_path / f"data{suffix}"
    rows = [{"q": str(number), "a": "x" * 2000} for number in range(8000)]
    match suffix:
        case ".jsonl":
            path.write_text(jsonl(rows))
        case ".csv":
            path.write_text("q,a\n" + "".join(f"{row['q']},{row['a']}\n" for row in rows))
        case ".parquet":
            pq.write_table(pa.Table.from_pylist(rows), path)
    del rows
    gc.collect()
    tracemalloc.start()
    assert sum(1 for _ in FilesSource(str(path)).rows()) == 8000
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 6e6


plain_text = st.text(st.characters(exclude_categories=["Cs"]))
tables = st.lists(
    st.fixed_dictionaries({"q": plain_text, "a, b": plain_text}), min_size=1, max_size=5
)


@given(rows=tables, ascii_only=st.booleans())
@settings(deadline=None)
def test_any_text_survives_json_lines(tmp_path_factory, rows, ascii_only):
    path = tmp_path_factory.mktemp("rows") / "data.jsonl"
    lines = [json.dumps(row, ensure_ascii=ascii_only) + "\n" for row in rows]
    path.write_text("".join(lines), encoding="utf-8", newline="")
    assert read(str(path)) == rows


@given(rows=tables)
@settings(deadline=None)
def test_any_text_survives_csv(tmp_path_factory, rows):
    import csv

    path = tmp_path_factory.mktemp("rows") / "data.csv"
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, ["q", "a, b"], quoting=csv.QUOTE_ALL)
        writer.writeheader()
        writer.writerows(rows)
    assert read(str(path)) == rows


@given(content=st.binary(max_size=60), suffix=st.sampled_from([".json", ".jsonl", ".csv"]))
@settings(max_examples=200, deadline=None)
def test_any_bytes_give_rows_or_a_data_error(tmp_path_factory, content, suffix):
    path = tmp_path_factory.mktemp("bytes") / f"data{suffix}"
    path.write_bytes(content)
    try:
        rows = read(str(path))
    except DataError as error:
        # What went wrong stands after the place.
        assert str(error).startswith(str(path))  # noqa: PT017
    else:
        assert all(isinstance(row, dict) for row in rows)
