"""GET /xtune/runs…: what training runs have left in a folder; nothing is written or executed.

    /xtune/runs                          all, the one that changed last first
    /xtune/runs/NAME/curves              names=loss,lr points=1000 mean_of=1
    /xtune/runs/NAME/data                offset=0 limit=10 part=train source= order=data
                                         untrained=false
    /xtune/runs/NAME/evaluations         of this run
    /xtune/evaluations                   of all runs, and of other models below the folder
    /xtune/evaluations/ID/report.html    the page of one, which can ask this server for nothing

What nobody knows is 404, and what is there and cannot be read 409; both say what to do.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import numpy as np
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from xtune.data.mixed_caches import CachedSource
from xtune.engine.metrics_file import Curve
from xtune.errors import XtuneError
from xtune.serve.api.context import context_of
from xtune.serve.api.errors import ApiError
from xtune.serve.api.fields import Fields
from xtune.serve.page.evaluations import evaluations_below
from xtune.serve.page.run_folder import RunFolder, within
from xtune.serve.page.thinning import mean_of_last, thinned

__all__ = ["RUN_ROUTES"]

T = TypeVar("T")
_POINTS = 1000
_THINNED = (
    "of each stretch of steps the lowest, the highest and one that is not finite, if there is any"
)
# A report's own script and styles stand in it; it is shown as if it came from nowhere: without
# this server's storage, and with nothing that it may ask.
_REPORT_POLICY = (
    "sandbox allow-scripts; default-src 'none'; script-src 'unsafe-inline'; "
    "style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
)


async def runs(request: Request) -> Response:
    """List the runs."""
    folder = _folder(request)
    _query(request).refuse_rest()
    if folder is None:
        return JSONResponse({"folder": None, "runs": []})
    found = await _in_thread(folder.runs)
    return JSONResponse({"folder": str(folder.root), "runs": found})


async def curves(request: Request) -> Response:
    """Return curves of a run."""
    folder, run = _run(request)
    query = _query(request)
    names = query.take("names", "a string")
    points = _number(query, "points", _POINTS, least=10, most=10_000)
    count = _number(query, "mean_of", 1, least=1, most=10_000)
    query.refuse_rest()

    def work() -> dict[str, Any]:
        all_names, wanted = folder.curves(run, None if names is None else names.split(","))
        wanted.pop("time", None)
        shown = {name: _shown(curve, count, points) for name, curve in wanted.items()}
        is_thinned = any(len(one["steps"]) < one["of"] for one in shown.values())
        return {
            "run": folder.described(run),
            "names": all_names,
            "mean_of": count,
            "curves": shown,
            "thinned": _THINNED if is_thinned else None,
        }

    return JSONResponse(await _in_thread(work))


async def data(request: Request) -> Response:
    """Return rows of a run's data as training sees them."""
    from xtune.serve.page.run_rows import Choice, RunRows, tokenizer_of

    folder, run = _run(request)
    query = _query(request)
    offset = _number(query, "offset", 0, least=0, most=2**53)
    limit = _number(query, "limit", 10, least=1, most=50)
    part = _one_of(query, "part", ("train", "validation"))
    order = _one_of(query, "order", ("data", "longest"))
    untrained = _one_of(query, "untrained", ("false", "true")) == "true"
    source = query.take("source", "a string")
    query.refuse_rest()

    def work() -> dict[str, Any]:
        record = folder.record(run)
        if record is None:
            raise _no_data(
                "this run does not say which token cache it reads: an earlier xtune has made it",
                run,
            )
        noted = record.data.get(part)
        if not noted:
            raise _no_data(f"the {part} data of this run are in no token cache", run)
        try:
            sources = [CachedSource(**each) for each in noted]
        except TypeError:  # of another version
            raise _no_data("what this run says of its token cache cannot be read", run) from None
        key = ("rows", run.name, part, str(record.began))
        rows = folder.keep(key, lambda: RunRows(sources, tokenizer_of(run, record)))
        if source is not None and source not in rows.names:
            raise query.refusal("source", f"is none; there are: {', '.join(rows.names)}")
        choice = Choice(
            source=None if source is None else rows.names.index(source),
            longest_first=order == "longest",
            untrained=untrained,
        )
        chosen = rows.chosen(choice)
        return {
            "run": run.name,
            "part": part,
            "parts": [name for name, given in record.data.items() if given],
            "about": rows.about(),
            "matching": len(chosen),
            "offset": offset,
            "rows": [rows.row(int(number)) for number in chosen[offset : offset + limit]],
        }

    return JSONResponse(await _in_thread(work))


