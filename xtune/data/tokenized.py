"""One source of a data set, tokenised: from its rows to the token cache and its report."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from xtune.data.cache import TokenCache, open_cache
from xtune.data.groups import totals
from xtune.data.mixture import Share
from xtune.data.preparation import Preparation
from xtune.data.recognise import map_fn_for
from xtune.data.report import DataReport, SourceReport
from xtune.data.sources import open_source

__all__ = ["report_of", "tokenized"]


def tokenized(share: Share, preparation: Preparation) -> tuple[TokenCache, DataReport]:
    """Open the cache of a source's samples; the rows are read only where there is none.

    Args:
        share: the source; how often it is shown changes nothing here.
        preparation: what becomes of its rows.

    Raises:
        DataError: the data cannot be read or make no sample.
        TemplateError: the template does not fit the dialogues.
    """
    source = open_source(share.data_path, split=share.split)
    map_fn, recognised = map_fn_for(source, share.map_fn)
    pipeline = preparation.pipeline(source, map_fn, max_rows=share.max_rows)
    cache = open_cache(
        preparation.key(source, map_fn, data_path=share.data_path, max_rows=share.max_rows),
        pipeline.chunks,
        lambda: pipeline.report.to_dict(),
        read_report=DataReport.from_dict,
    )
    report = DataReport.from_dict(cache.report)
    report.recognised = recognised
    return cache, report


def report_of(
    shares: Sequence[Share],
    caches: Sequence[TokenCache],
    reports: Sequence[DataReport],
    chosen: Sequence[np.ndarray],
) -> DataReport:
    """Put the reports of the sources together; samples and tokens are those of an epoch.

    Args:
        shares: the sources.
        caches: of each, its samples.
        reports: of each, what became of its rows.
        chosen: of each, the groups that an epoch has.
    """
    if len(shares) == 1 and shares[0].epochs is None:
        return reports[0]
    whole = DataReport.sum_of(reports)
    whole.samples = whole.groups = whole.tokens = whole.trained_tokens = 0
    for share, cache, report, indices in zip(shares, caches, reports, chosen, strict=True):
        part = SourceReport(
            name=share.name,
            format=report.recognised,
            rows=report.rows,
            kept=report.kept,
            samples=report.samples,
            shown=int(np.diff(cache.bounds)[indices].sum()),
            tokens=int(totals(cache.lengths, cache.bounds)[indices].sum()),
            trained_tokens=int(totals(cache.trained_lengths, cache.bounds)[indices].sum()),
        )
        whole.sources.append(part)
        whole.samples += part.shown
        whole.groups += len(indices)
        whole.tokens += part.tokens
        whole.trained_tokens += part.trained_tokens
    return whole
