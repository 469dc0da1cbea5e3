import pytest

from xtune.data.map_fns import UnusableRow
from xtune.data.map_fns.pretrain import pretrain_map_fn
from xtune.errors import DataError


def test_text_stays_as_it_is():
    assert pretrain_map_fn({"text": "    indented\n", "source": "x"}) == {"text": "    indented\n"}


@pytest.mark.parametrize("nothing", ["", None, "\n"])
def test_no_text_is_unusable(nothing):
    with pytest.raises(UnusableRow, match="empty text"):
        pretrain_map_fn({"text": nothing})


def test_a_missing_field_is_fatal():
    with pytest.raises(DataError, match="no field 'text'; fields seen: 'content'"):
        pretrain_map_fn({"content": "x"})