async def evaluations_of_run(request: Request) -> Response:
    """List the evaluations in a run's folder."""
    folder, run = _run(request)
    _query(request).refuse_rest()
    found = await _in_thread(lambda: _evaluations(folder, [run]))
    return JSONResponse({"evaluations": found})


async def evaluations(request: Request) -> Response:
    """List all evaluations below the folder."""
    folder = _folder(request)
    _query(request).refuse_rest()
    found = [] if folder is None else await _in_thread(lambda: _all_evaluations(folder))
    return JSONResponse({"evaluations": found})


async def report(request: Request) -> Response:
    """Return the page of an evaluation."""
    folder = _folder(request)
    wanted = request.path_params["id"]

    def work() -> bytes | None:
        if folder is None:
            return None
        # compared with what there is, so that no spelling of a path leads elsewhere
        known = {each["id"] for each in _all_evaluations(folder) if each["has_page"]}
        path = within(folder.root, f"{wanted}/report.html") if wanted in known else None
        return None if path is None else path.read_bytes()

    content = await _in_thread(work)
    if content is None:
        raise HTTPException(404)
    headers = {
        "Content-Security-Policy": _REPORT_POLICY,
        "Referrer-Policy": "no-referrer",
        "Cache-Control": "no-store",
    }
    return Response(content, media_type="text/html; charset=utf-8", headers=headers)


RUN_ROUTES = [
    Route("/xtune/runs", runs, methods=["GET"]),
    Route("/xtune/runs/{name}/curves", curves, methods=["GET"]),
    Route("/xtune/runs/{name}/data", data, methods=["GET"]),
    Route("/xtune/runs/{name}/evaluations", evaluations_of_run, methods=["GET"]),
    Route("/xtune/evaluations", evaluations, methods=["GET"]),
    Route("/xtune/evaluations/{id:path}/report.html", report, methods=["GET"]),
]


def _folder(request: Request) -> RunFolder | None:
    return context_of(request).runs


def _run(request: Request) -> tuple[RunFolder, Path]:
    folder, name = _folder(request), request.path_params["name"]
    run = None if folder is None else folder.run(name)
    if folder is None or run is None:
        raise ApiError(
            404, f"there is no run {name[:100]!r}; GET /xtune/runs lists them", code="not_found"
        )
    return folder, run


def _query(request: Request) -> Fields:
    """The query's fields: digits are numbers, and each field stands there once."""
    given: dict[str, Any] = {}
    for name, value in request.query_params.multi_items():
        if name in given:
            raise ApiError(400, f"{name} is given twice", param=name, code="invalid_value")
        given[name] = int(value) if value.isascii() and value.isdigit() else value
    return Fields(given)


def _number(query: Fields, name: str, default: int, *, least: int, most: int) -> int:
    value: int = query.take(name, "an integer", default)
    if not least <= value <= most:
        raise query.refusal(name, f"must be from {least} to {most}, not {value}")
    return value


def _one_of(query: Fields, name: str, allowed: tuple[str, ...]) -> str:
    value: str = query.take(name, "a string", allowed[0])
    if value not in allowed:
        raise query.refusal(name, f"must be {' or '.join(allowed)}, not {value[:60]!r}")
    return value


def _shown(curve: Curve, count: int, points: int) -> dict[str, Any]:
    steps, values = thinned(mean_of_last(curve, count), points)
    finite = np.isfinite(values)
    return {
        "of": len(curve.steps),
        "steps": steps.tolist(),
        "values": [v if f else None for v, f in zip(values.tolist(), finite, strict=True)],
    }


def _all_evaluations(folder: RunFolder) -> list[dict[str, Any]]:
    runs = [folder.root / run["name"] for run in folder.runs()]
    return _evaluations(folder, [*runs, *folder.others()])


def _evaluations(folder: RunFolder, places: list[Path]) -> list[dict[str, Any]]:
    others = set(folder.others())
    found = [
        {**each, "run": None if place in others else place.name}
        for place in places
        for each in evaluations_below(place, folder.root)
    ]
    found.sort(key=lambda each: each["kind"] != "comparison")  # of one day it tells the most
    return sorted(found, key=lambda each: str(each["date"] or ""), reverse=True)


def _no_data(what: str, run: Path) -> ApiError:
    return ApiError(
        409,
        f"{what}. To look at its rows: xtune log-dataset {run / 'config.py'}",
        code="no_token_cache",
    )


async def _in_thread(work: Callable[[], T]) -> T:
    """Read files without holding up the others' streams."""
    try:
        return await asyncio.to_thread(work)
    except XtuneError as error:
        _refuse(409, error)
    except OSError as error:
        _refuse(500, error)


def _refuse(status: int, error: Exception) -> NoReturn:
    raise ApiError(status, str(error), code="unreadable") from None
