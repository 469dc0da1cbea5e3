"""Every family on rows that two processes share: their losses and gradients add up to the row's."""

from __future__ import annotations

import copy

import pytest

from tests.models.families.case import Case, all_cases
from tests.models.packs import pack, random_documents
from tests.models.shared_rows import assert_same, of_whole_and_shared
from tests.parallel.ranks import on_every_rank
from xtune.errors import ModelError
from xtune.models import SupervisedFinetune, base_of, load_model
from xtune.models.attention import why_not_slices
from xtune.models.self_test import check_slices

CASES = {case.name: case for case in all_cases()}
# Whose rotary positions depend on a document's whole length: no slice shows it
BY_LENGTH = {"internlm-20b", "internlm2_5-dynamic", "internlm3-dynamic", "phi3-longrope"}
IN_EVALUATION = {"qwen-long"}  # only then
SIZE = 2


@pytest.fixture(params=CASES, ids=str)
def case(request) -> Case:
    return CASES[request.param]


@pytest.fixture
def model(case, tmp_path):
    return SupervisedFinetune(load_model(str(case.write(tmp_path / "published")), dtype="fp32"))


def longest_allowed(model, case):
    config = base_of(model.llm).config
    return next(n for n in range(case.longest, 0, -1) if not why_not_slices(config, SIZE, n))


def test_slices_add_up_to_the_row_or_the_family_is_refused(case, model):
    if case.packs == "document":
        with pytest.raises(ModelError, match="run document by document.*sequence_parallel_size=1"):
            on_every_rank(SIZE, lambda group: check_slices(model, group))
        return
    config = base_of(model.llm).config
    reason = why_not_slices(config, SIZE, case.longest)
    assert (reason is not None) == (case.name in BY_LENGTH | IN_EVALUATION), reason
    longest = longest_allowed(model, case)
    copies = [copy.deepcopy(model) for _ in range(SIZE)]
    on_every_rank(SIZE, lambda group: check_slices(copies[group.rank], group))
    batch = pack(random_documents([longest, 1, 8, longest - 1], vocab=case.vocab))
    assert_same(*of_whole_and_shared(model, batch, SIZE))


@pytest.mark.parametrize("case", [CASES[name] for name in sorted(BY_LENGTH)], ids=lambda c: c.name)
def test_what_is_refused_would_be_wrong(case, model):
    too_long = longest_allowed(model, case) + 1
    # The first slice ends within the second document, and shows a short part of it.
    batch = pack(random_documents([5, too_long], vocab=case.vocab))
    whole, shared = of_whole_and_shared(model, batch, SIZE)
    assert shared[0] != pytest.approx(whole[0], rel=1e-5)
