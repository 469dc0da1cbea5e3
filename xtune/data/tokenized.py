"""One source of a data set, tokenised: from its rows to the token cache and its report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from xtune.data.cache import TokenCache, open_cache
from xtune.data.fingerprint import (
    cache_key,
    fingerprint_function,
    fingerprint_source,
    fingerprint_template,
    fingerprint_tokenizer,
)
from xtune.data.loss_weights import Kind
from xtune.data.map_fns import build_map_fn
from xtune.data.mixture import Share
from xtune.data.pipeline import Pipeline
from xtune.data.recognise import recognise
from xtune.data.report import DataReport, SourceReport
from xtune.data.sources import open_source
from xtune.data.templates import Template

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

__all__ = ["report_of", "tokenized"]


def tokenized(
    share: Share,
    template: Template,
    tokenizer: PreTrainedTokenizerBase,
    *,
    template_name: str,
    system: str,
    max_length: int,
    loss_weights: Mapping[Kind, float] | None = None,
) -> tuple[TokenCache, DataReport]:
    """Open the cache of a source's samples; the rows are read only where there is none.

    Args:
        share: the source; how often it is shown changes nothing here.
        template: renders the dialogues.
        tokenizer: makes the ids.
        template_name: what the config calls the template.
        system: put before every dialogue that does not begin with a system message of its own.
        max_length: tokens of the longest sample.
        loss_weights: of thoughts, calls and answers; see loss_weights.py.

    Raises:
        DataError: the data cannot be read or make no sample.
        TemplateError: the template does not fit the dialogues.
    """
    source = open_source(share.data_path, split=share.split)
    recognised = ""
    if share.map_fn == "auto":
        choice = recognise(source.rows(), source=source)
        function, recognised = choice.format.map_fn, f"{choice.format.name}: {choice.why}"
    else:
        function = build_map_fn(share.map_fn)
    pipeline = Pipeline(
        source,
        function,
        template,
        tokenizer,
        system=system,
        max_length=max_length,
        max_rows=share.max_rows,
        loss_weights=loss_weights,
    )
    key = cache_key(
        source=fingerprint_source(source, share.data_path),
        map_fn=fingerprint_function(function),
        template=fingerprint_template(template_name, template),
        tokenizer=fingerprint_tokenizer(tokenizer),
        system=system,
        max_length=max_length,
        max_rows=share.max_rows,
        loss_weights={kind: w for kind, w in (loss_weights or {}).items() if w != 1},
    )
    cache = open_cache(
        key,
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
    """Put the reports of the sources together; samples and tokens are those of an epoch."""
    if len(shares) == 1 and shares[0].epochs is None:
        return reports[0]
    whole = DataReport.sum_of(reports)
    whole.samples = whole.tokens = whole.trained_tokens = 0
    for share, cache, report, indices in zip(shares, caches, reports, chosen, strict=True):
        part = SourceReport(
            name=share.name,
            format=report.recognised,
            rows=report.rows,
            kept=report.kept,
            samples=report.samples,
            shown=len(indices),
            tokens=int(cache.lengths[indices].sum()),
            trained_tokens=int(cache.trained_lengths[indices].sum()),
        )
        whole.sources.append(part)
        whole.samples += part.shown
        whole.tokens += part.tokens
        whole.trained_tokens += part.trained_tokens
    return whole
