from __future__ import annotations

import numpy as np
import torch

from xtune.data.collate import collate
from xtune.structures import Sample


def sample(ids, labels) -> Sample:
    return Sample(np.array(ids, dtype=np.int32), np.array(labels, dtype=np.int32))


def test_documents_end_to_end_with_labels_shifted_inside_each():
    batch = collate([sample([11, 12, 13], [-100, 12, 13]), sample([21, 22], [-100, 22])], [7, 3])
    assert batch.input_ids.tolist() == [[11, 12, 13, 21, 22]]
    assert batch.position_ids.tolist() == [[0, 1, 2, 0, 1]]
    # 12 follows 11; nothing may be predicted across the border, nor after the end
    assert batch.labels.tolist() == [[12, 13, -100, 22, -100]]
    assert batch.cu_seqlens.tolist() == [0, 3, 5]
    assert batch.max_seqlen == 3
    assert batch.samples == (7, 3)
    assert batch.trained_tokens == 3


def test_first_label_of_a_document_never_leaks_into_the_one_before():
    batch = collate([sample([1, 2], [1, 2]), sample([3, 4], [3, 4])])
    assert batch.labels.tolist() == [[2, -100, 4, -100]]


def test_types():
    batch = collate([sample([1, 2], [-100, 2])])
    assert batch.input_ids.dtype == batch.position_ids.dtype == batch.labels.dtype == torch.int64
    assert batch.cu_seqlens.dtype == torch.int32
