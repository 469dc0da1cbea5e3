import numpy as np
import pytest

from xtune.data.sources import open_source
from xtune.data.sources.olmo import OlmoSource
from xtune.errors import DataError

IDS = [[5, 6, 1, 1], [7, 8, 9, 1], [2, 3, 4, 65535]]
MASK = [[False, True, False, False], [False, True, True, False], [True] * 4]


def write(folder, *, bare=True, ids=IDS, mask=MASK, dtype="uint16"):
    """Both arrays, as OLMo's script writes them or as numpy saves them."""
    for name, values, kind in (("input_ids", ids, dtype), ("label_mask", mask, "bool")):
        array = np.array(values, dtype=kind).reshape(-1)
        if bare:
            array.tofile(folder / f"{name}.npy")
        else:
            np.save(folder / f"{name}.npy", array)
    return str(folder)


@pytest.mark.parametrize("bare", [True, False])
def test_documents_are_stretches_of_one_length(tmp_path, bare):
    path = write(tmp_path, bare=bare)
    source = open_source({"type": "olmo", "path": path, "length": 4}, split="train")
    assert list(source.rows()) == [
        (f"{path} document {number}", {"input_ids": ids, "label_mask": mask})
        for number, (ids, mask) in enumerate(zip(IDS, MASK, strict=True), start=1)
    ]


def test_ids_may_be_of_another_type(tmp_path):
    path = write(tmp_path, ids=[[70_000, 5]], mask=[[True, False]], dtype="uint32")
    (row,) = [row for _, row in OlmoSource(path, length=2, dtype="uint32").rows()]
    assert row == {"input_ids": [70_000, 5], "label_mask": [True, False]}


def test_the_fingerprint_is_of_content_and_length(tmp_path):
    path = write(tmp_path)
    whole = OlmoSource(path, length=4).fingerprint()
    assert OlmoSource(path, length=4).fingerprint() == whole
    assert OlmoSource(path, length=12).fingerprint() != whole
    write(tmp_path, ids=[*IDS[:2], [2, 3, 4, 5]])
    assert OlmoSource(path, length=4).fingerprint() != whole


def test_what_does_not_fit_is_refused(tmp_path):
    path = write(tmp_path)
    with pytest.raises(DataError, match="12 tokens are no whole number of documents of length=5"):
        OlmoSource(path, length=5)
    with pytest.raises(DataError, match=r"6 entries and label_mask\.npy 12; they must be as many"):
        OlmoSource(path, length=4, dtype="uint32")
    with pytest.raises(DataError, match=r"input_ids\.npy: not a readable array"):
        OlmoSource(path, length=4, dtype="uint17")
    (tmp_path / "label_mask.npy").unlink()
    with pytest.raises(DataError, match=r"label_mask\.npy: not a readable array.*No such file"):
        OlmoSource(path, length=4)


def test_arrays_of_objects_are_never_unpickled(tmp_path):
    path = write(tmp_path)
    np.save(tmp_path / "input_ids.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    with pytest.raises(DataError, match="not a readable array"):
        OlmoSource(path, length=4)
